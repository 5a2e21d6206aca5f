//! What a server does on one core, from start to stop.

use super::accept::{Acceptor, OpenAcceptors, accept_waiting, guarded};
use super::balance::{Balance, Picker};
use super::config::Config;
use super::control::Control;
use super::datagram::{Failed, StartDatagrams};
use super::hooks::Hooks;
use super::intake::{Intake, Intakes};
use super::listen::{Serve, Start};
use super::refusal::{Refusal, Refuser};
use crate::connection::{ConnectionLimits, Incoming, Settings};
use crate::error::{Error, Result};
use crate::io::{DatagramSocket, Listener};
use crate::limits;
use crate::net::datagrams_over;
use crate::runtime::{Core, Entered, Interrupt, PreparedCore, panic_message, spawn_local, timeout};
use futures_lite::future::zip;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
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
    pub(super) refusal: Option<Refusal>,
    /// None: other cores accept.
    pub(super) listeners: Vec<Arc<Listener>>,
    /// How what is accepted is spread; `None`: it stays on the core that has accepted it.
    pub(super) balance: Option<Balance>,
    /// Whether connections wait that the kernel could not spread yet.
    pub(super) has_early_ones: bool,
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
        let stop_all = StopAll { server: &server, index };
        let _closed_in_the_end = CloseIntake(&intakes[index]);
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
            let setup = catch_unwind(AssertUnwindSafe(|| (part.start)(settings)));
            let panicked = |panic: Box<dyn Any + Send>| {
                Error::msg(format!(
                    "the setup of listener {stream} on core {index} panicked: {}",
                    panic_message(&*panic)
                ))
            };
            servers.borrow_mut().push(setup.map_err(panicked)?);
            for listener in part.listeners {
                let all = intakes.clone();
                let intakes = part.balance.is_some().then(|| intakes.clone());
                let picker = Picker::new(part.balance.clone().unwrap_or_default());
                let deliver = Deliver { listener: stream, here: index, servers: servers.clone(), intakes, picker };
                let early = part.has_early_ones.then(|| deliver.spread_over(&all));
                acceptors.push((listener, part.limits.clone(), Refuser::new(part.refusal.clone()), deliver, early));
            }
        }
        spawn_local(take_in(intakes[index].clone(), servers.clone())).detach();
        let failed = Failed::default();
        let served: Result = entered.run(async {
            hooks.begin_on_core(index).await;
            server.core_is_ready(index);
            if index == 0 && server.all_ready(index).await {
                hooks.start(&server).await;
                server.open();
            }
            if !server.opened(index).await {
                return Ok(());
            }
            let accepting = Rc::<OpenAcceptors>::default();
            for (listener, limits, refuser, mut deliver, early) in acceptors {
                if let Some(mut early) = early {
                    accept_waiting(&listener, &limits, |incoming| early.deliver(incoming));
                }
                Acceptor::start(core, listener, limits, refuser, &accepting, move |incoming| {
                    deliver.deliver(incoming)
                })?;
            }
            for (start, socket) in parts.datagrams {
                start(core, socket, &failed)?;
            }
            server.stopped(index).await;
            let ending = Ending { core, server: &server, intake: &intakes[index], servers: &servers, accepting };
            ending.run(hooks).await;
            Ok(())
        })?;
        served?;
        std::mem::forget(stop_all);
        failed.take().map_or(Ok(()), Err)
    }
}

fn settings(core: &Rc<Core>, config: &Config, listener: usize, limits: ConnectionLimits) -> Rc<Settings> {
    Rc::new(Settings {
        core: core.clone(),
        listener: Some(listener),
        write: config.write,
        handle_limit: config.handle_limit,
        close: config.close,
        time: config.time,
        limits,
        fresh: Default::default(),
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
    /// One for the same listener that gives to each core in turn.
    fn spread_over(&self, intakes: &Intakes) -> Deliver {
        let (servers, intakes) = (self.servers.clone(), Some(intakes.clone()));
        Deliver { servers, intakes, picker: Picker::new(Balance::RoundRobin), listener: self.listener, here: self.here }
    }

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
        guarded(&mut *servers.borrow_mut()[listener], incoming);
    }
}

/// Stops the server if a core ends in any other way than by being stopped.
struct StopAll<'a> {
    server: &'a Control,
    index: usize,
}

impl Drop for StopAll<'_> {
    fn drop(&mut self) {
        self.server.fail();
        self.server.accepts_no_more(self.index);
    }
}

/// Lets no connection wait for a core that has ended.
struct CloseIntake<'a>(&'a Intake);

impl Drop for CloseIntake<'_> {
    fn drop(&mut self) {
        self.0.close();
        while self.0.try_next().is_some() {}
    }
}

/// A core whose server stops.
struct Ending<'a> {
    core: &'a Core,
    server: &'a Control,
    intake: &'a Intake,
    servers: &'a Servers,
    accepting: Rc<OpenAcceptors>,
}

impl Ending<'_> {
    /// Ends every connection: gracefully while there is time, then at once.
    async fn run(self, hooks: Hooks) {
        let (core, server) = (self.core, self.server);
        tracing::debug!(core = core.index, connections = core.open_connections(), "stopping");
        if server.before_the_end(core.index, self.gracefully(hooks)).await.is_some() {
            return;
        }
        tracing::warn!(core = core.index, connections = core.open_connections(), "aborting what is left");
        core.interrupt(Interrupt::Abort);
        server.accepts_no_more(core.index);
        self.take_in_the_last();
        let _ = timeout(LAST_WORDS, core.emptied()).await;
    }

    async fn gracefully(&self, hooks: Hooks) {
        let (core, server) = (self.core, self.server);
        core.interrupt(Interrupt::Refuse);
        let accepting = async {
            self.accepting.closed().await;
            server.accepts_no_more(core.index);
            server.accepting_over(core.index).await;
        };
        let hooks = async {
            // The connections of all cores go on until the hooks of the first one are over.
            if core.index == 0 {
                hooks.shutdown().await;
                server.hooks_are_over();
            } else {
                server.hooks_over(core.index).await;
            }
            // Without a wait for the accepting: that may itself wait for descriptors, which connections give back.
            core.interrupt(Interrupt::Stop);
        };
        zip(accepting, hooks).await;
        self.take_in_the_last();
        if timeout(limits::STOP_FIRST_MESSAGE, core.emptied()).await.is_err() {
            core.interrupt(Interrupt::Silent);
            core.emptied().await;
        }
        datagrams_over(core).await;
    }

    /// Serves the connections that other cores have handed over, and takes no more: from here on those serve theirs.
    fn take_in_the_last(&self) {
        self.intake.close();
        while let Some((listener, incoming)) = self.intake.try_next() {
            guarded(&mut *self.servers.borrow_mut()[listener], incoming);
        }
    }
}
