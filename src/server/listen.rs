//! Where a server listens, and what it makes of who connects.

use super::accept::Acceptor;
use super::config::Config;
use super::worker::Part;
use crate::connection::{Handler, Session, Settings, drive};
use crate::error::{Error, Result};
use crate::io::{Address, Endpoint, Listener, Socket};
use crate::runtime::{Core, spawn_local};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;

/// What [`Server::listen`](crate::Server::listen) listens on: `"tcp://HOST:PORT"`, a [`SocketAddr`], an [`Endpoint`], or
/// a ready-made [`TcpListener`].
pub trait Listen: sealed::Listen {}

impl<T: sealed::Listen> Listen for T {}

/// A place to listen on: one to bind, or one that is bound.
pub(super) mod sealed {
    use super::*;

    pub trait Listen {
        #[doc(hidden)]
        fn place(self) -> Result<Place>;
    }

    pub enum Place {
        Bind(Endpoint),
        Bound(TcpListener),
    }

    macro_rules! listen_on_endpoints {
        ($($from:ty),*) => {
            $(impl Listen for $from {
                fn place(self) -> Result<Place> {
                    Ok(Place::Bind(self.try_into()?))
                }
            })*
        };
    }

    listen_on_endpoints!(&str, &String, String, SocketAddr, Endpoint);

    impl Listen for TcpListener {
        fn place(self) -> Result<Place> {
            Ok(Place::Bound(self))
        }
    }
}

/// Begins to serve on a core.
pub(super) type Start = Box<dyn FnOnce(&Rc<Core>, Listener, Rc<Settings>) -> io::Result<()> + Send>;

/// One `listen` of a server.
pub(super) struct Listening {
    pub(super) address: SocketAddr,
    listener: Listener,
    /// Whether each core may have a socket of its own, and the kernel spreads connections over them.
    shared: bool,
    /// Makes what each core starts.
    start: Box<dyn FnMut() -> Start + Send>,
}

impl Listening {
    pub(super) fn new<H, F, S>(on: impl Listen, config: &Config, codec: H::Codec, setup: S) -> Result<Listening>
    where
        H: Handler,
        H::Codec: Clone + Send,
        F: FnMut() -> H + 'static,
        S: FnOnce(usize) -> F + Clone + Send + 'static,
    {
        let (listener, shared) = match on.place()? {
            sealed::Place::Bind(endpoint) => (bind(&endpoint, config)?, cfg!(target_os = "linux")),
            sealed::Place::Bound(listener) => (Listener::from_std(listener)?, false),
        };
        let start = Box::new(move || {
            let (codec, setup) = (codec.clone(), setup.clone());
            Box::new(move |core: &Rc<Core>, listener, settings| {
                let make = setup(core.index);
                Acceptor::start(core, listener, serve(codec, make, settings))
            }) as Start
        });
        Ok(Listening { address: listener.local_address()?, listener, shared, start })
    }

    /// What core `index` does of this. With `SO_REUSEPORT` (socket(7)) each core has a socket of its own; else all watch
    /// the same one.
    pub(super) fn part(&mut self, config: &Config, index: usize) -> Result<Part> {
        let another = index > 0 && self.shared;
        let listener = if another { another_for(self.address, config) } else { self.listener.try_clone() };
        let bind = |source| Error::Bind { address: self.address.to_string(), source };
        Ok(Part { listener: listener.map_err(bind)?, start: (self.start)() })
    }
}

#[cfg(target_os = "linux")]
fn another_for(address: SocketAddr, config: &Config) -> io::Result<Listener> {
    Listener::bind_another(address, config.backlog)
}

#[cfg(not(target_os = "linux"))]
fn another_for(_: SocketAddr, _: &Config) -> io::Result<Listener> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Binds the first address of a name that can be bound.
fn bind(endpoint: &Endpoint, config: &Config) -> Result<Listener> {
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for address in endpoint.resolve()? {
        match Listener::bind(address, config.backlog, true) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(Error::Bind { address: endpoint.to_string(), source: failure })
}

/// Makes a connection of an accepted socket.
fn serve<H: Handler>(
    codec: H::Codec,
    mut make: impl FnMut() -> H + 'static,
    settings: Rc<Settings>,
) -> impl FnMut(&Rc<Core>, Socket, Address) {
    move |core, socket, peer| {
        let handler = make();
        match Session::new(core, socket, peer, &codec, handler, &settings) {
            Ok(session) => spawn_local(drive(session)).detach(),
            Err(error) => tracing::error!(%error, "an accepted connection can not be watched"),
        }
    }
}
