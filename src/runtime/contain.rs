//! Panics of users' code, kept where they are: they are logged, and become values.

use pin_project_lite::pin_project;
use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)").into()
}

/// Calls what a panic must not leave; says what the panic said.
#[inline]
fn caught<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    // What the panic left half-done is not used again: callers drop it, and nothing else.
    catch_unwind(AssertUnwindSafe(call)).map_err(settle)
}

#[cold]
fn settle(panic: Box<dyn Any + Send>) -> String {
    let message = panic_message(&*panic);
    // What a panic carries may panic when it is dropped, too. Then it is leaked.
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
    message
}

/// Drops a value by `call`, where a panic of its destructor would abort the process or keep a core from its end.
#[inline]
pub(crate) fn drop_contained(call: impl FnOnce()) {
    if let Err(panic) = caught(call) {
        tracing::error!(panic, "a destructor panicked");
    }
}

/// Polls a future, and turns its panic into a value. It is not to be polled again then.
#[inline]
pub(super) fn poll_caught<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<Result<F::Output, String>> {
    match caught(|| future.poll(cx)) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => {
            tracing::error!(panic, "a task panicked");
            Poll::Ready(Err(panic))
        }
    }
}

/// A value whose destructor may panic where it is dropped unseen.
pub(super) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    #[inline]
    pub(super) fn new(value: T) -> Contained<T> {
        Contained(Some(value))
    }

    pub(super) fn into_inner(mut self) -> T {
        self.0.take().expect("it is taken once")
    }
}

impl<T> Drop for Contained<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            drop_contained(|| drop(value));
        }
    }
}

pin_project! {
    /// Turns a panic of the future into a value, and contains one of its destructor.
    pub(crate) struct CatchPanic<F> {
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for CatchPanic<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut future = this.project().future;
            drop_contained(|| future.set(None));
        }
    }
}

impl<F: Future> CatchPanic<F> {
    pub(crate) fn new(future: F) -> CatchPanic<F> {
        CatchPanic { future: Some(future) }
    }
}

impl<F: Future> Future for CatchPanic<F> {
    type Output = Result<F::Output, String>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.project().future.as_pin_mut().expect("it is there until it is dropped");
        poll_caught(future, cx)
    }
}
