//! Tasks as users see them.

use super::current::expect_current;
use async_task::FallibleTask;
use pin_project_lite::pin_project;
use std::any::Any;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs `future` as a task of this core, beside the caller. The task stays on this core, so the future need not be
/// `Send`.
///
/// A panic in it ends that task only: it is logged, and given to who awaits the [`JoinHandle`].
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
    let task = core.executor.spawn(&core.inbox, CatchPanic { future });
    JoinHandle { task: Some(task.fallible()), not_send: PhantomData }
}

/// A task that has been spawned. Awaiting it gives what the task returned.
///
/// Dropping the handle leaves the task running.
///
/// # Cancel safety
/// Awaiting by reference (`(&mut handle).await`) may be given up and taken up again.
pub struct JoinHandle<T> {
    /// `None` once it has been given up.
    task: Option<FallibleTask<Result<T, String>>>,
    not_send: PhantomData<*const ()>,
}

/// Why a task has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// It was cancelled, or its core ended.
    Cancelled,
    /// It panicked, and this is what the panic said.
    Panicked(String),
}

impl<T> JoinHandle<T> {
    /// Ends the task where it stands: its future is dropped. Resolves when that has happened, with the result if the
    /// task had ended before.
    ///
    /// # Cancel safety
    /// The task is cancelled even if this future is dropped after its first poll.
    pub async fn cancel(mut self) -> Option<T> {
        self.task.take()?.cancel().await?.ok()
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
            Some(Ok(output)) => Ok(output),
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

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)").into()
}

pin_project! {
    /// Turns a panic of the future into a value.
    pub(crate) struct CatchPanic<F> {
        #[pin]
        pub(crate) future: F,
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, String>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future;
        // A future that has panicked is never polled again, so nobody sees what the panic left half-done in it.
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                let panic = panic_message(&*panic);
                tracing::error!(panic, "a task panicked");
                Poll::Ready(Err(panic))
            }
        }
    }
}
