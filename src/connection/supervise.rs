//! What surrounds every poll of a connection's task.

use crate::error::CloseReason;
use crate::net::{Flag, Port};
use crate::runtime::panic_message;
use pin_project_lite::pin_project;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// Polls a handler's future; turns its panic into a reason; drops it when the connection is aborted; and whenever it
    /// waits, for input or for anything else, sends what it has queued. That is the one write of a batch of messages.
    pub(super) struct Supervise<'a, F> {
        port: &'a Port,
        #[pin]
        future: F,
    }
}

impl<'a, F> Supervise<'a, F> {
    pub(super) fn new(port: &'a Port, future: F) -> Self {
        Supervise { port, future }
    }
}

impl<F: Future> Future for Supervise<'_, F> {
    type Output = Result<F::Output, CloseReason>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if this.port.has(Flag::ABORT) {
            return Poll::Ready(Err(aborted(this.port)));
        }
        // A handler that has panicked is only told of the close, as it is: it may hold broken promises, but only its own.
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(Poll::Pending) => {
                this.port.flush();
                if !this.port.has(Flag::WAITING) {
                    this.port.hear_of_aborts(cx);
                }
                if this.port.has(Flag::TIMED) {
                    return this.port.poll_deadlines(cx).map(|limit| Err(CloseReason::Timeout(limit)));
                }
                Poll::Pending
            }
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(CloseReason::Panic(panic_message(&*panic)))),
        }
    }
}

#[cold]
fn aborted(port: &Port) -> CloseReason {
    if let Some(message) = port.take_panic() {
        CloseReason::Panic(message)
    } else if port.has(Flag::TOO_SLOW) {
        CloseReason::TooSlow
    } else if port.has(Flag::STOP) {
        CloseReason::Shutdown
    } else {
        CloseReason::Closed
    }
}
