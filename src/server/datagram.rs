//! What a server does with datagrams.

use super::listen::ListenUdp;
use super::listen::sealed::Place;
use crate::error::{Error, Result};
use crate::io::{Address, DatagramSocket, Endpoint, ListenOptions, Peer, first_usable};
use crate::net::UdpSocket;
use crate::runtime::{CatchPanic, Core, JoinHandle, sleep, spawn_local, yield_now};
use std::future::{Future, poll_fn, ready};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// Datagrams that a handler is given before others run.
const DATAGRAMS: u32 = 256;
/// How long to wait when the system cannot receive: it has run out of memory, mostly, and does not say when that ends.
const FAILED_PAUSE: Duration = Duration::from_millis(50);

/// What happens on a socket for datagrams. A server has one of these, and one socket, on each core: what they know of a
/// peer is in their fields, because a peer's datagrams all come to the same core; only while the server starts may the
/// first core have some of a peer that is another's later.
///
/// Datagrams are handled in order, one at a time, so a method that waits keeps the others of its core waiting. To answer
/// later, spawn a task that holds a [`UdpSender`](crate::UdpSender).
///
/// An error that a method returns, and a panic in it, is logged, and the next datagram is handled.
///
/// ```no_run
/// use tiderace::{DatagramHandler, Peer, Result, Server, UdpSocket};
///
/// struct Echo;
///
/// impl DatagramHandler for Echo {
///     async fn on_datagram(&mut self, socket: &UdpSocket, datagram: &[u8], from: Peer) -> Result {
///         socket.send_to(datagram, from).await
///     }
/// }
///
/// fn main() -> Result {
///     Server::new().listen_udp("udp://127.0.0.1:1833", || Echo)?.run()
/// }
/// ```
pub trait DatagramHandler: Sized + 'static {
    /// The socket is open: to join groups, or to keep a sender.
    fn on_open<'a>(&'a mut self, socket: &'a UdpSocket) -> impl Future<Output = Result> + 'a {
        let _ = socket;
        ready(Ok(()))
    }

    /// A datagram has come. It is lent from the socket's buffer. What is sent to `from` leaves from the address that the peer
    /// has asked.
    fn on_datagram<'a>(
        &'a mut self,
        socket: &'a UdpSocket,
        datagram: &'a [u8],
        from: Peer,
    ) -> impl Future<Output = Result> + 'a;
}

/// Begins to handle datagrams on a core.
pub(super) type StartDatagrams = Box<dyn FnOnce(&Rc<Core>, DatagramSocket) -> io::Result<JoinHandle<()>> + Send>;

/// One `listen_udp` of a server.
pub(super) struct DatagramListening {
    pub(super) address: Address,
    socket: DatagramSocket,
    /// How it was bound, if each core may have a socket of its own, and the kernel spreads peers over them.
    shared: Option<ListenOptions>,
    start: Box<dyn FnMut() -> StartDatagrams + Send>,
}

impl DatagramListening {
    pub(super) fn new<H, F>(on: impl ListenUdp, make: F) -> Result<DatagramListening>
    where
        H: DatagramHandler,
        F: FnOnce(usize) -> H + Clone + Send + 'static,
    {
        let start = Box::new(move || {
            let make = make.clone();
            Box::new(move |core: &Rc<Core>, socket| {
                let socket = UdpSocket::new(core, socket, true)?;
                Ok(spawn_local(drive(core.clone(), make(core.index), socket)))
            }) as StartDatagrams
        });
        let (socket, shared) = match on.udp_place()? {
            Place::Bind(how) => {
                let can_share = cfg!(target_os = "linux");
                (bind(&how.endpoint.for_datagrams()?, &how.options, can_share)?, can_share.then_some(how.options))
            }
            Place::Bound(mut sockets) => {
                let first = sockets.swap_remove(0);
                (DatagramSocket::from_fd(first)?, None)
            }
        };
        Ok(DatagramListening { address: socket.local_address()?.into(), socket, shared, start })
    }

    /// What core `index` does of it, if anything.
    pub(super) fn of_core(&mut self, index: usize) -> Result<Option<(StartDatagrams, DatagramSocket)>> {
        let socket = match (index, &self.shared) {
            (0, _) => self.socket.try_clone(),
            (_, Some(options)) => DatagramSocket::bind_another(&self.socket.local_address()?.into(), options),
            (_, None) => return Ok(None),
        };
        let socket = socket.map_err(|source| Error::Bind { address: self.address.to_string(), source })?;
        Ok(Some(((self.start)(), socket)))
    }

    /// A duplicate of its descriptor.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }
}

/// Binds the first address of a name that can be bound.
fn bind(endpoint: &Endpoint, options: &ListenOptions, shared: bool) -> Result<DatagramSocket> {
    let bound = first_usable(&endpoint.resolve()?, |address| DatagramSocket::bind(address, options, shared));
    bound.map_err(|source| Error::Bind { address: endpoint.to_string(), source })
}

/// Handles datagrams until the server stops.
async fn drive<H: DatagramHandler>(core: Rc<Core>, mut handler: H, socket: UdpSocket) {
    survive(async { handler.on_open(&socket).await }, None, &core).await;
    let mut budget = DATAGRAMS;
    loop {
        match poll_fn(|cx| socket.link().poll_received(cx)).await {
            Ok(Some(mut batch)) => {
                while let Some((range, from)) = batch.next() {
                    // Called within, because a method that is no `async fn` may panic before it has made a future.
                    let handled = async { handler.on_datagram(&socket, batch.bytes(range), from).await };
                    survive(handled, Some(from), &core).await;
                    budget -= 1;
                    if budget == 0 {
                        budget = DATAGRAMS;
                        yield_now().await;
                    }
                }
                socket.link().give_back(batch);
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "datagrams can not be received");
                sleep(FAILED_PAUSE).await;
            }
        }
    }
    socket.flush().await;
}

/// Logs what goes wrong in a method of a handler.
async fn survive(method: impl Future<Output = Result>, peer: Option<Peer>, core: &Core) {
    let peer = peer.map(|peer| peer.addr());
    match CatchPanic::new(method).await {
        Ok(Ok(())) => {}
        Ok(Err(Error::StopServer { within })) => core.stop_server(within),
        Ok(Err(error)) => tracing::warn!(?peer, %error, "a datagram was not handled"),
        Err(panic) => tracing::error!(?peer, panic, "a handler of datagrams panicked"),
    }
}
