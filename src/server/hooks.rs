//! What a user's server does besides its connections.

use super::control::{Control, ServerHandle};
use crate::runtime::{CatchPanic, sleep, spawn_local};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

type Local = Pin<Box<dyn Future<Output = ()>>>;
type OnStart = Box<dyn FnOnce(ServerHandle) -> Local + Send>;
type OnShutdown = Box<dyn FnOnce() -> Local + Send>;
type PerCore = Arc<dyn Fn(usize) -> Local + Send + Sync>;

/// The hooks of a server, or those that one core calls.
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
        self.start.push(Box::new(|server| Box::pin(hook(server))));
    }

    pub(super) fn on_shutdown<F: Future<Output = ()> + 'static>(&mut self, hook: impl FnOnce() -> F + Send + 'static) {
        self.shutdown.push(Box::new(|| Box::pin(hook())));
    }

    pub(super) fn per_core<F: Future<Output = ()> + 'static>(
        &mut self,
        hook: impl Fn(usize) -> F + Send + Sync + 'static,
    ) {
        self.per_core.push(Arc::new(move |core| Box::pin(hook(core))));
    }

    pub(super) fn tick(&mut self, mut tick: impl FnMut() -> Option<Duration> + Send + 'static) {
        self.on_start(move |_| async move {
            while let Some(next) = tick() {
                sleep(next).await;
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

    /// Begins what runs beside the connections.
    pub(super) fn start(&mut self, index: usize, server: &Arc<Control>) {
        for hook in &self.per_core {
            spawn_local(hook(index)).detach();
        }
        for hook in self.start.drain(..) {
            spawn_local(hook(ServerHandle::new(server.clone()))).detach();
        }
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
