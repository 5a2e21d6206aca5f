//! Where a server listens, and what it makes of who connects.

use super::bind::Bind;
use super::datagram::DatagramListening;
use crate::connection::{ConnectionLimit, Handler, Incoming, Session, Settings, drive};
use crate::error::{Error, Result};
use crate::io::{Address, Endpoint, ListenOptions, Listener, SocketFile, first_usable};
use crate::runtime::spawn_local;
use socket2::SockAddr;
use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;

/// What [`Server::listen`](crate::Server::listen) listens on: an address as text (see [`Endpoint`]), a [`SocketAddr`], a
/// [`Bind`] with options, or a ready-made [`TcpListener`] or [`UnixListener`].
pub trait Listen: sealed::Listen {}

impl<T: sealed::Listen> Listen for T {}

/// What [`Server::listen_udp`](crate::Server::listen_udp) listens on: an address as text, a [`SocketAddr`], a [`Bind`] with
/// options, or a ready-made [`UdpSocket`].
pub trait ListenUdp: sealed::ListenUdp {}

impl<T: sealed::ListenUdp> ListenUdp for T {}

/// A place to listen on: one to bind, or one that is bound.
pub(super) mod sealed {
    use super::*;

    pub trait Listen {
        #[doc(hidden)]
        fn place(self) -> Result<Place>;
    }

    pub trait ListenUdp {
        #[doc(hidden)]
        fn udp_place(self) -> Result<Place>;
    }

    pub enum Place {
        Bind(Bind),
        Bound(OwnedFd),
    }

    macro_rules! listen_on_endpoints {
        ($($from:ty),*) => {
            $(impl Listen for $from {
                fn place(self) -> Result<Place> {
                    Bind::to(self).map(Place::Bind)
                }
            }

            impl ListenUdp for $from {
                fn udp_place(self) -> Result<Place> {
                    Bind::to(self).map(Place::Bind)
                }
            })*
        };
    }

    listen_on_endpoints!(&str, &String, String, SocketAddr, Address, &Address, Endpoint);

    impl Listen for Bind {
        fn place(self) -> Result<Place> {
            Ok(Place::Bind(self))
        }
    }

    impl ListenUdp for Bind {
        fn udp_place(self) -> Result<Place> {
            Ok(Place::Bind(self))
        }
    }

    impl ListenUdp for UdpSocket {
        fn udp_place(self) -> Result<Place> {
            Ok(Place::Bound(self.into()))
        }
    }

    impl Listen for TcpListener {
        fn place(self) -> Result<Place> {
            Ok(Place::Bound(self.into()))
        }
    }

    impl Listen for UnixListener {
        fn place(self) -> Result<Place> {
            Ok(Place::Bound(self.into()))
        }
    }
}

/// Makes connections of accepted sockets, on one core.
pub(super) type Serve = Box<dyn FnMut(Incoming)>;
/// Made on the thread that starts the server, for a core.
pub(super) type Start = Box<dyn FnOnce(Rc<Settings>) -> Serve + Send>;

/// One `listen` or `listen_udp` of a server.
pub(super) enum Listening {
    Streams(StreamListening),
    Datagrams(DatagramListening),
}

impl Listening {
    pub(super) fn address(&self) -> &Address {
        match self {
            Listening::Streams(streams) => &streams.address,
            Listening::Datagrams(datagrams) => &datagrams.address,
        }
    }

    /// A duplicate of its descriptor.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        match self {
            Listening::Streams(streams) => streams.duplicate(),
            Listening::Datagrams(datagrams) => datagrams.duplicate(),
        }
    }
}

/// One `listen` of a server.
pub(super) struct StreamListening {
    pub(super) address: Address,
    pub(super) limit: Option<Arc<ConnectionLimit>>,
    /// Whether the limit of its server does not hold for it.
    pub(super) is_exempt: bool,
    listener: Listener,
    bound: SockAddr,
    /// How it was bound, if each core may have a socket of its own, and the kernel spreads connections over them.
    shared: Option<ListenOptions>,
    /// Removes the file of a Unix socket in the end.
    /// Of a Unix socket that was bound here.
    file: Cell<Option<SocketFile>>,
    /// Makes what each core starts.
    start: Box<dyn FnMut() -> Start + Send>,
}

impl StreamListening {
    pub(super) fn new<H, F, S>(on: impl Listen, codec: H::Codec, setup: S) -> Result<StreamListening>
    where
        H: Handler,
        H::Codec: Clone + Send,
        F: FnMut() -> H + 'static,
        S: FnOnce(usize) -> F + Clone + Send + 'static,
    {
        let start = Box::new(move || {
            let (codec, setup) = (codec.clone(), setup.clone());
            Box::new(move |settings: Rc<Settings>| {
                let make = setup(settings.core.index);
                Box::new(serve(codec, make, settings)) as Serve
            }) as Start
        });
        let (listener, shared, limit, is_ours) = match on.place()? {
            sealed::Place::Bind(how) => {
                let listener = bind(how.endpoint, &how.options)?;
                let can_share = cfg!(target_os = "linux") && !listener.local_address()?.is_unix();
                (listener, can_share.then_some(how.options), how.max_connections.map(ConnectionLimit::new), true)
            }
            sealed::Place::Bound(fd) => (Listener::from_fd(fd)?, None, None, false),
        };
        let bound = listener.local_address()?;
        let file = Cell::new(if is_ours { SocketFile::of(&bound) } else { None });
        let address = Address::of(&bound)?;
        Ok(StreamListening { address, limit, is_exempt: false, listener, bound, shared, file, start })
    }

    /// Has a limit of its own, instead of that of its server.
    #[cfg(feature = "metrics")]
    pub(super) fn exempt(mut self, connections: usize) -> StreamListening {
        self.limit.get_or_insert_with(|| ConnectionLimit::new(connections));
        self.is_exempt = true;
        self
    }

    /// Whether the kernel can spread connections over a socket for each core.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// What one more core does with its connections.
    pub(super) fn start(&mut self) -> Start {
        (self.start)()
    }

    /// The listening socket.
    pub(super) fn first(&self) -> Result<Listener> {
        self.listener.try_clone().map_err(|source| self.failed(source))
    }

    /// One more for the same port.
    pub(super) fn another(&self) -> Result<Listener> {
        let another = match &self.shared {
            Some(options) => Listener::bind_another(&self.bound, options),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        another.map_err(|source| self.failed(source))
    }

    fn duplicate(&self) -> io::Result<OwnedFd> {
        // Who has it may go on listening, and whoever connects finds it by its file.
        if let Some(file) = self.file.take() {
            file.leave();
        }
        self.listener.as_fd().try_clone_to_owned()
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Bind { address: self.address.to_string(), source }
    }

    /// What outlives the start: connections must not wait at a socket that nobody watches.
    pub(super) fn into_file(self) -> Option<SocketFile> {
        self.file.into_inner()
    }
}

/// Binds the first address of a name that can be bound.
fn bind(endpoint: Endpoint, options: &ListenOptions) -> Result<Listener> {
    let endpoint = endpoint.for_streams()?;
    let bound = first_usable(&endpoint.resolve()?, |address| Listener::bind(address, options, true));
    bound.map_err(|source| Error::Bind { address: endpoint.to_string(), source })
}

/// Makes a connection of an accepted socket.
fn serve<H: Handler>(
    codec: H::Codec,
    mut make: impl FnMut() -> H + 'static,
    settings: Rc<Settings>,
) -> impl FnMut(Incoming) {
    move |incoming| {
        let handler = make();
        match Session::new(incoming, &codec, handler, &settings) {
            Ok(session) => spawn_local(drive(session)).detach(),
            Err(error) => tracing::error!(%error, "an accepted connection can not be watched"),
        }
    }
}
