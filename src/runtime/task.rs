//! Tasks as users see them.

use super::contain::Contained;
use super::current::expect_current;
use async_task::{FallibleTask, Task};
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs `future` as a task of this core, beside the caller. The task stays on this core, so the future need not be
/// `Send`. It ends by itself or with its core; a task that ends with a connection is spawned by
/// [`Conn::spawn`](crate::Conn::spawn).
///
/// A panic in it ends that task only: it is logged, and given to who awaits the [`JoinHandle`]. A panic of a destructor, when
/// the task is cancelled or ends with its core, is logged.
///
/// # Panics
/// Outside a core, that is outside of [`block_on`](crate::block_on), handlers, and tasks of theirs.
///
/// ```
/// tiderace::block_on(async {
///     let task = tiderace::spawn_local(async { "done" });
///     assert_eq!(task.await.unwrap(), "done");
/// });
/// ```
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let core = expect_current("spawn_local");
    JoinHandle::new(core.executor.spawn(&core.inbox, future))
}

/// A task that has been spawned. Awaiting it gives what the task returned.
///
/// Dropping the handle leaves the task running.
///
/// The task stays on its core. The handle may go to other threads, where what the task returns is `Send`: it can be awaited,
/// cancelled, aborted and dropped there, also by another runtime. When the core ends first, the task counts as cancelled.
///
/// ```
/// let task = tiderace::block_on(async { tiderace::spawn_local(async { "never ends" }) });
/// // Its core has ended before the task began.
/// let other = std::thread::spawn(|| tiderace::block_on(task));
/// assert_eq!(other.join().unwrap(), Err(tiderace::JoinError::Cancelled));
/// ```
///
/// # Cancel safety
/// Awaiting by reference (`(&mut handle).await`) may be given up and taken up again.
pub struct JoinHandle<T> {
    /// `None` once it has been given up.
    task: Option<FallibleTask<Ended<T>>>,
}

/// What a task has returned, or what its panic said.
pub(super) type Ended<T> = Result<Contained<T>, String>;

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// It was cancelled, or its core ended.
    Cancelled,
    /// It panicked, and this is what the panic said.
    Panicked(String),
}

impl<T> JoinHandle<T> {
    pub(super) fn new(task: Task<Ended<T>>) -> JoinHandle<T> {
        JoinHandle { task: Some(task.fallible()) }
    }

    /// Ends the task where it stands: its future is dropped. Resolves when that has happened, with the result if the
    /// task had ended before.
    ///
    /// # Cancel safety
    /// The task is cancelled even if this future is dropped after its first poll.
    pub async fn cancel(mut self) -> Option<T> {
        self.task.take()?.cancel().await?.ok().map(Contained::into_inner)
    }

    /// Leaves the task running.
    pub fn detach(self) {
        drop(self);
    }

    /// Ends the task where it stands, without waiting for it.
    pub fn abort(mut self) {
        drop(self.task.take());
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.as_ref().is_none_or(FallibleTask::is_finished)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(task) = &mut self.task else { return Poll::Ready(Err(JoinError::Cancelled)) };
        Pin::new(task).poll(cx).map(|ended| match ended {
            Some(Ok(output)) => Ok(output.into_inner()),
            Some(Err(panic)) => Err(JoinError::Panicked(panic)),
            None => Err(JoinError::Cancelled),
        })
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach();
        }
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Cancelled => f.write_str("the task was cancelled"),
            JoinError::Panicked(panic) => write!(f, "the task panicked: {panic}"),
        }
    }
}

impl std::error::Error for JoinError {}

/// Lets the other tasks of this core run, and its sockets be read, before the caller goes on.
///
/// # Cancel safety
/// Safe: it holds nothing.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
