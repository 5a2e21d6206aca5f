//! Where a server listens, and what it makes of who connects.

use super::bind::Bind;
use super::datagram::DatagramListening;
use super::refusal::Refusal;
use crate::connection::{ConnectionLimit, Handler, Incoming, Session, Settings, drive};
use crate::error::{Error, Result};
use crate::io::{Address, Endpoint, ListenOptions, Listener, Purpose, SocketFile, first_usable};
use crate::runtime::spawn_local;
use socket2::{SockAddr, SockRef, Type};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::sync::Arc;

/// What [`Server::listen`](crate::Server::listen) listens on: an address as text (see [`Endpoint`]), a [`SocketAddr`], a
/// [`Bind`] with options, a ready-made [`TcpListener`] or [`UnixListener`], the descriptor of one ([`OwnedFd`]), or a [`Vec`]
/// of any of these three which all listen on the same address: what
/// [`duplicate_listeners`](crate::ServerHandle::duplicate_listeners) returns for one `listen`. Those of a [`Vec`] are spread over
/// the cores, whatever the number of either.
pub trait Listen: sealed::Listen {}

impl<T: sealed::Listen> Listen for T {}

/// What [`Server::listen_udp`](crate::Server::listen_udp) listens on: an address as text, a [`SocketAddr`], a [`Bind`] with
/// options, a ready-made [`UdpSocket`] or the descriptor of one ([`OwnedFd`]), or a [`Vec`] of several: the first is the first
/// core's, and so on, from the first core again where there are more sockets than cores. Each socket has a handler of its own.
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
        /// At least one; listeners for streams are all of the same address.
        Bound(Vec<OwnedFd>),
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

    macro_rules! listen_on_listeners {
        ($($from:ty),*) => {
            $(impl Listen for $from {
                fn place(self) -> Result<Place> {
                    bound([self], Type::STREAM)
                }
            }

            impl Listen for Vec<$from> {
                fn place(self) -> Result<Place> {
                    bound(self, Type::STREAM)
                }
            })*
        };
    }

    listen_on_listeners!(TcpListener, UnixListener, OwnedFd);

    impl ListenUdp for UdpSocket {
        fn udp_place(self) -> Result<Place> {
            bound([self], Type::DGRAM)
        }
    }

    impl ListenUdp for Vec<UdpSocket> {
        fn udp_place(self) -> Result<Place> {
            bound(self, Type::DGRAM)
        }
    }

    impl ListenUdp for OwnedFd {
        fn udp_place(self) -> Result<Place> {
            bound([self], Type::DGRAM)
        }
    }

    impl ListenUdp for Vec<OwnedFd> {
        fn udp_place(self) -> Result<Place> {
            bound(self, Type::DGRAM)
        }
    }
}

/// Sockets that are bound already; refuses what a server could do nothing with.
fn bound(sockets: impl IntoIterator<Item = impl Into<OwnedFd>>, kind: Type) -> Result<sealed::Place> {
    let refused = |address: &str, why| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, why);
        Err(Error::Bind { address: address.to_owned(), source })
    };
    let sockets: Vec<OwnedFd> = sockets.into_iter().map(Into::into).collect();
    let Some(first) = sockets.first() else { return refused("no socket", "expected a socket at least") };
    let address = SockRef::from(first).local_addr()?;
    let name = Address::of(&address)?.to_string();
    for socket in sockets.iter().map(SockRef::from) {
        if socket.r#type()? != kind {
            return refused(&name, "expected a listener for streams and a socket for datagrams, found the other");
        }
        // Each socket for datagrams has a handler of its own, and so may have an address of its own.
        if kind == Type::STREAM && socket.local_addr()? != address {
            return refused(&name, "expected sockets of one address, found one of another");
        }
    }
    Ok(sealed::Place::Bound(sockets))
}

/// Makes connections of accepted sockets, on one core.
pub(super) type Serve = Box<dyn FnMut(Incoming)>;
/// Made on the thread that starts the server, for a core.
pub(super) type Start = Box<dyn FnOnce(Rc<Settings>) -> Serve + Send>;

/// One `listen` or `listen_udp` of a server.
#[allow(clippy::large_enum_variant, reason = "a server has few, and they are moved while it starts")]
pub(super) enum Listening {
    Streams(Box<StreamListening>),
    Datagrams(DatagramListening),
}

impl Listening {
    pub(super) fn address(&self) -> &Address {
        match self {
            Listening::Streams(streams) => &streams.address,
            Listening::Datagrams(datagrams) => &datagrams.address,
        }
    }

    /// Duplicates of the sockets that so many cores listen on: of a listener for connections only if the kernel spreads these.
    pub(super) fn duplicates(&self, cores: usize, by_kernel: bool) -> Result<Vec<OwnedFd>> {
        match self {
            Listening::Streams(streams) => streams.duplicates(if by_kernel { cores } else { 1 }),
            Listening::Datagrams(datagrams) => datagrams.duplicates(cores),
        }
    }
}

/// One `listen` of a server.
pub(super) struct StreamListening {
    pub(super) address: Address,
    pub(super) limit: Option<Arc<ConnectionLimit>>,
    /// Whether the limit of its server does not hold for it.
    pub(super) is_exempt: bool,
    pub(super) refusal: Option<Refusal>,
    /// At least one; what each core accepts from is added when the server begins, or when they are duplicated before that.
    listeners: RefCell<Vec<Arc<Listener>>>,
    bound: SockAddr,
    /// How it was bound, if each core may have a socket of its own, and the kernel spreads connections over them.
    shared: Option<ListenOptions>,
    /// That of a Unix socket which was bound here, and goes with the server.
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
        let (listeners, shared, limit, refusal, is_ours) = match on.place()? {
            sealed::Place::Bind(how) => {
                let how = how.for_streams()?;
                let listener = bind(&how.endpoint, &how.options)?;
                let can_share = cfg!(target_os = "linux") && !listener.local_address()?.is_unix();
                let limit = how.max_connections.map(ConnectionLimit::new);
                (vec![Arc::new(listener)], can_share.then_some(how.options), limit, how.refusal, true)
            }
            sealed::Place::Bound(sockets) => {
                let listeners = sockets.into_iter().map(|socket| Listener::from_fd(socket).map(Arc::new));
                (listeners.collect::<io::Result<Vec<_>>>()?, None, None, None, false)
            }
        };
        let bound = listeners[0].local_address()?;
        let file = Cell::new(if is_ours { SocketFile::of(&bound) } else { None });
        let address = Address::of(&bound)?;
        let listeners = RefCell::new(listeners);
        Ok(StreamListening { address, limit, is_exempt: false, refusal, listeners, bound, shared, file, start })
    }

    /// Has a limit of its own, instead of that of its server.
    #[cfg(feature = "metrics")]
    pub(super) fn exempt(mut self, connections: usize) -> StreamListening {
        self.limit.get_or_insert_with(|| ConnectionLimit::new(connections));
        self.is_exempt = true;
        self
    }

    /// Whether the kernel can spread connections over a socket for each core.
    pub(super) fn is_spread_by_kernel(&self, cores: usize) -> bool {
        self.shared.is_some() || self.listeners.borrow().len() >= cores
    }

    /// What one more core does with its connections.
    pub(super) fn start(&mut self) -> Start {
        (self.start)()
    }

    /// The listening sockets: at least `count` where more can be made for the same port.
    pub(super) fn listeners(&self, count: usize) -> Result<Vec<Arc<Listener>>> {
        let mut listeners = self.listeners.borrow_mut();
        if let Some(options) = &self.shared {
            while listeners.len() < count {
                let another = Listener::bind_another(&self.bound, options);
                let failed = |source| Error::Bind { address: self.address.to_string(), source };
                listeners.push(Arc::new(another.map_err(failed)?));
            }
        }
        Ok(listeners.clone())
    }

    fn duplicates(&self, count: usize) -> Result<Vec<OwnedFd>> {
        let listeners = self.listeners(count)?;
        let duplicates: io::Result<_> = listeners.iter().map(|one| one.as_fd().try_clone_to_owned()).collect();
        // The server that gets them may go on listening, and a peer that connects finds it by the file.
        if let Some(file) = self.file.take() {
            file.leave();
        }
        Ok(duplicates?)
    }

    /// What outlives the start. The sockets do not, but for those that the cores have: connections must not wait at one that
    /// none accepts from.
    pub(super) fn into_file(self) -> Option<SocketFile> {
        self.file.into_inner()
    }
}

/// Binds the first address of a name that can be bound.
fn bind(endpoint: &Endpoint, options: &ListenOptions) -> Result<Listener> {
    let bound = first_usable(&endpoint.resolve(Purpose::Listen)?, |address| Listener::bind(address, options, true));
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
            Err(error) => tracing::error!(%error, "an accepted connection cannot be watched"),
        }
    }
}
