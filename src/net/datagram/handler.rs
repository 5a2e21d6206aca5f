//! What happens on a socket for datagrams, and the task that drives it.

use super::{UdpSender, UdpSocket};
use crate::error::{Error, Result};
use crate::io::Peer;
use crate::runtime::{CatchPanic, sleep, spawn_local, yield_now};
use std::future::{Future, poll_fn, ready};
use std::io;
use std::time::Duration;

/// Datagrams that a handler is given before others run.
const DATAGRAMS: u32 = 256;
/// How long to wait when the system cannot receive: it has run out of memory, mostly, and does not say when that ends.
const FAILED_PAUSE: Duration = Duration::from_millis(50);

/// What happens on a socket for datagrams: on those of a server, which has one, and one handler, on each core, and on one that
/// was given a handler by [`UdpSocket::serve`].
///
/// What a server's handlers know of a peer is in their fields, because a peer's datagrams all come to the same core; only while
/// the server starts may the first core have some of a peer that is another's later.
///
/// Datagrams are handled in order, one at a time, so a method that waits keeps the others of its socket waiting. To answer
/// later, spawn a task that holds a [`UdpSender`].
///
/// An error that a method returns, and a panic in it, is logged, and the next datagram is handled. An error of
/// [`on_open`](DatagramHandler::on_open) ends the server or the socket. [`Error::stop_server`] stops the server.
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
    ///
    /// # Errors
    /// A handler that cannot open is of no use: its socket is closed, which is logged, and if the socket belongs to a server, the
    /// server stops at once and [`Server::run`](crate::Server::run) returns this error. A panic here counts as an error.
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

    /// The system reports an error of the socket. On a connected one,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) means that no peer was there for an earlier datagram. The socket
    /// goes on. Unless this is implemented, the error is logged.
    fn on_error<'a>(&'a mut self, socket: &'a UdpSocket, error: io::Error) -> impl Future<Output = Result> + 'a {
        tracing::warn!(socket = ?socket.local_addr().ok(), %error, "a socket for datagrams reports an error");
        ready(Ok(()))
    }

    /// The socket ends: its server stops, or [`UdpSender::close`] was called. What is sent here still leaves.
    fn on_close<'a>(&'a mut self, socket: &'a UdpSocket) -> impl Future<Output = ()> + 'a {
        let _ = socket;
        ready(())
    }
}

impl UdpSocket {
    /// Gives the socket a handler, which is called on this core until [`UdpSender::close`] is called or the core ends. For a
    /// client, connected or not, and for a socket that was made elsewhere ([`UdpSocket::from_std`]).
    ///
    /// On a core of a server (inside its handlers, its tasks, or [`run_on`](crate::ServerHandle::run_on)) it ends with the server.
    ///
    /// ```
    /// use tiderace::{DatagramHandler, Peer, Result, UdpSocket, block_on};
    ///
    /// struct Print;
    ///
    /// impl DatagramHandler for Print {
    ///     async fn on_datagram(&mut self, socket: &UdpSocket, datagram: &[u8], _: Peer) -> Result {
    ///         println!("{}", String::from_utf8_lossy(datagram));
    ///         socket.sender().close();
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn main() -> Result {
    ///     block_on(async {
    ///         let mut server = UdpSocket::bind("udp://127.0.0.1:0").await?;
    ///         let client = UdpSocket::connect(server.local_addr()?).await?.serve(Print);
    ///         client.try_send("hello")?;
    ///         let (_, from) = server.recv_from().await?;
    ///         server.send_to(b"hello yourself", from).await?;
    ///         client.closed().await;
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub fn serve<H: DatagramHandler>(self, handler: H) -> UdpSender {
        let sender = self.sender();
        spawn_local(async move {
            // What a failure to open means has been logged, and the end of the socket shows it.
            let _ = drive(handler, self).await;
        })
        .detach();
        sender
    }
}

/// Calls a handler until its socket ends. Fails if the handler cannot open.
pub(crate) async fn drive<H: DatagramHandler>(mut handler: H, mut socket: UdpSocket) -> Result {
    socket.link.serve();
    if let Some(unread) = socket.received.take() {
        socket.link.give_back(unread);
    }
    open(&mut handler, &socket).await?;
    let mut budget = DATAGRAMS;
    loop {
        match poll_fn(|cx| socket.link.poll_received(cx)).await {
            Ok(Some(mut batch)) => {
                while let Some((range, from)) = batch.next() {
                    // Called within, because a method that is no `async fn` may panic before it has made a future.
                    let handled = async { handler.on_datagram(&socket, batch.bytes(range), from).await };
                    survive(handled, "a datagram was not handled", Some(from), &socket).await;
                    budget -= 1;
                    if budget == 0 {
                        budget = DATAGRAMS;
                        yield_now().await;
                    }
                }
                socket.link.give_back(batch);
            }
            Ok(None) => break,
            Err(error) => {
                let is_of_a_peer = error.kind() == io::ErrorKind::ConnectionRefused;
                let handled = async { handler.on_error(&socket, error).await };
                survive(handled, "an error of a socket for datagrams was not handled", None, &socket).await;
                if !is_of_a_peer {
                    sleep(FAILED_PAUSE).await;
                }
            }
        }
    }
    let closed = async {
        handler.on_close(&socket).await;
        Ok(())
    };
    survive(closed, "the end of a socket for datagrams was not handled", None, &socket).await;
    socket.flush().await;
    Ok(())
}

async fn open<H: DatagramHandler>(handler: &mut H, socket: &UdpSocket) -> Result {
    let opened = CatchPanic::new(async { handler.on_open(socket).await }).await;
    let failed = match opened {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(Error::StopServer { within })) => {
            socket.link.core.stop_server(within);
            return Ok(());
        }
        Ok(Err(error)) => error,
        Err(panic) => Error::msg(format!("a handler of datagrams panicked when its socket opened: {panic}")),
    };
    let address = socket.local_addr().ok();
    tracing::error!(socket = ?address, error = format_args!("{failed:#}"), "a handler of datagrams cannot open, and its socket is closed");
    Err(failed)
}

/// Logs what goes wrong in a method of a handler.
async fn survive(method: impl Future<Output = Result>, what: &str, peer: Option<Peer>, socket: &UdpSocket) {
    let peer = peer.map(|peer| peer.addr());
    match CatchPanic::new(method).await {
        Ok(Ok(())) => {}
        Ok(Err(Error::StopServer { within })) => socket.link.core.stop_server(within),
        Ok(Err(error)) => tracing::warn!(?peer, error = format_args!("{error:#}"), "{what}"),
        Err(panic) => tracing::error!(?peer, panic, "a handler of datagrams panicked: {what}"),
    }
}
