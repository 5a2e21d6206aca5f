//! What a connection that is refused is told.

use crate::io::{Address, Socket};
use crate::limits;
use crate::net::{Flag, Stream};
use crate::runtime::{Core, panic_message, spawn_local, timeout};
use bytes::Bytes;
use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};

/// What a connection is told that is refused because as many as may be are open: bytes, or a function that makes them for each
/// peer ([`Refusal::with`]). Set by [`Server::refusal`](crate::Server::refusal) and [`Bind::refusal`](crate::Bind::refusal).
///
/// They are sent as they are, without a codec, and without a wait: what does not fit into the kernel's buffer of a new socket
/// is cut off.
///
/// ```
/// use tiderace::{Refusal, Server};
///
/// let server = Server::new().max_connections(1000).refusal("-ERR max number of clients reached\r\n");
/// let server = Server::new().max_connections(1000).refusal(Refusal::with(|peer| format!("not now, {peer}\n")));
/// ```
#[derive(Clone)]
pub struct Refusal(Arc<Say>);

type Say = dyn Fn(&Address) -> Bytes + Send + Sync;

impl Refusal {
    /// What `say` makes of the peer's address. It is called by the loop, and must be quick.
    pub fn with<B: Into<Bytes>>(say: impl Fn(&Address) -> B + Send + Sync + 'static) -> Refusal {
        Refusal(Arc::new(move |peer| say(peer).into()))
    }
}

macro_rules! refuse_by {
    ($($said:ty),*) => {
        $(impl From<$said> for Refusal {
            fn from(said: $said) -> Refusal {
                let said = Bytes::from(said);
                Refusal::with(move |_| said.clone())
            }
        })*
    };
}

refuse_by!(&'static str, &'static [u8], String, Vec<u8>, Bytes);

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").finish_non_exhaustive()
    }
}

/// Refuses the connections of one listener on one core.
pub(super) struct Refuser {
    refusal: Option<Refusal>,
    /// How many sockets are kept until their peers have read what they were told.
    kept: Rc<Cell<usize>>,
}

impl Refuser {
    pub(super) fn new(refusal: Option<Refusal>) -> Refuser {
        Refuser { refusal, kept: Rc::default() }
    }

    /// Tells the peer, and closes the connection.
    #[cold]
    pub(super) fn refuse(&self, core: &Rc<Core>, socket: Socket, peer: &Address) {
        tracing::debug!(%peer, "a connection was refused");
        let Some(Refusal(say)) = &self.refusal else { return };
        let said = match catch_unwind(AssertUnwindSafe(|| say(peer))) {
            Ok(said) => said,
            Err(panic) => return tracing::error!(panic = panic_message(&*panic), "a refusal panicked"),
        };
        let told = matches!(socket.send(&said), Poll::Ready(Ok(_))) && socket.shutdown_write().is_ok();
        // To close over input that was not read makes the kernel send a reset, which destroys what the peer was told.
        if told && self.kept.get() < limits::REFUSED {
            match Stream::new(core, socket, Flag::NONE) {
                Ok(stream) => spawn_local(await_end(stream, Kept::one(&self.kept))).detach(),
                Err(error) => tracing::debug!(%peer, %error, "a refused connection cannot be watched"),
            }
        }
    }
}

/// Throws input away until the peer's end shows, for a limited time.
async fn await_end(stream: Stream, kept: Kept) {
    let port = stream.port();
    port.discard_input();
    let ended = poll_fn(|cx| {
        while !port.has(Flag::ENDED) && !port.is_failed() {
            ready!(port.poll_news(cx));
        }
        Poll::Ready(())
    });
    let _ = timeout(limits::REFUSED_LINGER, ended).await;
    drop(kept);
}

struct Kept(Rc<Cell<usize>>);

impl Kept {
    fn one(count: &Rc<Cell<usize>>) -> Kept {
        count.set(count.get() + 1);
        Kept(count.clone())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
