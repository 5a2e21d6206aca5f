//! What a user writes.

use super::Conn;
use crate::codec::{Codec, Item};
use crate::error::{CloseReason, Result};
use std::future::{Future, ready};

/// What happens on a connection. Each connection has a handler of its own, made when it opens, so its fields are the
/// connection's state: no map, no lock.
///
/// Write the methods as `async fn`. Only [`on_message`](Handler::on_message) must be written. They run one at a time and
/// in order: while one waits, only this connection waits, and its peer is slowed down. The futures stay on one core and
/// need not be `Send`.
///
/// An error that a method returns, and a panic in it, ends this connection only, after what was sent has been delivered.
///
/// ```
/// use tiderace::{Conn, Handler, Result, codec::Lines};
///
/// struct Sum { total: i64 }
///
/// impl Handler for Sum {
///     type Codec = Lines;
///
///     async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
///         self.total += line.trim().parse::<i64>()?;
///         conn.send(&self.total.to_string()).await
///     }
/// }
/// ```
///
/// While a method waits, its connection is not read, so that the peer has gone shows only in the next `send`, or when the
/// method has returned.
///
/// # Cancel safety
/// A method's future is dropped where it stands only when the connection is aborted: by
/// [`Handle::abort`](crate::Handle::abort), or by a server whose time to stop is over.
pub trait Handler: Sized + 'static {
    /// The protocol that the connection speaks.
    type Codec: Codec;

    /// The connection has opened. Bytes may be sent at once.
    fn on_open<'a>(&'a mut self, conn: &'a mut Conn<Self::Codec>) -> impl Future<Output = Result> + 'a {
        let _ = conn;
        ready(Ok(()))
    }

    /// A message has come. It is lent from the connection's buffer, also across an `.await`; the peer is not read
    /// meanwhile.
    fn on_message<'a>(
        &'a mut self,
        conn: &'a mut Conn<Self::Codec>,
        message: Item<'a, Self::Codec>,
    ) -> impl Future<Output = Result> + 'a;

    /// The peer has ended its stream, and all its messages were handled. It can still receive; the connection closes when
    /// this returns, which the default does at once.
    fn on_eof<'a>(&'a mut self, conn: &'a mut Conn<Self::Codec>) -> impl Future<Output = Result> + 'a {
        let _ = conn;
        ready(Ok(()))
    }

    /// Somebody has called [`Handle::wake`](crate::Handle::wake). Several calls before this runs are one.
    fn on_wake<'a>(&'a mut self, conn: &'a mut Conn<Self::Codec>) -> impl Future<Output = Result> + 'a {
        let _ = conn;
        ready(Ok(()))
    }

    /// The connection has ended. Called exactly once for each handler; nothing can be sent any more.
    ///
    /// It may wait. What it waits for is dropped where it stands when the connection is aborted meanwhile, by
    /// [`Handle::abort`](crate::Handle::abort) or at the end of the server's time.
    fn on_close<'a>(
        &'a mut self,
        conn: &'a mut Conn<Self::Codec>,
        reason: &'a CloseReason,
    ) -> impl Future<Output = ()> + 'a {
        let _ = (conn, reason);
        ready(())
    }
}
