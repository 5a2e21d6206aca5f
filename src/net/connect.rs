//! Outgoing connections, one at a time.

use super::state::Flag;
use super::stream::Stream;
use crate::io::{AddressError, Endpoint, Socket};
use crate::runtime::{expect_current, oneshot};
use socket2::SockAddr;
use std::future::poll_fn;
use std::io;

/// Connects, in the time that the system takes for it.
pub(crate) async fn connect_to(address: &SockAddr) -> io::Result<Stream> {
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
pub(crate) async fn look_up(endpoint: &Endpoint) -> Result<Vec<SockAddr>, AddressError> {
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
