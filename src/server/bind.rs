//! How to listen: an endpoint with its options.

use super::refusal::Refusal;
use crate::error::{Error, Result};
use crate::io::{AddressError, Endpoint, KeepAlive, ListenOptions};
use std::time::Duration;

/// A place to [`listen`](crate::Server::listen) on, with options. Where the defaults will do, an address as text does.
///
/// An option that means nothing where it is used is refused there, by [`AddressError::Inapplicable`]: for Unix sockets
/// `reuse_address`, `reuse_port`, `no_delay`, `keep_alive`, `linger` and `device`, for datagrams `backlog`, `no_delay`, `keep_alive`,
/// `linger` and `max_connections`.
///
/// ```
/// use std::time::Duration;
/// use tiderace::{Bind, KeepAlive};
///
/// # fn main() -> tiderace::Result {
/// let bind = Bind::to("tcp://127.0.0.1:0")?
///     .backlog(512)
///     .keep_alive(KeepAlive::after(Duration::from_secs(60)))
///     .max_connections(10_000);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bind {
    pub(super) endpoint: Endpoint,
    pub(super) options: ListenOptions,
    pub(super) max_connections: Option<usize>,
    pub(super) refusal: Option<Refusal>,
}

impl Bind {
    /// Listens on an [`Endpoint`], or on what can be made one: `"tcp://HOST:PORT"`, `"unix://PATH"`, a
    /// [`SocketAddr`](std::net::SocketAddr).
    ///
    /// # Errors
    /// [`Error::Address`] when that is none.
    pub fn to<E>(endpoint: E) -> Result<Bind>
    where
        E: TryInto<Endpoint>,
        AddressError: From<E::Error>,
    {
        let endpoint: Endpoint = endpoint.try_into().map_err(|error| Error::Address(error.into()))?;
        let (reuse_port, only_v6) = (endpoint.reuse_port, endpoint.is_only_v6());
        let options = ListenOptions { reuse_port, only_v6, ..ListenOptions::default() };
        Ok(Bind { endpoint, options, max_connections: None, refusal: None })
    }

    /// What of it listens for streams.
    ///
    /// # Errors
    /// [`AddressError`] for a place that is for datagrams, and for an option that does not apply.
    pub(super) fn for_streams(mut self) -> Result<Bind, AddressError> {
        self.endpoint = self.endpoint.for_streams()?;
        let unfit = if self.endpoint.is_unix() { self.options.inapplicable_to_unix() } else { None };
        unfit.map_or(Ok(self), |option| Err(AddressError::Inapplicable { option, to: "a Unix socket" }))
    }

    /// What of it listens for datagrams; with errors alike.
    pub(super) fn for_datagrams(mut self) -> Result<Bind, AddressError> {
        self.endpoint = self.endpoint.for_datagrams()?;
        let of_server = self.max_connections.map(|_| "max_connections").or(self.refusal.as_ref().map(|_| "refusal"));
        let unfit = self.options.inapplicable_to_datagrams().or(of_server);
        unfit.map_or(Ok(self), |option| Err(AddressError::Inapplicable { option, to: "datagrams" }))
    }

    /// How many connections may wait to be accepted. Default: 4,096, or less if the system holds it lower.
    pub fn backlog(mut self, connections: u32) -> Bind {
        self.options.backlog = Some(connections);
        self
    }

    /// Whether other processes may listen on the same port at the same time (`SO_REUSEPORT`, socket(7)), for replacing a
    /// server without a gap, say. Default: no. The cores of one server share their port in any case.
    pub fn reuse_port(mut self, reuse: bool) -> Bind {
        self.options.reuse_port = reuse;
        self
    }

    /// Whether a port may be bound whose last connections the system still remembers (`SO_REUSEADDR`). Default: yes.
    ///
    /// For datagrams it means something else: on Linux, any number of sockets that say so, also of other processes, have the port
    /// at the same time, and each hears what is sent to a multicast group. Default: no.
    pub fn reuse_address(mut self, reuse: bool) -> Bind {
        self.options.reuse_address = Some(reuse);
        self
    }

    /// Whether small segments leave at once (`TCP_NODELAY`). Default: yes.
    pub fn no_delay(mut self, no_delay: bool) -> Bind {
        self.options.no_delay = Some(no_delay);
        self
    }

    /// When to ask silent peers whether they are still there. Default: never.
    pub fn keep_alive(mut self, keep_alive: KeepAlive) -> Bind {
        self.options.keep_alive = Some(keep_alive);
        self
    }

    /// The kernel's buffer for what each connection has received, in bytes. Default: it fits itself to the connection, which
    /// setting it ends.
    pub fn recv_buffer(mut self, bytes: usize) -> Bind {
        self.options.recv_buffer = Some(bytes);
        self
    }

    /// The kernel's buffer for what each connection is to send, in bytes. Default: it fits itself to the connection.
    pub fn send_buffer(mut self, bytes: usize) -> Bind {
        self.options.send_buffer = Some(bytes);
        self
    }

    /// What becomes of bytes that the kernel has not sent when a descriptor closes (`SO_LINGER`). Zero drops them and resets
    /// the connection; a part of a second counts as a whole one. Default: they are sent in the background. It is what
    /// [`SocketOptions::set_linger`](crate::SocketOptions::set_linger) sets of a connection, and blocks no core.
    pub fn linger(mut self, linger: Duration) -> Bind {
        self.options.linger = Some(linger);
        self
    }

    /// Accepts only what comes by this network device (`SO_BINDTODEVICE`), on Linux; it may need a privilege.
    pub fn device(mut self, name: impl Into<String>) -> Bind {
        self.options.device = Some(name.into());
        self
    }

    /// How many connections of this listener may be open at once, on all cores. Those beyond are closed as soon as they are
    /// accepted, which is logged once, and counted. Default: no limit but the system's.
    pub fn max_connections(mut self, connections: usize) -> Bind {
        self.max_connections = Some(connections);
        self
    }

    /// What connections of this listener are told that are refused, whether by its own limit or by that of its server.
    /// Default: what [`Server::refusal`](crate::Server::refusal) says.
    pub fn refusal(mut self, refusal: impl Into<Refusal>) -> Bind {
        self.refusal = Some(refusal.into());
        self
    }
}
