//! Signals of the system, as futures.

use crate::io::Socket;
use crate::net::{Flag, Stream};
use crate::runtime::expect_current;
use futures_io::AsyncRead;
use signal_hook::{SigId, consts, flag, low_level};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// A signal that a process may get; signal(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// `SIGHUP`: the terminal is gone; by custom, also that the configuration is to be read again.
    Hangup,
    /// `SIGINT`: Ctrl-C at a terminal.
    Interrupt,
    /// `SIGQUIT`: Ctrl-\ at a terminal.
    Quit,
    /// `SIGTERM`: the polite request to end.
    Terminate,
    /// `SIGUSR1`.
    User1,
    /// `SIGUSR2`.
    User2,
}

impl Signal {
    const COUNT: usize = Signal::User2 as usize + 1;

    fn number(self) -> i32 {
        match self {
            Signal::Hangup => consts::SIGHUP,
            Signal::Interrupt => consts::SIGINT,
            Signal::Quit => consts::SIGQUIT,
            Signal::Terminate => consts::SIGTERM,
            Signal::User1 => consts::SIGUSR1,
            Signal::User2 => consts::SIGUSR2,
        }
    }
}

/// The signals of a kind that this process gets, for as long as this lives; afterwards they do again what they do by
/// default. Feature `signal`.
///
/// It costs a pair of sockets for each kind.
///
/// ```no_run
/// use tiderace::{Signal, Signals};
///
/// async fn reload_when_told() -> std::io::Result<()> {
///     let mut hangups = Signals::new([Signal::Hangup])?;
///     loop {
///         hangups.next().await;
///         println!("reading the configuration again");
///     }
/// }
/// ```
pub struct Signals {
    watches: Vec<Watch>,
}

struct Watch {
    signal: Signal,
    /// The handler of the signal writes to the other end.
    pipe: Stream,
    id: SigId,
}

impl Signals {
    /// Begins to listen to `signals`, in this whole process: they no longer do what they do by default.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    ///
    /// # Panics
    /// Outside a core.
    #[track_caller]
    pub fn new(signals: impl IntoIterator<Item = Signal>) -> io::Result<Signals> {
        let core = expect_current("Signals::new");
        let watch = |signal: Signal| {
            let (receiver, sender) = UnixStream::pair()?;
            let pipe = Stream::new(&core, Socket::from_fd(OwnedFd::from(receiver))?, Flag::NONE)?;
            let id = low_level::pipe::register(signal.number(), sender)?;
            let watch = Watch { signal, pipe, id };
            DEFAULTS[signal as usize].suspend(signal)?;
            Ok(watch)
        };
        let watches: io::Result<Vec<Watch>> = signals.into_iter().map(watch).collect();
        Ok(Signals { watches: watches? })
    }

    /// The next signal. Several of one kind that come before this is asked may be one.
    ///
    /// # Cancel safety
    /// Safe: no signal is lost.
    pub async fn next(&mut self) -> Signal {
        poll_fn(|cx| {
            let mut watches = self.watches.iter_mut();
            let come = watches.find_map(|watch| watch.has_come(cx).then_some(watch.signal));
            come.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

impl Watch {
    fn has_come(&mut self, cx: &mut Context<'_>) -> bool {
        let mut all = [0; 64];
        matches!(Pin::new(&mut self.pipe).poll_read(cx, &mut all), Poll::Ready(Ok(read)) if read > 0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        low_level::unregister(self.id);
        DEFAULTS[self.signal as usize].resume();
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.watches.iter().map(|watch| watch.signal)).finish()
    }
}

/// What a signal does by default happens while nobody listens to it. A handler that was installed once stays so, and does
/// nothing when nobody has asked it to: so this asks.
struct Default {
    state: Mutex<DefaultState>,
}

struct DefaultState {
    listeners: usize,
    /// Whether the default is to happen; `None` before the handler is installed, when it happens anyway.
    happens: Option<Arc<AtomicBool>>,
}

static DEFAULTS: [Default; Signal::COUNT] =
    [const { Default { state: Mutex::new(DefaultState { listeners: 0, happens: None }) } }; Signal::COUNT];

impl Default {
    fn suspend(&self, signal: Signal) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.listeners += 1;
        match &state.happens {
            Some(happens) => happens.store(false, Ordering::SeqCst),
            None => {
                let happens = Arc::new(AtomicBool::new(false));
                flag::register_conditional_default(signal.number(), happens.clone())?;
                state.happens = Some(happens);
            }
        }
        Ok(())
    }

    fn resume(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.listeners = state.listeners.saturating_sub(1);
        if let (0, Some(happens)) = (state.listeners, &state.happens) {
            happens.store(true, Ordering::SeqCst);
        }
    }
}
