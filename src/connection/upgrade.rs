//! Another codec, or another codec and handler, for a connection that goes on.

use super::close::{drop_session, end, tell};
use super::drive::{Session, drive};
use super::settings::Counted;
use super::{Conn, Handler};
use crate::codec::{Codec, Decoder as _, Patience};
use crate::error::CloseReason;
use crate::net::{Flag, HandedOver, Kept, Link};
use crate::runtime::{Core, spawn_local};
use std::io;
use std::rc::Rc;

/// What [`Conn::set_codec`] leaves for the connection's task.
struct Halves<D, E>(D, E, Patience);

impl<D: 'static, E: 'static> Kept for Halves<D, E> {}

/// What [`Conn::upgrade`] leaves: begins the life of the connection under its next handler.
struct Next(Box<dyn FnOnce(Rc<Core>, Passed)>);

impl Kept for Next {}

/// What a connection keeps under its next handler.
struct Passed {
    socket: HandedOver,
    counted: Counted,
    number: u64,
}

impl<C: Codec> Conn<C> {
    /// Gives the connection a new decoder and encoder, made by `codec`, when the handler's current method returns: the bytes
    /// behind the current message are the new decoder's, and what is sent later is encoded by the new encoder. For a
    /// protocol that changes its settings, such as a longest message, while it is spoken. The type stays the same; for
    /// another protocol there is [`upgrade`](Conn::upgrade).
    ///
    /// A message of several parts that has begun is forgotten.
    pub fn set_codec(&mut self, codec: &C) {
        let (decoder, encoder) = codec.halves();
        drop(self.link.take_kept::<Halves<C::Decoder, C::Encoder>>());
        self.link.keep_until_closed(Halves(decoder, encoder, codec.patience()));
        self.link.notify(Flag::CHANGE);
    }

    /// Goes on with another codec and another handler when the handler's current method returns: for protocols that change
    /// into another one, such as those that have a `STARTTLS`. What was sent before leaves first. The bytes that no message
    /// has claimed are the new decoder's.
    ///
    /// The handler ends with [`CloseReason::Upgraded`]; then
    /// [`on_open`](crate::Handler::on_open) of the new handler is called. [Handles](crate::Handle) of this codec are closed,
    /// [groups](crate::Group) of it are left, and [tasks](Conn::spawn), a [watcher](Conn::watch_writes) and a
    /// [pause](Conn::pause) end.
    ///
    /// It stays the same connection: it has the same [`id`](Conn::id), [`listener`](Conn::listener), write marks and time
    /// limits, and it is counted once. A server that stops meanwhile closes it under its new handler. A connection that is
    /// closed before the method returns, or because the method fails, drops the new handler without a call.
    ///
    /// A [`Client`](crate::Client) whose handler does this makes no other connection, as when it
    /// [detaches](Conn::detach).
    ///
    /// # Errors
    /// It needs a descriptor for a moment. If the system has none left, the connection ends with
    /// [`CloseReason::Reset`], which the current handler is told, after what was sent has been
    /// delivered.
    ///
    /// ```
    /// use tiderace::codec::{LengthDelimited, Lines};
    /// use tiderace::{Conn, Handler, Result};
    ///
    /// struct Greeting;
    /// struct Frames { user: String }
    ///
    /// impl Handler for Greeting {
    ///     type Codec = Lines;
    ///
    ///     async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
    ///         match line.strip_prefix("BINARY ") {
    ///             Some(user) => {
    ///                 conn.send("OK").await?;
    ///                 conn.upgrade(LengthDelimited::default(), Frames { user: user.into() });
    ///                 Ok(())
    ///             }
    ///             None => conn.send("say BINARY and a name").await,
    ///         }
    ///     }
    /// }
    ///
    /// impl Handler for Frames {
    ///     type Codec = LengthDelimited;
    ///
    ///     async fn on_message(&mut self, conn: &mut Conn<LengthDelimited>, frame: &[u8]) -> Result {
    ///         println!("{} has sent {} bytes", self.user, frame.len());
    ///         conn.send(frame).await
    ///     }
    /// }
    /// ```
    pub fn upgrade<H: Handler>(&mut self, codec: H::Codec, handler: H)
    where
        H::Codec: 'static,
    {
        drop(self.link.take_kept::<Next>());
        let begin = move |core: Rc<Core>, passed: Passed| begin(&core, passed, &codec, handler);
        self.link.keep_until_closed(Next(Box::new(begin)));
        self.link.notify(Flag::CHANGE);
    }
}

impl<H: Handler> Session<H> {
    /// Goes on with another decoder and encoder, if the handler has asked for them.
    #[cold]
    pub(super) fn change_codec(&mut self) {
        type Decoder<H> = <<H as Handler>::Codec as Codec>::Decoder;
        type Encoder<H> = <<H as Handler>::Codec as Codec>::Encoder;
        let link = &self.conn.link;
        let Some(Halves(decoder, encoder, patience)) = link.take_kept::<Halves<Decoder<H>, Encoder<H>>>() else {
            return;
        };
        link.set_pings(decoder.can_ping());
        link.set_patience(patience);
        link.message_is_over();
        self.decoder = decoder;
        // Out of its place when it is dropped: that is a user's code, which may send.
        let before = link.replace_encoder(encoder);
        drop(before);
    }
}

/// Whether the handler has asked for another one.
pub(super) fn is_upgraded<E, C>(link: &Link<E, C>) -> bool {
    link.keeps(|_: &Next| true)
}

/// Ends a session whose connection goes on under another handler.
pub(super) async fn upgrade<H: Handler>(mut session: Session<H>) -> CloseReason {
    let link = session.conn.link.clone();
    let Some(Next(begin)) = link.take_kept() else { return end(session, CloseReason::Closed).await };
    // First of all, because it is all that can fail as long as there is a handler to tell.
    let duplicate = match link.duplicate() {
        Ok(duplicate) => duplicate,
        Err(error) => return end(session, CloseReason::Reset(error)).await,
    };
    let reason = CloseReason::Upgraded;
    tracing::debug!(connection = %session.conn.id(), peer = ?session.conn.peer_addr().ok(), %reason, "upgrade");
    let is_finished = link.has(Flag::SHUT);
    if link.has(Flag::DEFERRED) {
        // It was sent before this.
        link.do_deferred();
    }
    // What its groups were told in this turn is sent at the end of it, which comes too late for this connection.
    link.tell_kept(true);
    // What handles and groups send from here on would be of the old protocol, behind the beginning of the new one.
    link.shut();
    tell(&mut session, &reason).await;
    let mut socket = link.hand_on(duplicate);
    if is_finished {
        socket.finish();
    }
    let passed = Passed { socket, counted: session.conn.counted.hand_over(), number: link.number() };
    link.end(reason.number());
    let Session { handler, conn, decoder } = session;
    drop_session(handler, decoder);
    drop(conn);
    begin(link.core.clone(), passed);
    reason
}

/// Begins the life of a connection under its next handler.
fn begin<H: Handler>(core: &Rc<Core>, passed: Passed, codec: &H::Codec, handler: H) {
    let Passed { socket, counted, number } = passed;
    // Before anything of it is registered, because it may panic.
    let patience = codec.patience();
    let (decoder, encoder) = codec.halves();
    let can_ping = decoder.can_ping();
    let handle_limit = counted.settings().handle_limit;
    let (mut parts, mut made) = (Some((socket, encoder)), None);
    let registered = core.register(|key| {
        let (socket, encoder) = parts.take().expect("registered once");
        let link = Rc::new(Link::new(socket.into_port(core.clone(), key, Flag::NONE), encoder, number));
        made.insert(link).clone()
    });
    let link = made.expect("it is made before it is registered");
    link.set_patience(patience);
    if let Some(bytes) = handle_limit {
        link.gauge().set_limit(bytes);
    }
    let session = Session::over(Conn::new(link.clone(), counted), decoder, handler, can_ping);
    match registered {
        Ok(_) => {
            link.arm();
            spawn_local(drive(session)).detach();
        }
        Err(error) => spawn_local(fail(session, error)).detach(),
    }
}

/// Ends a connection that the poller does not take.
async fn fail<H: Handler>(session: Session<H>, error: io::Error) -> CloseReason {
    session.conn.link.fail(&error);
    end(session, CloseReason::Reset(error)).await
}
