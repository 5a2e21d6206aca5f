//! The connections of a server, found from any thread.

use super::control::ServerHandle;
use crate::codec::Codec;
use crate::connection::{ConnectionId, Handle, find, visit};
use crate::runtime::{OneshotReceiver, oneshot};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

impl ServerHandle {
    /// Calls `visit` with a handle to each open connection whose codec is `C`, on the core of that connection; resolves when
    /// all were visited, with their number.
    ///
    /// The visits begin when this is called. Connections that open meanwhile may be missed. It looks at every connection of
    /// the server.
    ///
    /// # Cancel safety
    /// The visits go on if the future is dropped.
    ///
    /// ```
    /// use tiderace::{Result, ServerHandle, codec::Lines};
    ///
    /// async fn announce(server: &ServerHandle) -> usize {
    ///     server.for_each::<Lines>(|connection| drop(connection.try_send("back in five minutes"))).await
    /// }
    /// ```
    pub fn for_each<C: Codec>(&self, visit: impl Fn(Handle<C>) + Clone + Send + 'static) -> ForEach {
        let cores = self.control.cores().iter().map(|core| {
            let (done, visited) = oneshot();
            let visit = visit.clone();
            core.remote.run(move |core| done.send(self::visit(core, visit)));
            visited
        });
        ForEach { cores: cores.collect(), visited: 0 }
    }

    /// Finds an open connection by its number; `None` if there is none, or if its codec is not `C`.
    ///
    /// It looks at the connections of one core, up to all of them: keep [`Handle`]s of connections that are asked for often.
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// ```
    /// use tiderace::{ConnectionId, ServerHandle, codec::Lines};
    ///
    /// async fn tell(server: &ServerHandle, peer: ConnectionId) -> bool {
    ///     match server.connection::<Lines>(peer).await {
    ///         Some(connection) => connection.send("this is for you").await.is_ok(),
    ///         None => false,
    ///     }
    /// }
    /// ```
    pub fn connection<C: Codec>(
        &self,
        id: ConnectionId,
    ) -> impl Future<Output = Option<Handle<C>>> + Send + 'static + use<C> {
        let (done, found) = oneshot();
        if let Some(core) = self.control.cores().get(id.core()) {
            core.remote.run(move |core| done.send(find(core, id)));
        }
        async move { found.receive().await.flatten() }
    }
}

/// What [`ServerHandle::for_each`] returns. It needs nothing of the handle, so it can be spawned.
pub struct ForEach {
    /// Those that have not told how many connections they have visited.
    cores: Vec<OneshotReceiver<usize>>,
    visited: usize,
}

impl Future for ForEach {
    type Output = usize;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        while let Some(core) = self.cores.last() {
            let Poll::Ready(visited) = core.poll_receive(cx) else { return Poll::Pending };
            // A core that has ended has no connections.
            self.visited += visited.unwrap_or(0);
            self.cores.pop();
        }
        Poll::Ready(self.visited)
    }
}

impl fmt::Debug for ForEach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForEach").field("cores_left", &self.cores.len()).field("visited", &self.visited).finish()
    }
}
