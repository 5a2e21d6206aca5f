//! Connections and listeners that are brought to a server while it runs.

use super::accept::Acceptor;
use super::balance::Picker;
use super::config::Config;
use super::control::ServerHandle;
use super::listen::{Listen, StreamListening};
use super::refusal::Refuser;
use crate::client::Connector;
use crate::connection::{ConnectionLimit, ConnectionLimits, Handle, Handler, Session, Settings, drive};
use crate::error::{Error, Result};
use crate::io::{Address, AddressError, Endpoint};
use crate::net::{Stream, TimeLimits};
use crate::runtime::{Core, OneshotSender, Remote, oneshot, panic_message, spawn_local};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Poll;

/// What such connections have in common.
pub(super) struct Attaching {
    config: Config,
    limit: Option<Arc<ConnectionLimit>>,
    /// How many have been placed.
    placed: AtomicUsize,
}

impl Attaching {
    pub(super) fn new(config: &Config, limit: Option<Arc<ConnectionLimit>>) -> Attaching {
        Attaching { config: config.clone(), limit, placed: AtomicUsize::new(0) }
    }

    fn limits(&self, of_listener: Option<Arc<ConnectionLimit>>) -> ConnectionLimits {
        ConnectionLimits::new(of_listener.into_iter().chain(self.limit.clone()))
    }

    fn settings(&self, core: &Rc<Core>, limits: ConnectionLimits, time: TimeLimits) -> Rc<Settings> {
        let Config { write, handle_limit, close, .. } = self.config;
        let fresh = Default::default();
        Rc::new(Settings { core: core.clone(), listener: None, write, handle_limit, close, time, limits, fresh })
    }
}

impl ServerHandle {
    /// Makes a connection of the server of a descriptor that exists: a connected stream socket, an end of a pipe, a terminal,
    /// or anything else that the system can watch (see [`Stream::from_fd`]). `handler` is called on the core that takes it,
    /// which the server's [`Balance`](crate::Balance) picks by the other end's address; one that is left to the kernel is
    /// [`RoundRobin`](crate::Balance::RoundRobin) here.
    ///
    /// It is like a connection that the server has accepted: counted, let in only below
    /// [`max_connections`](crate::Server::max_connections), with the server's time limits and write marks, and it ends with
    /// the server. [`Conn::listener`](crate::Conn::listener) is `None`.
    ///
    /// # Errors
    /// [`Error::NotRunning`] before the server runs and when it stops, [`Error::TooManyConnections`], and [`Error::Io`] for a
    /// descriptor that cannot be watched, such as a regular file. The descriptor is then closed.
    ///
    /// # Cancel safety
    /// It begins with the call. If the future is dropped, the connection is served all the same.
    ///
    /// ```
    /// use std::io::PipeReader;
    /// use tiderace::{Conn, Handler, Result, ServerHandle, codec::Lines};
    ///
    /// struct Log;
    ///
    /// impl Handler for Log {
    ///     type Codec = Lines;
    ///
    ///     async fn on_message(&mut self, _: &mut Conn<Lines>, line: &str) -> Result {
    ///         println!("a child says: {line}");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn follow(server: &ServerHandle, output: PipeReader) -> Result {
    ///     let _handle = server.attach(output, Lines::default(), || Log).await?;
    ///     Ok(())
    /// }
    /// ```
    pub fn attach<H, D, M>(
        &self,
        descriptor: D,
        codec: H::Codec,
        handler: M,
    ) -> impl Future<Output = Result<Handle<H::Codec>>> + use<H, D, M>
    where
        H: Handler,
        H::Codec: Send,
        D: Into<OwnedFd>,
        M: FnOnce() -> H + Send + 'static,
    {
        let descriptor = descriptor.into();
        let peer = socket2::SockRef::from(&descriptor).peer_addr().and_then(|peer| Address::of(&peer));
        let core = self.place(&peer.unwrap_or_else(|_| Address::unnamed()));
        self.attach_on(core, descriptor, codec, handler)
    }

    /// Like [`attach`](ServerHandle::attach), on a core of choice.
    pub fn attach_on<H, D, M>(
        &self,
        core: usize,
        descriptor: D,
        codec: H::Codec,
        handler: M,
    ) -> impl Future<Output = Result<Handle<H::Codec>>> + use<H, D, M>
    where
        H: Handler,
        H::Codec: Send,
        D: Into<OwnedFd>,
        M: FnOnce() -> H + Send + 'static,
    {
        let descriptor = descriptor.into();
        let time = |config: &Config| config.time;
        self.bring(core, codec, handler, time, async move |core| Ok(Stream::adopt(&core, descriptor)?))
    }

    /// Connects to an [`Endpoint`], as [`connect`](crate::connect) does, and makes a connection of the server of that, as
    /// [`attach`](ServerHandle::attach) does. The time limit for a first message does not hold for it, since it is this side
    /// that speaks first. [`Balance::Custom`](crate::Balance::Custom) and `SourceHash` are asked before there is an address,
    /// so to them it is a Unix socket without a name.
    ///
    /// # Errors
    /// Those of [`connect`](crate::connect) and of [`attach`](ServerHandle::attach).
    ///
    /// # Cancel safety
    /// It begins with the call. If the future is dropped before the connection is made, none is.
    ///
    /// ```
    /// # use tiderace::{Conn, Handler, Result, ServerHandle, codec::Lines};
    /// # struct Upstream;
    /// # impl Handler for Upstream {
    /// #     type Codec = Lines;
    /// #     async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
    /// #         Ok(())
    /// #     }
    /// # }
    /// async fn subscribe(server: &ServerHandle) -> Result {
    ///     let upstream = server.connect("tcp://127.0.0.1:1833", Lines::default(), || Upstream).await?;
    ///     upstream.send("subscribe").await
    /// }
    /// ```
    pub fn connect<H, A, M>(
        &self,
        to: A,
        codec: H::Codec,
        handler: M,
    ) -> impl Future<Output = Result<Handle<H::Codec>>> + use<H, A, M>
    where
        H: Handler,
        H::Codec: Send,
        A: TryInto<Endpoint>,
        AddressError: From<A::Error>,
        M: FnOnce() -> H + Send + 'static,
    {
        self.connect_on(self.place(&Address::unnamed()), to, codec, handler)
    }

    /// Like [`connect`](ServerHandle::connect), on a core of choice.
    pub fn connect_on<H, A, M>(
        &self,
        core: usize,
        to: A,
        codec: H::Codec,
        handler: M,
    ) -> impl Future<Output = Result<Handle<H::Codec>>> + use<H, A, M>
    where
        H: Handler,
        H::Codec: Send,
        A: TryInto<Endpoint>,
        AddressError: From<A::Error>,
        M: FnOnce() -> H + Send + 'static,
    {
        let connector = Connector::new(to);
        let time = |config: &Config| TimeLimits { first_message: None, ..config.time };
        self.bring(core, codec, handler, time, async move |_| connector?.connect().await)
    }

    /// Listens on one more address while the server runs, on a core of choice, which also serves all that it accepts; gives
    /// the address. Else it is like [`Server::listen`](crate::Server::listen): its connections are the server's, and it ends
    /// with the server. [`Conn::listener`](crate::Conn::listener) is `None`.
    ///
    /// # Errors
    /// Those of [`Server::listen`](crate::Server::listen), and [`Error::NotRunning`].
    ///
    /// # Cancel safety
    /// It begins with the call. If the future is dropped, the server listens all the same.
    ///
    /// ```
    /// # use tiderace::{Conn, Handler, Result, ServerHandle, codec::Lines};
    /// # #[derive(Clone)]
    /// # struct Admin;
    /// # impl Handler for Admin {
    /// #     type Codec = Lines;
    /// #     async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
    /// #         Ok(())
    /// #     }
    /// # }
    /// async fn open_a_back_door(server: &ServerHandle) -> Result {
    ///     let address = server.listen_on(0, "tcp://127.0.0.1:0", Lines::default(), || Admin).await?;
    ///     println!("listening on {address}");
    ///     Ok(())
    /// }
    /// ```
    pub fn listen_on<H, L, F>(
        &self,
        core: usize,
        on: L,
        codec: H::Codec,
        handler: F,
    ) -> impl Future<Output = Result<Address>> + use<H, L, F>
    where
        H: Handler,
        H::Codec: Clone + Send,
        L: Listen,
        F: FnMut() -> H + Clone + Send + 'static,
    {
        let (done, answer) = oneshot();
        let begun = StreamListening::new(on, codec, move |_| handler.clone())
            .and_then(|listening| self.begin_listening(core, listening, done));
        async move {
            begun?;
            answer.receive().await.unwrap_or(Err(Error::NotRunning))
        }
    }

    fn begin_listening(
        &self,
        core: usize,
        mut listening: StreamListening,
        done: OneshotSender<Result<Address>>,
    ) -> Result {
        let (attaching, remote) = self.core(core)?;
        let limits = attaching.limits(listening.limit.clone());
        let (listeners, start, address) = (listening.listeners(1)?, listening.start(), listening.address.clone());
        let refusal = listening.refusal.clone().or_else(|| attaching.config.refusal.clone());
        let (file, control) = (listening.into_file(), self.control.clone());
        remote.run(move |core| {
            let Some(attaching) = control.attaching.get().filter(|_| !core.accepts_nothing()) else { return };
            let serve = start(attaching.settings(core, limits.clone(), attaching.config.time));
            // The file of a Unix socket ends with its listeners.
            let shared = Rc::new((RefCell::new(serve), file));
            let open = Rc::default();
            let started: io::Result<()> = listeners.into_iter().try_for_each(|listener| {
                let shared = shared.clone();
                let deliver = move |incoming| shared.0.borrow_mut()(incoming);
                Acceptor::start(core, listener, limits.clone(), Refuser::new(refusal.clone()), &open, deliver)
            });
            done.send(started.map(|()| address).map_err(Error::Io));
        });
        Ok(())
    }

    /// The core for a connection with such a peer.
    fn place(&self, peer: &Address) -> usize {
        let open = self.connections_per_core();
        match self.control.attaching.get() {
            Some(attaching) if !open.is_empty() => {
                let placed = attaching.placed.fetch_add(1, Relaxed);
                Picker::after(attaching.config.balance.clone(), placed).pick(peer, &open)
            }
            _ => 0,
        }
    }

    fn core(&self, core: usize) -> Result<(&Attaching, &Remote)> {
        let core = self.control.cores().get(core).map(|core| &core.remote);
        self.control.attaching.get().zip(core).ok_or(Error::NotRunning)
    }

    /// Has a core open a stream and serve it.
    fn bring<H, M, O, F>(
        &self,
        core: usize,
        codec: H::Codec,
        handler: M,
        time: fn(&Config) -> TimeLimits,
        open: O,
    ) -> impl Future<Output = Result<Handle<H::Codec>>> + use<H, M, O, F>
    where
        H: Handler,
        H::Codec: Send,
        M: FnOnce() -> H + Send + 'static,
        O: FnOnce(Rc<Core>) -> F + Send + 'static,
        F: Future<Output = Result<Stream>> + 'static,
    {
        let (done, answer) = oneshot();
        let begun = self.core(core).map(|(attaching, remote)| {
            let (limits, control) = (attaching.limits(None), self.control.clone());
            remote.run(move |core| {
                let Some(attaching) = control.attaching.get().filter(|_| !core.ends_connections()) else { return };
                let settings = attaching.settings(core, limits, time(&attaching.config));
                spawn_local(serve(open(core.clone()), settings, codec, handler, done)).detach();
            });
        });
        async move {
            begun?;
            answer.receive().await.unwrap_or(Err(Error::NotRunning))
        }
    }
}

/// Serves the stream that `open` gives, unless nobody waits any more for it to be opened.
async fn serve<H: Handler>(
    open: impl Future<Output = Result<Stream>>,
    settings: Rc<Settings>,
    codec: H::Codec,
    make: impl FnOnce() -> H,
    done: OneshotSender<Result<Handle<H::Codec>>>,
) {
    let Some(admission) = settings.limits.admit() else { return done.send(Err(Error::TooManyConnections)) };
    let mut open = pin!(open);
    let opened = poll_fn(|cx| match open.as_mut().poll(cx) {
        Poll::Ready(opened) => Poll::Ready(Some(opened)),
        Poll::Pending => done.poll_abandoned(cx).map(|()| None),
    });
    let Some(opened) = opened.await else { return };
    let session = opened.and_then(|stream| {
        let made = catch_unwind(AssertUnwindSafe(make));
        let handler =
            made.map_err(|panic| Error::msg(format!("no handler could be made: {}", panic_message(&*panic))))?;
        Session::with_settings(stream, &codec, handler, settings, admission)
    });
    done.send(session.map(|(session, handle)| {
        spawn_local(drive(session)).detach();
        handle
    }));
}
