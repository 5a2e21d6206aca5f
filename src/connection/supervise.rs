//! What surrounds every poll of a connection's task.

use crate::error::CloseReason;
use crate::net::{Flag, Link, Port};
use crate::runtime::{drop_contained, panic_message};
use pin_project_lite::pin_project;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pin_project! {
    /// Polls a handler's future; turns its panic into a reason; drops it when the connection is aborted; and whenever it
    /// waits, for input or for anything else, sends what it has queued. That is the one write of a batch of messages.
    pub(super) struct Supervise<E, C, F> {
        // Owned, because a reference to what the task owns would be one more word in every connection.
        link: Rc<Link<E, C>>,
        // `None` when it was dropped before its end.
        #[pin]
        future: Option<F>,
    }
}

impl<E, C, F> Supervise<E, C, F> {
    pub(super) fn new(link: Rc<Link<E, C>>, future: F) -> Self {
        Supervise { link, future: Some(future) }
    }
}

impl<E, C, F: Future> Future for Supervise<E, C, F> {
    type Output = Result<F::Output, CloseReason>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let port: &Port = this.link;
        if port.has(Flag::ABORT) {
            drop_now(this.future);
            return Poll::Ready(Err(aborted(port)));
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        // A handler that has panicked is only told of the close, as it is: it may hold broken promises, but only its own.
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(Poll::Pending) => {
                port.flush();
                if !port.has(Flag::WAITING) {
                    port.hear_of_aborts(cx);
                }
                if port.has(Flag::TIMED) {
                    return port.poll_deadlines(cx).map(|limit| {
                        drop_now(this.future);
                        Err(CloseReason::Timeout(limit))
                    });
                }
                Poll::Pending
            }
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(CloseReason::Panic(panic_message(&*panic)))),
        }
    }
}

/// Drops a future where it stands. A destructor that panics there must not keep the connection from its end.
#[cold]
pub(super) fn drop_now<F>(mut future: Pin<&mut Option<F>>) {
    drop_contained(|| future.set(None));
}

#[cold]
fn aborted(port: &Port) -> CloseReason {
    if let Some(message) = port.take_panic() {
        CloseReason::Panic(message)
    } else if port.is_too_slow() {
        CloseReason::TooSlow
    } else if port.has(Flag::STOP) {
        CloseReason::Shutdown
    } else {
        CloseReason::Closed
    }
}
