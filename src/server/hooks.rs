//! What a user's server does besides its connections.

use super::control::{Control, ServerHandle};
use super::tick::Tick;
use crate::limits;
use crate::runtime::{CatchPanic, interval, panic_message, sleep, spawn_local};
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

type Local = Pin<Box<dyn Future<Output = ()>>>;
type OnStart = Box<dyn FnOnce(ServerHandle) -> Local + Send>;
type OnShutdown = Box<dyn FnOnce() -> Local + Send>;
type PerCore = Arc<dyn Fn(usize) -> Local + Send + Sync>;

/// The hooks of a server, or those that one core calls. Each is called in its future's first poll, where a panic ends its task
/// only.
#[derive(Default)]
pub(super) struct Hooks {
    start: Vec<OnStart>,
    shutdown: Vec<OnShutdown>,
    per_core: Vec<PerCore>,
}

impl Hooks {
    pub(super) fn on_start<F: Future<Output = ()> + 'static>(
        &mut self,
        hook: impl FnOnce(ServerHandle) -> F + Send + 'static,
    ) {
        self.start.push(Box::new(|server| Box::pin(async move { hook(server).await })));
    }

    pub(super) fn on_shutdown<F: Future<Output = ()> + 'static>(&mut self, hook: impl FnOnce() -> F + Send + 'static) {
        self.shutdown.push(Box::new(|| Box::pin(async move { hook().await })));
    }

    pub(super) fn per_core<F: Future<Output = ()> + 'static>(
        &mut self,
        hook: impl Fn(usize) -> F + Send + Sync + 'static,
    ) {
        let hook = Arc::new(hook);
        self.per_core.push(Arc::new(move |core| {
            let hook = hook.clone();
            Box::pin(async move { hook(core).await })
        }));
    }

    pub(super) fn tick<T: Into<Tick>>(&mut self, mut tick: impl FnMut() -> T + Send + 'static) {
        self.on_start(move |server| async move {
            let mut pause = limits::TICK_AFTER_PANIC;
            loop {
                match catch_unwind(AssertUnwindSafe(|| tick().into())) {
                    Ok(Tick::After(next)) => pause = next,
                    Ok(Tick::End) => return,
                    Ok(Tick::StopServer(within)) => return server.stop(within),
                    Err(panic) => tracing::error!(panic = panic_message(&*panic), "a ticker panicked; it goes on"),
                }
                sleep(pause).await;
            }
        });
    }

    pub(super) fn after<F>(&mut self, delay: Duration, work: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.on_start(move |_| async move {
            sleep(delay).await;
            work().await;
        });
    }

    pub(super) fn every<F>(&mut self, period: Duration, mut work: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.on_start(move |_| async move {
            let mut ticks = interval(period);
            loop {
                ticks.tick().await;
                // The panic of one run is logged.
                let _ = CatchPanic::new(async { work().await }).await;
            }
        });
    }

    /// What core `index` calls: the first one everything, the others what each core does.
    pub(super) fn of_core(&mut self, index: usize) -> Hooks {
        let per_core = self.per_core.clone();
        let (start, shutdown) = match index {
            0 => (std::mem::take(&mut self.start), std::mem::take(&mut self.shutdown)),
            _ => Default::default(),
        };
        Hooks { start, shutdown, per_core }
    }

    /// Begins what runs on each core; resolves when each of these was called.
    pub(super) async fn begin_on_core(&self, index: usize) {
        begin(self.per_core.iter().map(|hook| hook(index))).await;
    }

    /// Begins what runs on the first core; resolves when each of these was called, and runs until it waits.
    pub(super) async fn start(&mut self, server: &Arc<Control>) {
        begin(self.start.drain(..).map(|hook| hook(ServerHandle::new(server.clone())))).await;
    }

    /// Runs those for the end, one after the other. The panic of one is logged.
    pub(super) async fn shutdown(self) {
        // Contained as a whole, too, because those that are left are dropped where the time is over.
        let all = CatchPanic::new(async {
            for hook in self.shutdown {
                let _ = CatchPanic::new(async { hook().await }).await;
            }
        });
        let _ = all.await;
    }
}

/// Spawns tasks; resolves when each was polled once, so that none which never ends can keep the server from its start.
async fn begin(tasks: impl Iterator<Item = Local>) {
    let unpolled = Rc::new(Unpolled::default());
    for mut task in tasks {
        let mut first = Some(FirstPoll::of(&unpolled));
        spawn_local(poll_fn(move |cx| {
            let polled = task.as_mut().poll(cx);
            drop(first.take());
            polled
        }))
        .detach();
    }
    poll_fn(|cx| {
        unpolled.waiting.set(Some(cx.waker().clone()));
        if unpolled.count.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Tasks that were spawned and not polled yet.
#[derive(Default)]
struct Unpolled {
    count: Cell<usize>,
    waiting: Cell<Option<Waker>>,
}

/// Dropped when a task was polled, also when that has panicked.
struct FirstPoll(Rc<Unpolled>);

impl FirstPoll {
    fn of(unpolled: &Rc<Unpolled>) -> FirstPoll {
        unpolled.count.set(unpolled.count.get() + 1);
        FirstPoll(unpolled.clone())
    }
}

impl Drop for FirstPoll {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if let Some(waker) = self.0.waiting.take() {
            waker.wake();
        }
    }
}
