//! From a server's parts to its running cores.

use super::attach::Attaching;
use super::balance::Balance;
use super::config::Config;
use super::control::{Control, CoreControl};
use super::duplicate::Duplicable;
use super::hooks::Hooks;
use super::intake::{Intake, Intakes};
use super::listen::Listening;
use super::status::Owned;
use super::worker::{CoreParts, Part, Worker};
use crate::connection::{ConnectionLimit, ConnectionLimits};
use crate::error::{Error, Result};
use crate::io::{Listener, SocketFile, processors};
use crate::meter::Meter;
use crate::runtime::{CoreConfig, PreparedCore, assert_free, panic_message};
use std::any::Any;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::thread;

/// Runs a server until it is stopped. This thread becomes its first core.
#[track_caller]
pub(super) fn run(config: Config, listening: Vec<Listening>, mut hooks: Hooks, control: Owned) -> Result {
    assert_free();
    control.listens_on(listening.iter().map(|listening| listening.address().clone()).collect());
    let cores = config.cores();
    // All that the cores need is opened before any of them accepts: from then on, descriptors may be short.
    let prepared: Result<Vec<(PreparedCore, Arc<Intake>)>> = (0..cores)
        .zip(processors_of_cores(&config))
        .map(|(index, processor)| prepare(&config, index, processor))
        .collect();
    let (prepared, intakes): (Vec<PreparedCore>, Vec<Arc<Intake>>) = prepared?.into_iter().unzip();
    let intakes = Intakes::from(intakes);
    let server_limit = config.max_connections.map(ConnectionLimit::new);
    let of_listeners = listening.iter().filter_map(|listening| match listening {
        Listening::Streams(streams) => streams.limit.clone(),
        Listening::Datagrams(_) => None,
    });
    let limits = of_listeners.chain(server_limit.clone()).collect();
    let _ = control.attaching.set(Attaching::new(&config, server_limit.clone()));
    let mut parts = parts(&config, cores, listening, server_limit)?;
    let (files, duplicable) = (std::mem::take(&mut parts.files), std::mem::take(&mut parts.duplicable));
    let remotes = prepared.iter().zip(&*intakes).map(|(core, intake)| CoreControl::new(core, intake.open.clone()));
    control.begin(remotes.collect(), limits, duplicable);
    let mut workers = Vec::with_capacity(cores);
    for ((index, core), parts) in prepared.into_iter().enumerate().zip(parts.of_cores) {
        let (config, server, intakes) = (config.clone(), Arc::clone(&control), intakes.clone());
        workers.push(Worker { index, core, parts, config, server, intakes, hooks: hooks.of_core(index) });
    }
    let result = run_all(workers, &control);
    for (file, duplicable) in files.into_iter().zip(control.listening().unwrap_or_default()) {
        match file {
            Some(file) if duplicable.is_duplicated() => file.leave(),
            file => drop(file),
        }
    }
    result
}

/// The processor that each core is to keep to, from the first again where there are more cores; where it is not known which
/// there are, the core's own number.
fn processors_of_cores(config: &Config) -> impl Iterator<Item = Option<usize>> {
    let known = if config.pin { processors() } else { Vec::new() };
    let is_pinned = config.pin;
    (0..).map(move |index: usize| {
        is_pinned.then(|| known.get(index.checked_rem(known.len()).unwrap_or(0)).copied().unwrap_or(index))
    })
}

fn prepare(config: &Config, index: usize, processor: Option<usize>) -> Result<(PreparedCore, Arc<Intake>)> {
    let intake = Arc::new(Intake::new(Arc::default()));
    let core = CoreConfig {
        index,
        busy_poll: config.busy_poll(),
        portable: config.portable,
        largest_ring: config.largest_ring,
        processor,
        meter: Meter::default(),
        open: intake.open.clone(),
    };
    Ok((core.prepare()?, intake))
}

/// The listeners, cut up for the cores.
struct Parts {
    of_cores: Vec<CoreParts>,
    /// Those of Unix sockets, which end with the server, by the number of the listener.
    files: Vec<Option<SocketFile>>,
    /// What each listener has for other servers.
    duplicable: Vec<Duplicable>,
}

fn parts(
    config: &Config,
    cores: usize,
    listening: Vec<Listening>,
    server_limit: Option<Arc<ConnectionLimit>>,
) -> Result<Parts> {
    let of_cores = (0..cores).map(|_| CoreParts::default()).collect();
    let mut parts = Parts { of_cores, files: Vec::new(), duplicable: Vec::new() };
    for (number, listening) in listening.into_iter().enumerate() {
        let mut listening = match listening {
            Listening::Streams(streams) => streams,
            Listening::Datagrams(mut datagrams) => {
                for (index, parts) in parts.of_cores.iter_mut().enumerate() {
                    parts.datagrams.extend(datagrams.of_core(index, cores, number)?);
                }
                parts.duplicable.push(Duplicable::new(datagrams.descriptors()));
                parts.files.push(None);
                continue;
            }
        };
        let of_server = server_limit.clone().filter(|_| !listening.is_exempt);
        let refusal = listening.refusal.clone().or_else(|| config.refusal.clone().filter(|_| !listening.is_exempt));
        let limits = ConnectionLimits::new(listening.limit.clone().into_iter().chain(of_server));
        let by_kernel = matches!(config.balance, Balance::Kernel) && listening.is_spread_by_kernel(cores);
        let listeners = listening.listeners(if by_kernel { cores } else { 1 })?;
        let sockets = listeners.iter().map(|listener| Arc::downgrade(listener) as Weak<dyn AsFd + Send + Sync>);
        parts.duplicable.push(Duplicable::new(sockets.collect()));
        // Where one core accepts for all, it is another one for each `listen`.
        let mut of_cores: Vec<Vec<Arc<Listener>>> = vec![Vec::new(); cores];
        for (i, listener) in listeners.into_iter().enumerate() {
            of_cores[(number + i) % cores].push(listener);
        }
        for (index, (parts, listeners)) in parts.of_cores.iter_mut().zip(of_cores).enumerate() {
            // The first one was there before the others, and has all connections that have come meanwhile.
            let has_early_ones = by_kernel && cores > 1 && index == number % cores;
            let balance = (!by_kernel && cores > 1).then(|| config.balance.clone());
            let (limits, refusal) = (limits.clone(), refusal.clone());
            let start = listening.start();
            parts.streams.push(Part { number, start, limits, refusal, listeners, balance, has_early_ones });
        }
        parts.files.push(listening.into_file());
    }
    Ok(parts)
}

fn run_all(workers: Vec<Worker>, control: &Control) -> Result {
    let panicked = |panic: Box<dyn Any + Send>| Err(Error::msg(format!("a core panicked: {}", panic_message(&*panic))));
    let mut workers = workers.into_iter();
    let mut first = workers.next();
    let (mut threads, mut result) = (Vec::new(), Ok(()));
    for worker in workers {
        let name = format!("tiderace-{}", worker.index);
        match thread::Builder::new().name(name).spawn(move || worker.run()) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                // The cores that run already must not outlive a server that could not start.
                control.fail();
                (first, result) = (None, Err(error.into()));
                break;
            }
        }
    }
    if let Some(first) = first {
        // The other threads end before this returns, whatever becomes of this one.
        result = catch_unwind(AssertUnwindSafe(|| first.run())).unwrap_or_else(panicked);
    }
    for thread in threads {
        result = result.and(thread.join().unwrap_or_else(panicked));
    }
    result
}
