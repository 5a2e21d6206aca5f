//! Outgoing connections, one at a time.

use super::resolver::resolve;
use super::state::Flag;
use super::stream::Stream;
use crate::io::{AddressError, Endpoint, Purpose, Socket};
use crate::limits;
use crate::runtime::{expect_current, sleep};
use socket2::SockAddr;
use std::future::poll_fn;
use std::io;

/// Tries to connect before a socket that is connected to itself counts as a refusal.
const TRIES: u32 = 3;

/// Connects, in the time that the system takes for it.
///
/// # Cancel safety
/// Safe: a half-made connection is closed.
pub(crate) async fn connect_to(address: &SockAddr) -> io::Result<Stream> {
    connect_with(|| Socket::connect(address), address.is_unix()).await
}

async fn connect_with(mut begin: impl FnMut() -> io::Result<Socket>, is_unix: bool) -> io::Result<Stream> {
    for _ in 0..TRIES {
        let stream = established(begin_when_there_is_room(&mut begin).await?, is_unix).await?;
        if !stream.port().socket.is_connected_to_itself() {
            return Ok(stream);
        }
    }
    // Nothing listens there: if it did, the kernel could not have given its port to this end.
    Err(io::ErrorKind::ConnectionRefused.into())
}

/// The backlog of a Unix socket that is full is an error (unix(7)), where TCP would try again: this does.
async fn begin_when_there_is_room(begin: &mut impl FnMut() -> io::Result<Socket>) -> io::Result<Socket> {
    let mut pause = limits::FULL_BACKLOG_FIRST;
    loop {
        match begin() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            begun => return begun,
        }
        sleep(pause).await;
        pause = limits::FULL_BACKLOG_MAX.min(2 * pause);
    }
}

async fn established(socket: Socket, is_unix: bool) -> io::Result<Stream> {
    let core = expect_current("connect");
    let flags = Flag::BLOCKED.with(Flag::READ_ON, is_unix);
    let stream = Stream::new(&core, socket, flags)?;
    let port = stream.port();
    poll_fn(|cx| port.poll_writable(cx)).await;
    match port.failure() {
        Some(error) => Err(error),
        None => port.socket.take_error().map(|()| stream),
    }
}

/// The addresses of an endpoint, at least one. A name is looked up on another thread.
pub(crate) async fn look_up(endpoint: &Endpoint, purpose: Purpose) -> Result<Vec<SockAddr>, AddressError> {
    if !endpoint.is_named() {
        return endpoint.resolve(purpose);
    }
    let (endpoint, host) = (endpoint.clone(), endpoint.to_string());
    let found = resolve(move || endpoint.resolve(purpose)).await;
    found.unwrap_or_else(|error| Err(AddressError::Unresolved { host, source: Some(error) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::block_on;
    use std::net::{SocketAddr, TcpListener};

    /// A socket that is bound to where it connects to, as the kernel may choose it to be.
    fn connected_to_itself() -> io::Result<Socket> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.connect(&socket.local_addr()?)?;
        Socket::from_fd(socket.into())
    }

    #[test]
    fn connection_to_itself_is_a_refusal() {
        let error = block_on(connect_with(connected_to_itself, false)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn connection_to_itself_is_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut tries = 0;
        let connect = || {
            tries += 1;
            if tries == 1 { connected_to_itself() } else { Socket::connect(&address.into()) }
        };
        let stream = block_on(connect_with(connect, false));
        assert_eq!(stream.unwrap().peer_addr().unwrap().as_socket(), Some(address));
    }
}
