//! Where to connect to, and how.

use super::Backoff;
use super::persistent::{Client, Dial};
use super::race::race;
use crate::connection::{Handle, Handler, Session};
use crate::error::{Error, Result};
use crate::io::{AddressError, Endpoint, Purpose};
use crate::limits;
use crate::net::{Stream, look_up};
use crate::runtime::{expect_current, timeout};
use socket2::SockAddr;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Connects to an [`Endpoint`], to the text of one (`"tcp://HOST:PORT"`, `"unix://PATH"`), or to a [`SocketAddr`]: what
/// [`Connector::connect`] does with its defaults.
///
/// # Errors
/// [`Error::Address`] when that is no address, [`Error::Connect`] when nobody answers within 30 seconds.
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
    // Asked here, too, so that a panic says what was called.
    expect_current("connect");
    Connector::new(to)?.connect().await
}

/// Where to connect to, and how long that may take.
///
/// A name is looked up by the system's resolver each time that a connection is made: on other threads, of which there are 16 at
/// most in the process; more look-ups wait for them, in order. Of several
/// addresses the families take turns, and the next one is tried while the last one has not answered; the first to answer
/// has the connection (RFC 8305, "Happy Eyeballs").
///
/// ```no_run
/// use std::time::Duration;
/// use tiderace::{Connector, Result, block_on, codec::Lines};
///
/// fn main() -> Result {
///     block_on(async {
///         let connector = Connector::new("tcp://example.com:1833")?.timeout(Duration::from_secs(3));
///         let mut lines = connector.connect().await?.framed(Lines::default());
///         lines.send("hello").await
///     })
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    to: To,
    timeout: Duration,
    delay: Duration,
}

#[derive(Clone, Debug)]
enum To {
    Endpoint(Endpoint),
    Addresses(Vec<SocketAddr>),
}

impl Connector {
    /// Connects to an [`Endpoint`], to the text of one, or to a [`SocketAddr`].
    ///
    /// # Errors
    /// [`Error::Address`] when that is no address.
    pub fn new<A>(to: A) -> Result<Connector>
    where
        A: TryInto<Endpoint>,
        AddressError: From<A::Error>,
    {
        let endpoint = to.try_into().map_err(|error| Error::Address(error.into()))?.for_streams()?;
        Ok(Connector::to(To::Endpoint(endpoint)))
    }

    /// Connects to one of several addresses: they are tried as those of a name are.
    pub fn to_any_of(addresses: impl IntoIterator<Item = SocketAddr>) -> Connector {
        Connector::to(To::Addresses(addresses.into_iter().collect()))
    }

    fn to(to: To) -> Connector {
        Connector { to, timeout: limits::CONNECT, delay: limits::NEXT_ADDRESS }
    }

    /// How long it may take to look up the name and to connect, in all. Default: 30 seconds.
    pub fn timeout(mut self, limit: Duration) -> Connector {
        self.timeout = limit;
        self
    }

    /// How long an address may take to answer before the next one is tried as well. Default: 250 milliseconds, which RFC
    /// 8305 (section 5) recommends; it may be shorter where the network is known.
    pub fn attempt_delay(mut self, delay: Duration) -> Connector {
        self.delay = delay;
        self
    }

    /// Connects, on this core.
    ///
    /// A Unix socket whose backlog is full is tried again until the time is over. A connection that has met itself, because the
    /// kernel chose the port that it goes to as its own, is refused: nothing listens there.
    ///
    /// # Errors
    /// [`Error::Address`] when a name has no address, [`Error::Connect`] when nobody answers in time: it has the last
    /// address' reason, and each one's is logged at level `debug`.
    ///
    /// # Cancel safety
    /// Safe: half-made connections are closed.
    ///
    /// # Panics
    /// Outside a core.
    pub async fn connect(&self) -> Result<Stream> {
        expect_current("Connector::connect");
        let connected = timeout(self.timeout, async {
            let addresses = self.addresses().await.map_err(Error::Address)?;
            race(addresses, self.delay).await.map_err(|source| self.failed(source))
        });
        let too_late = |_| Err(self.failed(io::ErrorKind::TimedOut.into()));
        connected.await.unwrap_or_else(too_late)
    }

    /// Stays connected: has a handler called for one connection after the other, as [`Stream::serve`] does for one. When
    /// a connection breaks, and when none can be made, it is tried again after a pause.
    ///
    /// It ends when a connection was closed on this side (by its handler, a [`Handle`], the server whose
    /// core this is, or [`Client::close`]), or when `backoff` gives up.
    ///
    /// # Panics
    /// Outside a core.
    ///
    /// ```
    /// use tiderace::{Backoff, Conn, Connector, Handler, Result, codec::Lines};
    ///
    /// struct Subscriber;
    ///
    /// impl Handler for Subscriber {
    ///     type Codec = Lines;
    ///
    ///     async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
    ///         conn.send("subscribe").await
    ///     }
    ///
    ///     async fn on_message(&mut self, _: &mut Conn<Lines>, line: &str) -> Result {
    ///         println!("{line}");
    ///         Ok(())
    ///     }
    /// }
    ///
    /// async fn subscribe() -> Result {
    ///     let connector = Connector::new("tcp://127.0.0.1:1833")?;
    ///     connector.serve(Lines::default(), Backoff::default(), || Subscriber).closed().await
    /// }
    /// ```
    #[track_caller]
    pub fn serve<H: Handler>(
        self,
        codec: H::Codec,
        backoff: Backoff,
        handler: impl FnMut() -> H + 'static,
    ) -> Client<H::Codec>
    where
        H::Codec: 'static,
    {
        expect_current("Connector::serve");
        Client::start(Plain { connector: self, codec, handler }, backoff)
    }

    async fn addresses(&self) -> Result<Vec<SockAddr>, AddressError> {
        match &self.to {
            To::Endpoint(endpoint) => look_up(endpoint, Purpose::Connect).await,
            To::Addresses(addresses) => Ok(addresses.iter().map(|address| (*address).into()).collect()),
        }
    }

    pub(super) fn address(&self) -> String {
        match &self.to {
            To::Endpoint(endpoint) => endpoint.to_string(),
            To::Addresses(addresses) => format!("any of {addresses:?}"),
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Connect { address: self.address(), source }
    }
}

/// Makes connections of a protocol without a handshake.
struct Plain<C, F> {
    connector: Connector,
    codec: C,
    handler: F,
}

impl<H: Handler, F: FnMut() -> H + 'static> Dial<H> for Plain<H::Codec, F> {
    async fn dial(&mut self) -> Result<(Session<H>, Handle<H::Codec>)> {
        let stream = self.connector.connect().await?;
        Session::over_stream(stream, &self.codec, (self.handler)(), None)
    }

    fn address(&self) -> String {
        self.connector.address()
    }
}
