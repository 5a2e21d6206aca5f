//! A client that connects again.

use super::Backoff;
use crate::codec::Codec;
use crate::connection::{Handle, Handler, Session, drive};
use crate::error::{CloseReason, Error, Result};
use crate::runtime::{JoinHandle, expect_current, sleep, spawn_local};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// How a client that stays connected makes its next connection.
pub(crate) trait Dial<H: Handler>: 'static {
    /// Makes a connection, and its handler.
    async fn dial(&mut self) -> Result<(Session<H>, Handle<H::Codec>)>;

    /// Where it goes to, for the log.
    fn address(&self) -> String;

    /// Whether another try would fail in the same way.
    fn is_final(&self, error: &Error) -> bool {
        let _ = error;
        false
    }
}

/// A client that stays connected; made by [`Connector::serve`](crate::Connector::serve), and by those of protocols with a handshake.
/// Dropped, it goes on.
pub struct Client<C: Codec> {
    state: Rc<State<C>>,
    task: JoinHandle<Result>,
}

struct State<C: Codec> {
    /// The connection that is open.
    connection: RefCell<Option<Handle<C>>>,
    closing: Cell<bool>,
    /// Who waits for something else than the connection, and wants to know of the close.
    waiting: Cell<Option<Waker>>,
}

impl<C: Codec + 'static> Client<C> {
    /// To be called on a core.
    #[track_caller]
    pub(crate) fn start<H: Handler<Codec = C>>(dial: impl Dial<H>, backoff: Backoff) -> Client<C> {
        let (connection, closing, waiting) = (RefCell::default(), Cell::default(), Cell::default());
        let state = Rc::new(State { connection, closing, waiting });
        let task = spawn_local(stay_connected(state.clone(), dial, backoff));
        Client { state, task }
    }

    /// The connection that is open now, if one is.
    pub fn handle(&self) -> Option<Handle<C>> {
        self.state.connection.borrow().clone()
    }

    /// Closes the connection, as [`Handle::close`] does, and makes no other.
    pub fn close(&self) {
        self.state.closing.set(true);
        if let Some(connection) = self.handle() {
            connection.close();
        }
        if let Some(waiting) = self.state.waiting.take() {
            waiting.wake();
        }
    }

    /// Resolves when no other connection will be made.
    ///
    /// # Errors
    /// [`Error::Connect`], or what else has gone wrong last, when the back-off has given up.
    ///
    /// # Cancel safety
    /// Safe. It is to be asked until it resolves, and not again.
    pub async fn closed(&mut self) -> Result {
        (&mut self.task).await.unwrap_or_else(|error| Err(error.into()))
    }
}

impl<C: Codec> State<C> {
    /// What `other` returns, or `None` once the client is to close.
    async fn unless_closing<T>(&self, other: impl Future<Output = T>) -> Option<T> {
        let mut other = pin!(other);
        poll_fn(|cx| {
            if self.closing.get() {
                return Poll::Ready(None);
            }
            self.waiting.set(Some(cx.waker().clone()));
            other.as_mut().poll(cx).map(Some)
        })
        .await
    }
}

async fn stay_connected<H: Handler>(state: Rc<State<H::Codec>>, mut dial: impl Dial<H>, backoff: Backoff) -> Result {
    let core = expect_current("a client that stays connected");
    let mut failed = 0;
    loop {
        let Some(connected) = state.unless_closing(dial.dial()).await else { return Ok(()) };
        let failure = match connected {
            Err(error) if dial.is_final(&error) => return Err(error),
            Err(error) => error,
            Ok((session, connection)) => {
                let began = core.time();
                if state.closing.get() {
                    // Asked for while the handler was made.
                    connection.close();
                }
                *state.connection.borrow_mut() = Some(connection);
                let reason = drive(session).await;
                *state.connection.borrow_mut() = None;
                if state.closing.get() || is_own_wish(&reason) {
                    return Ok(());
                }
                if backoff.is_success(core.time().saturating_duration_since(began)) {
                    failed = 0;
                }
                Error::msg(reason)
            }
        };
        failed += 1;
        let Some(pause) = backoff.pause(failed) else { return Err(failure) };
        tracing::info!(to = dial.address(), error = format_args!("{failure:#}"), ?pause, "connecting again");
        if state.unless_closing(sleep(pause)).await.is_none() {
            return Ok(());
        }
    }
}

/// Whether a connection has ended because somebody here wanted that.
fn is_own_wish(reason: &CloseReason) -> bool {
    use CloseReason::{Closed, Detached, Shutdown, Upgraded};
    matches!(reason, Closed | Detached | Shutdown | Upgraded)
}

impl<C: Codec> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connection", &self.state.connection.borrow()).finish_non_exhaustive()
    }
}
