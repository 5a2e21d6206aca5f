//! Tasks that end with their connection.

use super::Conn;
use crate::codec::Codec;
use crate::net::{Kept, Port};
use crate::runtime::{JoinHandle, TiedTasks, interval, sleep};
use std::future::Future;
use std::time::Duration;

impl Kept for TiedTasks {}

impl<C: Codec> Conn<C> {
    /// Runs `future` as a task of this core, beside the handler, until the connection ends: the future is dropped before
    /// [`on_close`](crate::Handler::on_close) is called, and the [`JoinHandle`] says
    /// [`Cancelled`](crate::JoinError::Cancelled). To [detach](Conn::detach) and to
    /// [upgrade](Conn::upgrade) the connection ends it as well. A task that is to outlive its connection is one of [`spawn_local`](crate::spawn_local).
    ///
    /// The task reaches the connection by a [`handle`](Conn::handle). One that has ended leaves nothing behind, so a connection
    /// may spawn any number of them in its life.
    ///
    /// A panic in it ends that task only.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tiderace::{Conn, Handler, Result, codec::Lines, interval};
    ///
    /// struct Clock;
    ///
    /// impl Handler for Clock {
    ///     type Codec = Lines;
    ///
    ///     async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
    ///         let peer = conn.handle();
    ///         conn.spawn(async move {
    ///             let mut seconds = interval(Duration::from_secs(1));
    ///             while peer.send("tick").await.is_ok() {
    ///                 seconds.tick().await;
    ///             }
    ///         });
    ///         Ok(())
    ///     }
    ///
    ///     async fn on_message(&mut self, _: &mut Conn<Lines>, _: &str) -> Result {
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let tasks = self.link.kept::<TiedTasks>().unwrap_or_else(|| {
            let tasks = TiedTasks::default();
            self.link.keep_until_closed(tasks.clone());
            tasks
        });
        tasks.spawn(&self.link.core, future)
    }

    /// Runs `work` after `delay`, as [`after`](crate::after) does, unless the connection ends before: see
    /// [`spawn`](Conn::spawn).
    pub fn after<F>(&self, delay: Duration, work: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let delay = sleep(delay);
        self.spawn(async move {
            delay.await;
            work.await
        })
    }

    /// Runs `work` again and again, as [`every`](crate::every) does, until the connection ends: see [`spawn`](Conn::spawn).
    ///
    /// # Panics
    /// If `period` is zero.
    pub fn every<F, W>(&self, period: Duration, mut work: W) -> JoinHandle<()>
    where
        W: FnMut() -> F + 'static,
        F: Future + 'static,
    {
        let mut ticks = interval(period);
        self.spawn(async move {
            loop {
                ticks.tick().await;
                work().await;
            }
        })
    }
}

/// Ends the tasks of a connection; resolves when they are gone.
pub(super) async fn end_tasks(port: &Port) {
    if let Some(tasks) = port.kept::<TiedTasks>() {
        tasks.end().await;
    }
}
