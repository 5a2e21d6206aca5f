//! Datagrams: the socket that users hold.

mod handler;
mod link;
mod outgoing;
mod output;
mod queue;
mod sender;

pub use handler::DatagramHandler;
pub(crate) use handler::drive;
use link::DatagramLink;
pub use sender::UdpSender;

use super::connect::look_up;
use crate::error::{Error, Result};
use crate::io::{
    AddressError, Batch, DatagramSocket, Endpoint, ListenOptions, Peer, Purpose, SocketOptions, first_usable,
};
use crate::runtime::{Core, expect_current, oneshot};
use socket2::SockAddr;
use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

/// A UDP socket, on the core that made it.
///
/// Datagrams are received, and sent, many by one system call where the system can (recvmmsg(2), sendmmsg(2)): what is sent
/// in one turn of the core leaves at its end. A datagram is never cut short.
///
/// ```
/// use tiderace::{Result, UdpSocket, block_on};
///
/// fn main() -> Result {
///     block_on(async {
///         let mut server = UdpSocket::bind("udp://127.0.0.1:0").await?;
///         let mut client = UdpSocket::connect(server.local_addr()?).await?;
///         client.send(b"ping").await?;
///
///         let (datagram, from) = server.recv_from().await?;
///         assert_eq!(datagram, b"ping");
///         server.send_to(b"pong", from).await?;
///
///         let (datagram, _) = client.recv_from().await?;
///         assert_eq!(datagram, b"pong");
///         Ok(())
///     })
/// }
/// ```
pub struct UdpSocket {
    link: Rc<DatagramLink>,
    /// What was received and not handed out.
    received: Option<Box<Batch>>,
}

impl UdpSocket {
    pub(crate) fn new(core: &Rc<Core>, socket: DatagramSocket, listener: Option<usize>) -> io::Result<UdpSocket> {
        Ok(UdpSocket { link: DatagramLink::new(core, socket, listener)?, received: None })
    }

    /// A socket that hears everybody who sends to an address.
    ///
    /// # Errors
    /// [`Error::Address`] when that is none, [`Error::Bind`] when it cannot be had.
    ///
    /// # Panics
    /// Outside a core.
    pub async fn bind<A>(to: A) -> Result<UdpSocket>
    where
        A: TryInto<Endpoint>,
        AddressError: From<A::Error>,
    {
        let core = expect_current("UdpSocket::bind");
        let (endpoint, addresses) = resolve(to, Purpose::Listen).await?;
        let (reuse_port, only_v6) = (endpoint.reuse_port, endpoint.is_only_v6());
        let options = ListenOptions { reuse_port, only_v6, ..ListenOptions::default() };
        let socket = first_usable(&addresses, |address| DatagramSocket::bind(address, &options, false));
        let socket = socket.map_err(|source| Error::Bind { address: endpoint.to_string(), source })?;
        Ok(UdpSocket::new(&core, socket, None)?)
    }

    /// A socket that sends to, and hears, only one peer. Nothing is sent by this: whether somebody is there may show in a
    /// later [`recv_from`](UdpSocket::recv_from), as an error.
    ///
    /// # Errors
    /// [`Error::Address`] when that is no address, [`Error::Connect`] when there is no way to it.
    ///
    /// # Panics
    /// Outside a core.
    pub async fn connect<A>(to: A) -> Result<UdpSocket>
    where
        A: TryInto<Endpoint>,
        AddressError: From<A::Error>,
    {
        let core = expect_current("UdpSocket::connect");
        let (endpoint, addresses) = resolve(to, Purpose::Connect).await?;
        let socket = first_usable(&addresses, DatagramSocket::connect);
        let socket = socket.map_err(|source| Error::Connect { address: endpoint.to_string(), source })?;
        Ok(UdpSocket::new(&core, socket, None)?)
    }

    /// Takes over a socket of the standard library. It becomes non-blocking.
    ///
    /// # Panics
    /// Outside a core.
    #[track_caller]
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        let core = expect_current("UdpSocket::from_std");
        UdpSocket::new(&core, DatagramSocket::from_fd(socket.into())?, None)
    }

    /// The next datagram, and the peer that sent it, with the address that the peer has asked. It is lent from the socket's buffer, and may be empty.
    ///
    /// # Errors
    /// What the system says. On a connected socket, [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) means that
    /// no peer was there for an earlier datagram; the next one may find one. [`Error::Closed`] after
    /// [`UdpSender::close`].
    ///
    /// # Cancel safety
    /// Safe: nothing is lost.
    pub async fn recv_from(&mut self) -> Result<(&[u8], Peer)> {
        let (range, from) = loop {
            if let Some(batch) = &mut self.received {
                if let Some(next) = batch.next() {
                    break next;
                }
                let batch = self.received.take().expect("it was there");
                self.link.give_back(batch);
            }
            let link = &self.link;
            self.received = Some(poll_fn(|cx| link.poll_received(cx)).await?.ok_or(Error::Closed)?);
        };
        let batch = self.received.as_ref().expect("that is where it lies");
        Ok((batch.bytes(range), from))
    }

    /// Sends a datagram to a [`SocketAddr`], or to the [`Peer`] that a datagram came from: then it leaves from the address
    /// that this peer has asked. Waits while 256 KiB of datagrams wait for the system, each of which counts for 64 bytes more than
    /// its payload.
    ///
    /// # Errors
    /// [`Error::Io`] when it is too long for any network. That it could not be sent for another reason is logged at level
    /// `debug`; that it did not arrive, nobody knows.
    ///
    /// # Cancel safety
    /// Safe: while this waits, the datagram is not queued.
    pub async fn send_to(&self, payload: &[u8], to: impl Into<Peer>) -> Result {
        self.push(payload, Some(to.into())).await
    }

    /// Sends a datagram to the peer of a connected socket; else like [`send_to`](UdpSocket::send_to).
    pub async fn send(&self, payload: &[u8]) -> Result {
        self.push(payload, None).await
    }

    async fn push(&self, payload: &[u8], to: Option<Peer>) -> Result {
        while !self.link.push(payload, to)? {
            poll_fn(|cx| self.link.poll_room(cx)).await;
        }
        Ok(())
    }

    /// Waits until the system has taken everything that was sent.
    pub async fn flush(&self) {
        poll_fn(|cx| self.link.poll_sent(cx)).await;
    }

    /// Bytes that are queued and not yet handed to the system. Each datagram counts for 64 more than its payload.
    pub fn queued(&self) -> usize {
        self.link.queued()
    }

    /// Sends from other threads and tasks, now or later, and closes the socket from there.
    pub fn sender(&self) -> UdpSender {
        UdpSender::new(&self.link)
    }

    /// Stops the server that this socket's core belongs to, as [`ServerHandle::stop`](crate::ServerHandle::stop) does; for
    /// [`on_close`](DatagramHandler::on_close), and wherever a handler goes on after that. Outside a server it only logs a warning.
    pub fn stop_server(&self, within: Duration) {
        self.link.core.stop_server(within);
    }

    /// Joins a multicast group: what is sent to it is received here, if it is for this socket's port. On a network interface
    /// that is given by its name (on Linux), or on the one that the system chooses.
    ///
    /// Each socket that has joined gets every datagram, and no other one does: on a server, join on one core. A socket that was
    /// made elsewhere ([`from_std`](UdpSocket::from_std)) keeps what it was set to; Linux's default is that it hears every group
    /// that any socket of the host has joined.
    pub fn join_multicast(&self, group: IpAddr, interface: Option<&str>) -> io::Result<()> {
        self.link.socket.multicast(group, interface, true)
    }

    /// Leaves a multicast group; `interface` is as it was for [`join_multicast`](UdpSocket::join_multicast).
    pub fn leave_multicast(&self, group: IpAddr, interface: Option<&str>) -> io::Result<()> {
        self.link.socket.multicast(group, interface, false)
    }

    /// Sends to multicast groups by this network interface, on Linux. Default: the one that the system chooses.
    pub fn set_multicast_interface(&self, name: &str) -> io::Result<()> {
        self.link.socket.set_multicast_interface(name)
    }

    /// How many routers a multicast may pass (IPv4). Default: 1, which keeps it in the local network.
    pub fn set_multicast_ttl(&self, hops: u32) -> io::Result<()> {
        self.link.socket.socket().set_multicast_ttl_v4(hops)
    }

    /// Whether members on this host hear what is sent here (IPv4). Default: yes.
    pub fn set_multicast_loop(&self, heard: bool) -> io::Result<()> {
        self.link.socket.socket().set_multicast_loop_v4(heard)
    }

    /// Whether broadcasts may be sent (`SO_BROADCAST`). Default: no.
    pub fn set_broadcast(&self, allowed: bool) -> io::Result<()> {
        self.link.socket.socket().set_broadcast(allowed)
    }

    /// The options of the socket below; those of TCP fail.
    pub fn options(&self) -> SocketOptions<'_> {
        SocketOptions::of(self.link.socket.as_fd())
    }

    /// Which of its server's listeners this socket belongs to, counted from 0 in the order in which the server was told of them,
    /// streams and datagrams together. `None` for a socket that no server listens on.
    pub fn listener(&self) -> Option<usize> {
        self.link.listener
    }

    /// The address of this socket.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.link.socket.local_address()
    }

    /// The peer of a connected socket.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.link.socket.peer_address()
    }
}

/// Resolves when no handler of this core has a socket for datagrams any more.
pub(crate) async fn datagrams_over(core: &Core) {
    loop {
        let sources = core.sources().into_iter().filter_map(|source| (source as Rc<dyn Any>).downcast().ok());
        let served = sources.filter(|link: &Rc<DatagramLink>| link.is_served());
        let closed = served.map(|link| {
            let (waiter, closed) = oneshot();
            link.wait_for_close(waiter);
            closed
        });
        let closed: Vec<_> = closed.collect();
        if closed.is_empty() {
            return;
        }
        for closed in closed {
            closed.receive().await;
        }
    }
}

async fn resolve<A>(to: A, purpose: Purpose) -> Result<(Endpoint, Vec<SockAddr>)>
where
    A: TryInto<Endpoint>,
    AddressError: From<A::Error>,
{
    let endpoint = to.try_into().map_err(|error| Error::Address(error.into()))?.for_datagrams()?;
    let addresses = look_up(&endpoint, purpose).await.map_err(Error::Address)?;
    Ok((endpoint, addresses))
}

impl AsFd for UdpSocket {
    /// The socket, to set what is not here, or to duplicate it. It must not be received from.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.socket.as_fd()
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.link.close();
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket").field("address", &self.local_addr().ok()).finish_non_exhaustive()
    }
}
