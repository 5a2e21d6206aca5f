//! A server as a user makes it.

use super::balance::Balance;
use super::config::Config;
use super::control::ServerHandle;
use super::datagram::{DatagramHandler, DatagramListening};
use super::hooks::Hooks;
use super::listen::{Listen, ListenUdp, Listening, StreamListening};
use super::refusal::Refusal;
use super::start::run;
use super::status::Owned;
use crate::buffer::Class;
use crate::connection::Handler;
use crate::error::Result;
use crate::io::Address;
use crate::net::Limits;
use std::fmt;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// A server: one core, that is a thread with a reactor of its own, for each processor, and listeners whose connections
/// are spread over the cores.
///
/// ```no_run
/// use tiderace::{Conn, Handler, Result, Server, codec::Raw};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type Codec = Raw;
///
///     async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
///         conn.send(bytes).await
///     }
/// }
///
/// fn main() -> Result {
///     Server::new().listen("tcp://127.0.0.1:1833", Raw, || Echo)?.run()
/// }
/// ```
#[derive(Default)]
pub struct Server {
    pub(super) config: Config,
    listening: Vec<Listening>,
    pub(super) hooks: Hooks,
    control: Owned,
}

impl Server {
    /// A server that listens nowhere yet.
    pub fn new() -> Server {
        Server::default()
    }

    /// How many cores to run. Default: one for each processor that this process may use.
    ///
    /// # Panics
    /// If it is zero.
    pub fn cores(mut self, cores: usize) -> Server {
        self.config.cores = Some(NonZeroUsize::new(cores).expect("a server needs at least one core"));
        self
    }

    /// How long a core that has nothing to do polls on before it sleeps, at most. Default: 50 microseconds; zero turns
    /// it off.
    ///
    /// It happens only while events have lately followed each other that closely, and then makes answers faster at the
    /// same processor time. It does not happen where there are more cores than processors.
    pub fn busy_poll(mut self, limit: Duration) -> Server {
        self.config.busy_poll = limit;
        self
    }

    /// Whether to use the poller that works on every system, with more system calls, where there is a better one.
    /// Default: no.
    pub fn portable(mut self, portable: bool) -> Server {
        self.config.portable = portable;
        self
    }

    /// Whether each core keeps to one processor: the first core to the first processor that this thread may use, and so
    /// on, and again from the first where there are more cores. Default: no.
    ///
    /// It keeps caches warm where processors are plenty. It costs the system its freedom: a core whose processor is busy
    /// with something else waits, although another may be idle. Only on Linux; elsewhere it is logged that it cannot be.
    pub fn pin_cores(mut self, pin: bool) -> Server {
        self.config.pin = pin;
        self
    }

    /// The largest buffer that a connection's bytes are received into before its handler has them. There are three sizes,
    /// 4, 16 and 128 KiB; the largest one within `bytes`, or else the smallest, is the limit. Default: 128 KiB.
    ///
    /// Connections begin with the smallest, and get larger ones while they fill theirs; those that have nothing in hand have
    /// none. A message that is longer than the limit grows the buffer as it comes, up to the codec's maximum.
    pub fn read_buffer(mut self, bytes: usize) -> Server {
        self.config.largest_ring = Class::at_most(bytes);
        self
    }

    /// How connections are spread over the cores. Default: [`Balance::Kernel`].
    pub fn balance(mut self, balance: Balance) -> Server {
        self.config.balance = balance;
        self
    }

    /// How many connections may be open at once, on all listeners and cores. Those beyond are closed as soon as they are
    /// accepted, which is logged once, and counted by [`ServerHandle::refused`]. Default: no limit but the system's. One
    /// that was closed here counts until its peer has ended it too, as long as [`close_timeout`](Server::close_timeout) allows.
    pub fn max_connections(mut self, connections: usize) -> Server {
        self.config.max_connections = Some(connections);
        self
    }

    /// What connections are told that are refused because as many as may be are open. Default: nothing.
    ///
    /// The bytes are sent without a wait, and the socket is kept until the peer has ended its side, at most for a second and at
    /// most 256 of them for each listener and core.
    pub fn refusal(mut self, refusal: impl Into<Refusal>) -> Server {
        self.config.refusal = Some(refusal.into());
        self
    }

    /// The marks of every connection's write queue, in bytes: above `high` a send waits, until the queue is down to
    /// `low`. Default: 256 KiB and 128 KiB. A connection whose peer does not read costs this much memory and one message.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn write_marks(mut self, high: u32, low: u32) -> Server {
        self.config.write = Limits::new(high, low);
        self
    }

    /// How long a connection that closes may stand still. Default: 5 seconds. It gets on whenever the peer takes some of what
    /// was sent, also from what the kernel holds, so that a slow peer gets every byte. When the peer has everything (where the
    /// system cannot tell, that is at once: Linux can), the connection waits for the peer's own end, and gets on whenever the
    /// peer sends something, but for six times this limit in all at most.
    pub fn close_timeout(mut self, limit: Duration) -> Server {
        self.config.close = limit;
        self
    }

    /// Closes connections on which nothing was received and nothing sent for so long, while no method of their handlers ran.
    /// Default: that of the [codec](crate::codec::Codec::patience), which for HTTP is 75 seconds, and mostly never.
    /// [`Conn::set_idle_timeout`](crate::Conn::set_idle_timeout) sets it for one connection.
    ///
    /// A protocol that can ask for a sign of life does so when half of the time has passed: WebSockets are pinged. So this
    /// closes those that are gone without a word, and keeps those that only have nothing to say.
    pub fn idle_timeout(mut self, limit: Duration) -> Server {
        self.config.time.idle = Some(limit);
        self
    }

    /// Closes connections whose first message is not complete so long after they have opened. Default: never.
    /// [`TimeLimit::FirstMessage`](crate::TimeLimit::FirstMessage) says what counts as one.
    pub fn first_message_timeout(mut self, limit: Duration) -> Server {
        self.config.time.first_message = Some(limit);
        self
    }

    /// Closes connections on which a message has begun and is not complete so long after that, however slowly its bytes
    /// come. Default: never. [`Conn::set_message_timeout`](crate::Conn::set_message_timeout) sets it for one connection.
    ///
    /// It holds for the whole message, from its first byte to its last, in however many frames it comes:
    /// [`TimeLimit::Message`](crate::TimeLimit::Message) says more.
    pub fn message_timeout(mut self, limit: Duration) -> Server {
        self.config.time.message = Some(limit);
        self
    }

    /// Closes connections whose peers take nothing for so long of what is queued for them, also while a handler waits in a
    /// `send`. Default: never. [`Conn::set_write_timeout`](crate::Conn::set_write_timeout) sets it for one connection.
    ///
    /// Without it, a peer that asks and does not read keeps its connection for as long as it likes, and up to the high-water
    /// mark of memory.
    pub fn write_timeout(mut self, limit: Duration) -> Server {
        self.config.time.write = Some(limit);
        self
    }

    /// Listens on an address, speaks `codec` with whoever connects, and makes a handler for each connection.
    ///
    /// The address is an [`Endpoint`](crate::Endpoint) or the text of one (`"tcp://HOST:PORT"`, `"unix://PATH"`), a
    /// [`SocketAddr`](std::net::SocketAddr), a [`Bind`](crate::Bind) with options, or a listener of the standard library. A
    /// server may listen on many, each with its own codec and handler.
    ///
    /// # Errors
    /// [`Error::Address`](crate::Error::Address) for what is no address, [`Error::Bind`](crate::Error::Bind) when nothing can listen there, for example because
    /// somebody does already.
    pub fn listen<H, F>(self, on: impl Listen, codec: H::Codec, handler: F) -> Result<Server>
    where
        H: Handler,
        H::Codec: Clone + Send,
        F: FnMut() -> H + Clone + Send + 'static,
    {
        self.listen_per_core(on, codec, move |_| handler.clone())
    }

    /// Like [`listen`](Server::listen), but `setup` is called once on each core, with the core's number, and makes the
    /// function that makes its handlers. What the connections of one core share is an `Rc` that it makes; it may also spawn
    /// tasks.
    ///
    /// ```no_run
    /// # use tiderace::{Conn, Handler, Result, Server, codec::Raw};
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// struct Count(Rc<Cell<u64>>);
    /// # impl Handler for Count {
    /// #     type Codec = Raw;
    /// #     async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
    /// #         self.0.set(self.0.get() + 1);
    /// #         conn.send(bytes).await
    /// #     }
    /// # }
    ///
    /// # fn main() -> Result {
    /// let server = Server::new().listen_per_core("tcp://127.0.0.1:0", Raw, |_core| {
    ///     let messages = Rc::new(Cell::new(0));
    ///     move || Count(messages.clone())
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen_per_core<H, F, S>(mut self, on: impl Listen, codec: H::Codec, setup: S) -> Result<Server>
    where
        H: Handler,
        H::Codec: Clone + Send,
        F: FnMut() -> H + 'static,
        S: FnOnce(usize) -> F + Clone + Send + 'static,
    {
        let listening = StreamListening::new(on, codec, setup)?;
        self.listening.push(Listening::Streams(Box::new(listening)));
        Ok(self)
    }

    /// Hears datagrams on an address, and makes a handler for each core: on Linux the system spreads the peers over the
    /// cores, elsewhere the first core has them all.
    ///
    /// The address is an [`Endpoint`](crate::Endpoint) or the text of one (`"udp://HOST:PORT"`), a
    /// [`SocketAddr`](std::net::SocketAddr), a [`Bind`](crate::Bind) with options, or a socket of the standard library,
    /// which is the first core's, or several of them in a [`Vec`], which are spread over the cores.
    ///
    /// # Errors
    /// As those of [`listen`](Server::listen).
    pub fn listen_udp<H, F>(self, on: impl ListenUdp, handler: F) -> Result<Server>
    where
        H: DatagramHandler,
        F: FnOnce() -> H + Clone + Send + 'static,
    {
        self.listen_udp_per_core(on, move |_| handler())
    }

    /// Like [`listen_udp`](Server::listen_udp), with the number of the core that the handler is for.
    pub fn listen_udp_per_core<H, F>(mut self, on: impl ListenUdp, handler: F) -> Result<Server>
    where
        H: DatagramHandler,
        F: FnOnce(usize) -> H + Clone + Send + 'static,
    {
        self.listening.push(Listening::Datagrams(DatagramListening::new(on, handler)?));
        Ok(self)
    }

    /// Where this server listens, in the order of its `listen`s.
    pub fn local_addrs(&self) -> Vec<Address> {
        self.listening.iter().map(|listening| listening.address().clone()).collect()
    }

    /// A handle that stops the server, waits for its end, and reaches its cores and connections, from any thread. It may be
    /// made before [`listen`](Server::listen), for handlers that want one.
    ///
    /// ```
    /// # use tiderace::{Conn, Handler, Result, Server, ServerHandle, codec::Lines};
    /// struct Count(ServerHandle);
    ///
    /// impl Handler for Count {
    ///     type Codec = Lines;
    ///
    ///     async fn on_message(&mut self, conn: &mut Conn<Lines>, _: &str) -> Result {
    ///         conn.send(&self.0.connections().to_string()).await
    ///     }
    /// }
    ///
    /// # fn main() -> Result {
    /// let server = Server::new();
    /// let handle = server.handle();
    /// let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || Count(handle.clone()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.control))
    }

    /// Serves what the cores count as a page for Prometheus, at `/metrics`. Feature `metrics`.
    ///
    /// It is one more listener of this server, with connections that are counted as all are, but let in where the server has
    /// as many as it may.
    ///
    /// # Errors
    /// As those of [`listen`](Server::listen).
    ///
    /// ```no_run
    /// # use tiderace::{Result, Server};
    /// # fn main() -> Result {
    /// let server = Server::new().metrics_at("tcp://127.0.0.1:9100")?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn metrics_at(mut self, on: impl Listen) -> Result<Server> {
        use crate::http::Http;
        use crate::metrics::Page;

        let handle = self.handle();
        let setup = move |_| {
            move || {
                let handle = handle.clone();
                Page { read: move || handle.metrics() }
            }
        };
        let listening = StreamListening::new(on, Http::default(), setup)?.exempt(crate::limits::PAGES);
        self.listening.push(Listening::Streams(Box::new(listening)));
        Ok(self)
    }

    /// Duplicates of the descriptors of the listeners, as
    /// [`ServerHandle::duplicate_listeners`] makes them of a server that runs. Where the kernel spreads datagrams, or connections
    /// ([`Balance::Kernel`]), over the cores, this opens the listeners of all of them, so their [number](Server::cores) is to be set
    /// before.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn duplicate_listeners(&self) -> Result<Vec<Vec<OwnedFd>>> {
        let (cores, by_kernel) = (self.config.cores(), matches!(self.config.balance, Balance::Kernel));
        self.listening.iter().map(|listening| listening.duplicates(cores, by_kernel)).collect()
    }

    /// Serves until it is stopped by a [`handle`](Server::handle). This thread becomes the first core.
    ///
    /// # Errors
    /// When a core cannot be started, the `setup` of a listener panics, or a poller fails. The other cores have then ended, and
    /// handles find nothing that runs.
    ///
    /// # Panics
    /// If this thread is a core already, for example inside [`block_on`](crate::block_on).
    pub fn run(self) -> Result {
        run(self.config, self.listening, self.hooks, self.control)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listens", &self.local_addrs()).field("config", &self.config).finish()
    }
}
