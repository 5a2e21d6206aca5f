//! Outgoing connections.

use super::state::Flag;
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::io::{AddressError, Endpoint, Socket};
use crate::runtime::{expect_current, oneshot};
use socket2::SockAddr;
use std::future::poll_fn;
use std::io;

/// Connects to a [`SocketAddr`](std::net::SocketAddr) or to `"tcp://HOST:PORT"`; of several addresses that a name has, to the first that
/// answers.
///
/// A name is looked up by the system's resolver, on a thread of its own. There is no time limit but the system's; see
/// [`timeout`](crate::timeout).
///
/// # Errors
/// [`Error::Address`] when that is no address, [`Error::Connect`] when nobody answers.
///
/// # Cancel safety
/// Safe: a half-made connection is closed.
///
/// # Panics
/// Outside a core.
pub async fn connect<A>(to: A) -> Result<Stream>
where
    A: TryInto<Endpoint>,
    AddressError: From<A::Error>,
{
    let endpoint = to.try_into().map_err(|error| Error::Address(error.into()))?.for_streams()?;
    let addresses = look_up(&endpoint).await.map_err(Error::Address)?;
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        match connect_to(&address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(Error::Connect { address: endpoint.to_string(), source: failure })
}

async fn connect_to(address: &SockAddr) -> io::Result<Stream> {
    let core = expect_current("connect");
    let stream = Stream::new(&core, Socket::connect(address)?, Flag::BLOCKED)?;
    let port = stream.port();
    poll_fn(|cx| port.poll_writable(cx)).await;
    match port.failure() {
        Some(error) => Err(error),
        None => port.socket.take_error().map(|()| stream),
    }
}

/// The addresses of an endpoint, at least one. A name is looked up on a thread of its own.
pub(super) async fn look_up(endpoint: &Endpoint) -> Result<Vec<SockAddr>, AddressError> {
    if let Some(address) = endpoint.as_socket() {
        return Ok(vec![address]);
    }
    let (found, answer) = oneshot();
    let (endpoint, name) = (endpoint.clone(), endpoint.to_string());
    let lost = |source| AddressError::Unresolved { host: name.clone(), source };
    let thread = std::thread::Builder::new().name("tiderace-resolver".into());
    thread.spawn(move || found.send(endpoint.resolve())).map_err(|error| lost(Some(error)))?;
    answer.receive().await.unwrap_or_else(|| Err(lost(None)))
}
