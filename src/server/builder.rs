//! A server as a user makes it.

use super::config::Config;
use super::control::{Control, ServerHandle};
use super::listen::{Listen, Listening};
use super::worker::{Part, Worker};
use crate::connection::Handler;
use crate::error::{Error, Result};
use crate::net::Limits;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
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
    config: Config,
    listening: Vec<Listening>,
    control: Arc<Control>,
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

    /// How many connections may wait to be accepted on each listener made after this. Default: 4,096, or less if the
    /// system holds it lower.
    pub fn backlog(mut self, connections: u32) -> Server {
        self.config.backlog = connections;
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

    /// How long a connection that closes may take to deliver what is queued, and then to see the peer's own end.
    /// Default: 5 seconds each.
    pub fn close_timeout(mut self, limit: Duration) -> Server {
        self.config.close = limit;
        self
    }

    /// Listens on an address, speaks `codec` with whoever connects, and makes a handler for each connection.
    ///
    /// The address is `"tcp://HOST:PORT"` (also `tcp4://`, `tcp6://`; port 0 for a free one), a
    /// [`SocketAddr`], or a [`std::net::TcpListener`]. A server may listen on many, each with its own codec and handler.
    ///
    /// # Errors
    /// [`Error::Address`] for what is no address, [`Error::Bind`] when nothing can listen there, for example because
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
        let listening = Listening::new(on, &self.config, codec, setup)?;
        self.listening.push(listening);
        Ok(self)
    }

    /// Where this server listens, in the order of its `listen`s.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listening.iter().map(|listening| listening.address).collect()
    }

    /// A handle that stops the server and counts its connections, from any thread.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle::new(self.control.clone())
    }

    /// Serves until it is stopped by a [`handle`](Server::handle). This thread becomes the first core.
    ///
    /// # Errors
    /// When a core can not be started or its poller fails; the other cores are then stopped.
    ///
    /// # Panics
    /// If this thread is a core already, for example inside [`block_on`](crate::block_on).
    pub fn run(mut self) -> Result {
        let cores = self.config.cores();
        let mut workers = Vec::with_capacity(cores);
        for index in 0..cores {
            let parts: Result<Vec<Part>> =
                self.listening.iter_mut().map(|listening| listening.part(&self.config, index)).collect();
            workers.push(Worker::new(index, parts?, &self.config, &self.control)?);
        }
        // What the parts have not cloned stays open otherwise, and connections would wait there for nobody.
        drop(std::mem::take(&mut self.listening));
        let mut workers = workers.into_iter();
        let first = workers.next();
        let mut threads = Vec::new();
        for worker in workers {
            let name = format!("tiderace-{}", worker.index());
            threads.push(thread::Builder::new().name(name).spawn(move || worker.run()).inspect_err(|_| {
                // Those that run already must not outlive a server that could not start.
                self.control.stop(Duration::ZERO);
            })?);
        }
        let mut result = first.map_or(Ok(()), Worker::run);
        for thread in threads {
            let ended = thread.join().unwrap_or_else(|_| Err(Error::msg("a core panicked")));
            result = result.and(ended);
        }
        result
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("listens", &self.local_addrs()).field("config", &self.config).finish()
    }
}
