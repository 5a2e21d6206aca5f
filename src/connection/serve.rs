//! A handler for a connection that no listener has accepted.

use super::drive::{Session, drive};
use super::id::ConnectionId;
use super::settings::{Admission, ConnectionLimits, Counted, Settings};
use super::{Conn, Handle, Handler};
use crate::codec::{Codec, Decoder};
use crate::error::Result;
use crate::net::{Flag, Link, Stream};
use crate::runtime::spawn_local;
use std::rc::Rc;
use std::time::Duration;

impl Stream {
    /// Gives the connection a handler, which is called as a server's is, until the connection ends. For a client that was
    /// made by [`connect`](crate::connect), for a connection that another handler has detached, and, with
    /// [`Stream::from_std`], for one that was made elsewhere.
    ///
    /// On a core of a server (inside its handlers, its tasks, or [`run_on`](crate::ServerHandle::run_on)) it is one of the
    /// server's connections: [`connections`](crate::ServerHandle::connections) counts it, and it ends with the server. But
    /// what the [`Server`](crate::Server) was told of its connections does not hold for it: it has no time limits, closes
    /// within the default of five seconds, and does not count for [`max_connections`](crate::Server::max_connections). Its
    /// write marks are the defaults, or those that it had when it was detached. Its handler sets the limits that it needs in
    /// [`on_open`](Handler::on_open), by [`Conn::set_idle_timeout`](crate::Conn::set_idle_timeout) and the like.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    ///
    /// ```
    /// use tiderace::{Conn, Handler, Result, codec::Lines, connect};
    ///
    /// struct Print;
    ///
    /// impl Handler for Print {
    ///     type Codec = Lines;
    ///
    ///     async fn on_message(&mut self, _: &mut Conn<Lines>, line: &str) -> Result {
    ///         println!("{line}");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn subscribe() -> Result {
    ///     let server = connect("tcp://127.0.0.1:1833").await?.serve(Lines::default(), Print)?;
    ///     server.send("subscribe").await
    /// }
    /// ```
    pub fn serve<H: Handler>(self, codec: H::Codec, handler: H) -> Result<Handle<H::Codec>> {
        self.serve_within(&codec, handler, None)
    }

    /// The same, of a peer that may be silent for so long.
    pub(crate) fn serve_within<H: Handler>(
        self,
        codec: &H::Codec,
        handler: H,
        idle: Option<Duration>,
    ) -> Result<Handle<H::Codec>> {
        let (session, handle) = Session::over_stream(self, codec, handler, idle)?;
        spawn_local(drive(session)).detach();
        Ok(handle)
    }
}

impl<H: Handler> Session<H> {
    /// Takes a stream over, on its core. Its peer may be silent for `idle`, if that is a time.
    pub(crate) fn over_stream(
        stream: Stream,
        codec: &H::Codec,
        handler: H,
        idle: Option<Duration>,
    ) -> Result<(Session<H>, Handle<H::Codec>)> {
        let settings = Rc::new(Settings::of_core(&stream.core()));
        let admitted = ConnectionLimits::default().admit().expect("no limits are kept by all");
        let (session, handle) = Session::over_admitted(stream, codec, handler, settings, admitted)?;
        if idle.is_some() {
            session.conn.link.set_idle_timeout(idle);
        }
        Ok((session, handle))
    }

    /// Takes a stream over that has been let in, on its core, with all that is set for it.
    pub(crate) fn with_settings(
        stream: Stream,
        codec: &H::Codec,
        handler: H,
        settings: Rc<Settings>,
        admitted: Admission,
    ) -> Result<(Session<H>, Handle<H::Codec>)> {
        let (session, handle) = Session::over_admitted(stream, codec, handler, settings.clone(), admitted)?;
        session.conn.link.set_limits(settings.write);
        session.conn.link.set_time_limits(&settings.time);
        Ok((session, handle))
    }

    fn over_admitted(
        stream: Stream,
        codec: &H::Codec,
        handler: H,
        settings: Rc<Settings>,
        admitted: Admission,
    ) -> Result<(Session<H>, Handle<H::Codec>)> {
        let core = stream.core();
        // Before anything of it is registered, because it may panic.
        let patience = codec.patience();
        let (decoder, encoder) = codec.halves();
        let can_ping = decoder.can_ping();
        let number = ConnectionId::new(core.index, core.next_connection()).as_u64();
        let mut parts = Some((stream.into_handed_over()?, encoder));
        let link = core.register(|key| {
            let (socket, encoder) = parts.take().expect("registered once");
            Rc::new(Link::new(socket.into_port(core.clone(), key, Flag::NONE), encoder, number))
        })?;
        link.arm();
        link.set_patience(patience);
        let handle = Handle::new(&link);
        if let Some(bytes) = settings.handle_limit {
            link.gauge().set_limit(bytes);
        }
        let counted = Counted::new(settings, admitted);
        Ok((Session::over(Conn::new(link, counted), decoder, handler, can_ping), handle))
    }
}
