//! What a server does on one core, from start to stop.

use super::accept::Acceptor;
use super::balance::{Balance, Picker};
use super::config::Config;
use super::control::Control;
use super::datagram::StartDatagrams;
use super::hooks::Hooks;
use super::intake::{Intake, Intakes};
use super::listen::{Serve, Start};
use crate::connection::{ConnectionLimits, Incoming, Settings};
use crate::error::Result;
use crate::io::{DatagramSocket, Listener};
use crate::runtime::{Core, Entered, Interrupt, JoinHandle, PreparedCore, spawn_local, timeout};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How long handlers of aborted connections may take over `on_close`.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// One core's part of all that its server listens on.
#[derive(Default)]
pub(super) struct CoreParts {
    pub(super) streams: Vec<Part>,
    pub(super) datagrams: Vec<(StartDatagrams, DatagramSocket)>,
}

/// One core's part of one `listen`.
pub(super) struct Part {
    /// Which of its server's listeners this is.
    pub(super) number: usize,
    pub(super) start: Start,
    pub(super) limits: ConnectionLimits,
    /// `None`: another core accepts.
    pub(super) listener: Option<Listener>,
    /// How what is accepted is spread; `None`: it stays on the core that has accepted it.
    pub(super) balance: Option<Balance>,
}

pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) core: PreparedCore,
    pub(super) parts: CoreParts,
    pub(super) config: Config,
    pub(super) server: Arc<Control>,
    pub(super) intakes: Intakes,
    pub(super) hooks: Hooks,
}

/// What makes connections, for each listener.
type Servers = Rc<RefCell<Vec<Serve>>>;

impl Worker {
    /// Serves on this thread until the server is stopped. If this core fails, the others are stopped too.
    pub(super) fn run(self) -> Result {
        let Worker { index, core, parts, config, server, intakes, mut hooks } = self;
        let stop_all = StopAll(&server);
        let entered = Entered::new(core);
        let core = entered.core();
        core.belongs_to({
            let server = server.clone();
            move |within| server.stop(within)
        });
        let servers = Servers::default();
        let mut acceptors = Vec::new();
        for (stream, part) in parts.streams.into_iter().enumerate() {
            let settings = settings(core, &config, part.number, part.limits.clone());
            servers.borrow_mut().push((part.start)(settings));
            if let Some(listener) = part.listener {
                let intakes = part.balance.is_some().then(|| intakes.clone());
                let picker = Picker::new(part.balance.unwrap_or_default());
                let deliver = Deliver { listener: stream, here: index, servers: servers.clone(), intakes, picker };
                acceptors.push((listener, part.limits, deliver));
            }
        }
        spawn_local(take_in(intakes[index].clone(), servers.clone())).detach();
        hooks.start(index, &server);
        for (listener, limits, mut deliver) in acceptors {
            Acceptor::start(core, listener, limits, move |incoming| deliver.deliver(incoming))?;
        }
        let mut datagrams = Vec::new();
        for (start, socket) in parts.datagrams {
            datagrams.push(start(core, socket)?);
        }
        let served = entered.run(async {
            let within = server.stopped(index).await;
            end(core, &server, &intakes[index], &servers, datagrams, within, hooks).await;
        });
        served?;
        std::mem::forget(stop_all);
        Ok(())
    }
}

fn settings(core: &Rc<Core>, config: &Config, listener: usize, limits: ConnectionLimits) -> Rc<Settings> {
    Rc::new(Settings {
        core: core.clone(),
        listener: Some(listener),
        write: config.write,
        close: config.close,
        time: config.time,
        limits,
    })
}

/// Brings accepted connections to the core that is to serve them.
struct Deliver {
    listener: usize,
    here: usize,
    servers: Servers,
    /// `None`: every connection stays here.
    intakes: Option<Intakes>,
    picker: Picker,
}

impl Deliver {
    fn deliver(&mut self, incoming: Incoming) {
        let there = match &self.intakes {
            Some(intakes) => {
                let open: Vec<usize> = intakes.iter().map(|intake| intake.load()).collect();
                self.picker.pick(&incoming.peer, &open)
            }
            None => self.here,
        };
        let not_taken = match &self.intakes {
            Some(intakes) if there != self.here => intakes[there].push(self.listener, incoming).err(),
            _ => Some(incoming),
        };
        // Better here than not at all, where that core does not keep up.
        if let Some(incoming) = not_taken {
            self.servers.borrow_mut()[self.listener](incoming);
        }
    }
}

/// Serves what other cores have accepted.
async fn take_in(intake: Arc<Intake>, servers: Servers) {
    loop {
        let (listener, incoming) = intake.next().await;
        super::accept::guarded(&mut *servers.borrow_mut()[listener], incoming);
    }
}

/// Stops the server if a core ends in any other way than by being stopped.
struct StopAll<'a>(&'a Control);

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.0.stop(Duration::ZERO);
        self.0.hooks_are_over();
    }
}

/// Ends every connection: gracefully while there is time, then at once.
async fn end(
    core: &Core,
    server: &Control,
    intake: &Intake,
    servers: &Servers,
    datagrams: Vec<JoinHandle<()>>,
    within: Duration,
    hooks: Hooks,
) {
    let connections = || core.open_connections();
    tracing::debug!(core = core.index, connections = connections(), ?within, "stopping");
    let ended = timeout(within, async {
        core.interrupt(Interrupt::Refuse);
        // The connections of all cores go on until the hooks of the first one are over.
        if core.index == 0 {
            hooks.shutdown().await;
            server.hooks_are_over();
        } else {
            server.hooks_over(core.index).await;
        }
        core.interrupt(Interrupt::Stop);
        // Once more, for those whom the listeners have let in last, here or on another core.
        while let Some((listener, incoming)) = intake.try_next() {
            super::accept::guarded(&mut *servers.borrow_mut()[listener], incoming);
        }
        core.emptied().await;
        for handled in datagrams {
            let _ = handled.await;
        }
    });
    if ended.await.is_err() {
        tracing::warn!(core = core.index, connections = connections(), "aborting what is left");
        core.interrupt(Interrupt::Abort);
        let _ = timeout(LAST_WORDS, core.emptied()).await;
    }
}
