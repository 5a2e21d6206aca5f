//! What a server does on one core, from start to stop.

use super::config::Config;
use super::control::{Control, CoreControl};
use super::listen::Start;
use crate::connection::Settings;
use crate::error::Result;
use crate::io::Listener;
use crate::runtime::{Core, CoreConfig, Entered, Interrupt, PreparedCore, timeout};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

/// How long handlers of aborted connections may take over `on_close`.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// One core's part of one `listen`.
pub(super) struct Part {
    pub(super) listener: Listener,
    pub(super) start: Start,
}

pub(super) struct Worker {
    index: usize,
    core: PreparedCore,
    parts: Vec<Part>,
    config: Config,
    server: Arc<Control>,
    control: Arc<CoreControl>,
}

impl Worker {
    /// Opens all that core `index` needs, on the thread that starts the server: once connections are accepted,
    /// descriptors may be short.
    pub(super) fn new(index: usize, parts: Vec<Part>, config: &Config, server: &Arc<Control>) -> Result<Worker> {
        let core = CoreConfig { index, busy_poll: config.busy_poll(), portable: config.portable }.prepare()?;
        Ok(Worker { index, core, parts, config: config.clone(), control: server.join(), server: server.clone() })
    }

    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Serves on this thread until the server is stopped. If this core fails, the others are stopped too.
    pub(super) fn run(self) -> Result {
        let server = self.server.clone();
        let stop_all = StopAll(&server);
        let entered = Entered::new(self.core);
        let settings = Rc::new(Settings {
            write: self.config.write,
            close: self.config.close,
            open: self.control.open.clone(),
            emptied: Cell::new(None),
        });
        for part in self.parts {
            (part.start)(entered.core(), part.listener, settings.clone())?;
        }
        let core = entered.core().clone();
        let served = entered.run(async {
            let within = self.server.stopped(&self.control).await;
            end(&core, &settings, within).await;
        });
        served?;
        std::mem::forget(stop_all);
        Ok(())
    }
}

/// Stops the server if a core ends in any other way than by being stopped.
struct StopAll<'a>(&'a Control);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.stop(Duration::ZERO);
    }
}

/// Ends every connection: gracefully while there is time, then at once.
async fn end(core: &Core, settings: &Settings, within: Duration) {
    tracing::debug!(core = core.index, connections = settings.open.load(Relaxed), ?within, "stopping");
    interrupt(core, Interrupt::Stop);
    // Once more, for those whom the listeners have let in last.
    interrupt(core, Interrupt::Stop);
    if timeout(within, emptied(settings)).await.is_err() {
        tracing::warn!(core = core.index, connections = settings.open.load(Relaxed), "aborting what is left");
        interrupt(core, Interrupt::Abort);
        let _ = timeout(LAST_WORDS, emptied(settings)).await;
    }
}

fn interrupt(core: &Core, how: Interrupt) {
    core.sources().iter().for_each(|source| source.interrupt(how));
}

/// Resolves when the last connection of this core has ended.
async fn emptied(settings: &Settings) {
    poll_fn(|cx| {
        settings.emptied.set(Some(cx.waker().clone()));
        if settings.open.load(Relaxed) == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await
}
