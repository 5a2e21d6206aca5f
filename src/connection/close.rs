//! How a connection ends: what was sent is delivered, the handler is told, and the peer sees an end, not a reset.
//!
//! A close while input is unread makes the kernel send a reset, and a reset destroys what is on its way to the peer
//! (RFC 1122, section 4.2.2.13). So the write side is shut down first, and input is thrown away until the peer's own end
//! shows.
//!
//! The time limit of a close is one of standing still. It begins anew
//!
//! - until everything is acknowledged: whenever the peer has taken some of it, from the queue or from the kernel's buffer. What
//!   the peer sends does not count there, or one that takes nothing could stay for ever.
//! - from then on: whenever the peer sends something, but for [`LINGER`] times the limit in all at most.

use super::drive::Session;
use super::supervise::drop_now;
use super::{Conn, Handler};
use crate::codec::{Decoder, Farewell};
use crate::error::{CloseReason, Error, TimeLimit};
use crate::limits::LINGER;
use crate::net::{Flag, Port};
use crate::runtime::{CatchPanic, drop_contained, timeout};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// How often in its time limit a close is looked at.
const LOOKS: u32 = 8;

/// Ends the session, in the way that its reason asks for.
pub(super) async fn end<H: Handler>(session: Session<H>, reason: CloseReason) -> CloseReason {
    if session.conn.link.has(Flag::DEFERRED) {
        // It was sent before this.
        session.conn.link.do_deferred();
    }
    match reason {
        CloseReason::Detached => detach(session).await,
        CloseReason::Handler(Error::StopServer { within }) => {
            session.conn.link.core.stop_server(within);
            close(session, CloseReason::Shutdown).await
        }
        reason => close(session, reason).await,
    }
}

/// Ends the session: delivers, calls `on_close` once, drops the handler, and closes.
async fn close<H: Handler>(mut session: Session<H>, reason: CloseReason) -> CloseReason {
    let link = session.conn.link.clone();
    let port: &Port = &link;
    let limit = session.conn.settings().close;
    // Who has had its time to take what was sent gets no more.
    let patience = if matches!(reason, CloseReason::Timeout(TimeLimit::Write { .. })) { Duration::ZERO } else { limit };
    // What its groups were told in this turn is sent at the end of it, which comes too late for this connection.
    port.tell_kept(!port.has(Flag::ABORT));
    if let Some(why) = farewell(&reason).filter(|_| !port.has(Flag::ABORT)) {
        // A decoder is anybody's code, and its panic must not keep this from its end.
        let _ = catch_unwind(AssertUnwindSafe(|| session.say_farewell(why)));
    }
    let reason = blame(reason, port);
    // A peer that is mute, or has broken the protocol, is not waited for.
    let is_left = matches!(reason, CloseReason::Timeout(_) | CloseReason::Protocol(_));
    // A decoder is anybody's code here, too.
    let closes_last = !is_left && catch_unwind(AssertUnwindSafe(|| session.decoder.closes_last())).unwrap_or(false);
    let reason = deliver(port, reason, patience, closes_last).await;
    log(&session.conn, &reason);
    tell(&mut session, &reason).await;
    port.end(reason.number());
    let settled = port.is_failed() || port.has(Flag::ABORT.or(Flag::ENDED));
    if !settled {
        Box::pin(linger(port, limit)).await;
    }
    port.deregister();
    drop_session(session.handler, session.decoder);
    reason
}

/// Calls `on_close`. Its panic is logged, as no method is left to be told of it. What it waits for is dropped when the connection
/// is aborted meanwhile.
pub(super) async fn tell<H: Handler>(session: &mut Session<H>, reason: &CloseReason) {
    let link = session.conn.link.clone();
    // An abort that came before has ended the handler's other methods: this one begins anew.
    link.take(Flag::ABORT);
    // Called within, because a method that is no `async fn` may panic before it has made a future.
    let told = async { session.handler.on_close(&mut session.conn, reason).await };
    let mut told = pin!(Some(CatchPanic::new(told)));
    let poll = |cx: &mut Context<'_>| told.as_mut().as_pin_mut().map_or(Poll::Pending, |told| told.poll(cx));
    if unless_aborted(&link, poll).await.is_none() {
        drop_now(told);
    }
}

/// Drops the handler and the decoder of a session. A panic there must not keep the connection from its end.
pub(super) fn drop_session(handler: impl Sized, decoder: impl Sized) {
    drop_contained(|| drop(handler));
    drop_contained(|| drop(decoder));
}

/// What the peer should be told of it.
fn farewell(reason: &CloseReason) -> Option<Farewell> {
    match reason {
        CloseReason::Closed | CloseReason::EndOfStream => Some(Farewell::Closed),
        CloseReason::Protocol(_) => Some(Farewell::Protocol),
        CloseReason::Handler(_) | CloseReason::Panic(_) => Some(Farewell::Failed),
        CloseReason::Timeout(_) => Some(Farewell::Timeout),
        CloseReason::Shutdown => Some(Farewell::Shutdown),
        CloseReason::Reset(_) | CloseReason::TooSlow | CloseReason::Detached | CloseReason::Upgraded => None,
    }
}

/// Ends a session whose connection goes on without it.
async fn detach<H: Handler>(mut session: Session<H>) -> CloseReason {
    let link = session.conn.link.clone();
    let reason = CloseReason::Detached;
    log(&session.conn, &reason);
    tell(&mut session, &reason).await;
    let Session { handler, conn, decoder } = session;
    // A handler's drop is a user's code, and must not keep the connection from who takes it.
    drop_session(handler, decoder);
    link.tell_kept(true);
    link.end(reason.number());
    if let Err(error) = link.give_up() {
        tracing::error!(%error, "a detached connection is lost");
        link.deregister();
    }
    // Not before, because that takes the connection from its core.
    drop(conn);
    reason
}

/// A connection that broke under a handler ended because it broke, whatever the handler made of it.
fn blame(reason: CloseReason, port: &Port) -> CloseReason {
    match (&reason, port.failure()) {
        (CloseReason::Handler(Error::Closed) | CloseReason::Closed | CloseReason::EndOfStream, Some(error)) => {
            CloseReason::Reset(error)
        }
        _ => reason,
    }
}

/// Hands everything that was sent to the system, and then the end of the stream, unless the peer's end comes first.
async fn deliver(port: &Port, reason: CloseReason, limit: Duration, closes_last: bool) -> CloseReason {
    if port.has(Flag::ABORT) {
        // Those who wait for room in its queue wait for nothing.
        port.fail(&std::io::ErrorKind::ConnectionAborted.into());
        let _ = port.socket.reset_on_close();
        return reason;
    }
    if port.is_failed() {
        return reason;
    }
    port.discard_input();
    // Handles and groups come too late: what is queued behind the end would keep it from coming.
    port.shut();
    port.flush();
    if port.queued() > 0 {
        // Rare, so it is boxed: it must not be a part of every connection's future.
        let flushing = while_it_gets_on(port, limit, progress(port), |cx| port.poll_flushed(cx));
        let flushed = Box::pin(flushing).await;
        if !matches!(flushed, Some(Ok(()))) {
            let undelivered = port.queued();
            let _ = port.socket.reset_on_close();
            let failure = port.failure();
            port.fail(&std::io::ErrorKind::TimedOut.into());
            return match failure {
                _ if !reason.is_normal() => reason,
                Some(error) => CloseReason::Reset(error),
                None => CloseReason::Timeout(TimeLimit::Close { undelivered }),
            };
        }
    }
    if !closes_last {
        let _ = port.shutdown_write();
    }
    reason
}

/// Waits for the peer's end.
async fn linger(port: &Port, limit: Duration) {
    let (mut has_taken, mut acknowledged) = (progress(port), None);
    let gets_on = || {
        let (has_taken, has_heard, now) = (has_taken(), port.has_heard(), port.core.time());
        match acknowledged {
            // It may stand still once more after that.
            Some(since) => has_heard && now.duration_since(since) < limit.saturating_mul(LINGER - 1),
            None => {
                acknowledged = (port.unacknowledged() == 0).then_some(now);
                has_taken
            }
        }
    };
    while_it_gets_on(port, limit, gets_on, |_| match port.has(Flag::ENDED) || port.is_failed() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Whether the peer has taken anything since the last call. The first one begins the count: most closes are over before.
fn progress(port: &Port) -> impl FnMut() -> bool {
    let mut before = (0, 0);
    move || {
        let now = (port.queued(), port.unacknowledged());
        let progress = now.0 < before.0 || now.1 < before.1;
        before = now;
        progress
    }
}

/// `None` when the connection is aborted, or when `gets_on` has said no for `limit`.
async fn while_it_gets_on<T>(
    port: &Port,
    limit: Duration,
    mut gets_on: impl FnMut() -> bool,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Option<T> {
    // Looks are counted, not time: that might have passed while this core did something else, and looked at nothing. The first
    // look has no other to compare with.
    let mut left = LOOKS;
    loop {
        if let Ok(done) = timeout(limit / LOOKS, unless_aborted(port, &mut poll)).await {
            return done;
        }
        if left == 0 || limit.is_zero() {
            return None;
        }
        // The kernel reports that it has room when a third of its buffer is free, and a slow peer takes long for that.
        port.try_again_to_flush();
        left = if gets_on() { LOOKS } else { left - 1 };
    }
}

/// `None` as soon as the connection is aborted: its server's time is over.
async fn unless_aborted<T>(port: &Port, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    poll_fn(|cx| {
        if port.has(Flag::ABORT) {
            return Poll::Ready(None);
        }
        // An abort is told to the reader, and so are input, which was thrown away, and its end.
        while port.poll_news(cx).is_ready() {}
        poll(cx).map(Some)
    })
    .await
}

/// Writes down that, and why, a connection has ended.
fn log<H: crate::codec::Codec>(conn: &Conn<H>, reason: &CloseReason) {
    conn.link.core.meter.closed(reason.number());
    let (connection, peer) = (conn.id(), conn.peer_addr().ok());
    match reason {
        CloseReason::Panic(_) => tracing::error!(%connection, ?peer, %reason, "close"),
        CloseReason::Protocol(_) | CloseReason::Handler(_) | CloseReason::Timeout(_) | CloseReason::TooSlow => {
            tracing::warn!(%connection, ?peer, %reason, "close");
        }
        _ => tracing::debug!(%connection, ?peer, %reason, "close"),
    }
}
