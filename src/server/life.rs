//! What a server does besides its connections, from its start to its end.

use super::builder::Server;
use super::control::ServerHandle;
use super::tick::Tick;
use std::future::Future;
use std::time::Duration;

impl Server {
    /// Calls `hook` on the first core when every core has what it needs and before connections are accepted: until it was
    /// called, and its future has run as far as its first wait, they wait in the kernel's queue. What the future does after
    /// that runs beside the connections. It may spawn tasks. The handle is the server's own.
    ///
    /// A panic in it is logged, and the server goes on.
    pub fn on_start<F>(mut self, hook: impl FnOnce(ServerHandle) -> F + Send + 'static) -> Server
    where
        F: Future<Output = ()> + 'static,
    {
        self.hooks.on_start(hook);
        self
    }

    /// Calls `hook` on the first core when the server begins to stop: nothing is accepted any more, and connections go on,
    /// on all cores, until it has ended. It must end within the time that the stop may take.
    pub fn on_shutdown<F>(mut self, hook: impl FnOnce() -> F + Send + 'static) -> Server
    where
        F: Future<Output = ()> + 'static,
    {
        self.hooks.on_shutdown(hook);
        self
    }

    /// Runs a task on each core, which is given its number. As those of [`on_start`](Server::on_start), and before them, they
    /// run as far as their first wait before connections are accepted.
    pub fn on_each_core<F>(mut self, task: impl Fn(usize) -> F + Send + Sync + 'static) -> Server
    where
        F: Future<Output = ()> + 'static,
    {
        self.hooks.per_core(task);
        self
    }

    /// Calls `tick` on the first core when the server starts, and then again and again. Each call says by a [`Tick`] what is
    /// next: another one after some time (or that [`Duration`] itself), none any more (or `None`), or the end of the server.
    ///
    /// A panic in it is logged, and it is called again after the time that it has named last, or after a second.
    ///
    /// ```no_run
    /// # use tiderace::Server;
    /// use std::time::Duration;
    /// use tiderace::Tick;
    ///
    /// let server = Server::new().on_tick(|| Some(Duration::from_secs(1)));
    ///
    /// let mut minutes = 0;
    /// let server = server.on_tick(move || {
    ///     minutes += 1;
    ///     match minutes {
    ///         60 => Tick::StopServer(Duration::from_secs(10)),
    ///         _ => Tick::After(Duration::from_secs(60)),
    ///     }
    /// });
    /// ```
    pub fn on_tick<T: Into<Tick>>(mut self, tick: impl FnMut() -> T + Send + 'static) -> Server {
        self.hooks.tick(tick);
        self
    }

    /// Runs `work` on the first core, once, so long after the server has started. [`after`](crate::after) does the same where a
    /// server runs already, and its handle cancels it.
    ///
    /// ```no_run
    /// # use tiderace::Server;
    /// use std::time::Duration;
    ///
    /// let server = Server::new();
    /// let handle = server.handle();
    /// let server = server.after(Duration::from_secs(3600), move || async move { handle.stop(Duration::from_secs(10)) });
    /// ```
    pub fn after<F>(mut self, delay: Duration, work: impl FnOnce() -> F + Send + 'static) -> Server
    where
        F: Future<Output = ()> + 'static,
    {
        self.hooks.after(delay, work);
        self
    }

    /// Runs `work` on the first core again and again, for the first time one `period` after the server has started, until the
    /// server has ended. A run that takes longer than the period delays the next. A panic in it is logged, and the next run
    /// comes.
    ///
    /// # Panics
    /// If `period` is zero.
    pub fn every<F>(mut self, period: Duration, work: impl FnMut() -> F + Send + 'static) -> Server
    where
        F: Future<Output = ()> + 'static,
    {
        assert!(!period.is_zero(), "an interval needs a period longer than zero");
        self.hooks.every(period, work);
        self
    }

    /// Stops the server gracefully, as [`ServerHandle::stop`] does, when this process gets `SIGINT` (Ctrl-C) or `SIGTERM`.
    /// A second one ends the process at once, as it would without this. Feature `signal`.
    ///
    /// ```no_run
    /// # use tiderace::Server;
    /// use std::time::Duration;
    ///
    /// let server = Server::new().stop_on_signal(Duration::from_secs(10));
    /// ```
    #[cfg(feature = "signal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
    pub fn stop_on_signal(self, within: Duration) -> Server {
        use crate::signal::{Signal, Signals};

        self.on_start(move |server| async move {
            match Signals::new([Signal::Interrupt, Signal::Terminate]) {
                Ok(mut signals) => {
                    let signal = signals.next().await;
                    tracing::info!(?signal, ?within, "stopping");
                    // The next one is nobody's but the system's.
                    drop(signals);
                    server.stop(within);
                }
                Err(error) => tracing::error!(%error, "signals cannot be listened to"),
            }
        })
    }
}
