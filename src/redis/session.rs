//! The tasks behind a client: one that stays connected, and one that watches the time.

use super::config::RedisConfig;
use super::encode::{Frame, Frames};
use super::handshake;
use super::wire::Wire;
use crate::codec::ProtocolError;
use crate::connection::{Conn, Handler};
use crate::error::{CloseKind, CloseReason, Result};
use crate::net::Stream;
use crate::runtime::{sleep, sleep_until, spawn_local};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// Gives replies to the requests that wait for them.
struct Receiver(Rc<Wire>);

impl Handler for Receiver {
    type Codec = Frames;

    async fn on_open(&mut self, conn: &mut Conn<Frames>) -> Result {
        if self.0.closing.get() {
            conn.close();
            return Ok(());
        }
        let high = self.0.config.max_queued;
        conn.set_write_marks(high, high / 2);
        self.0.opened(conn.link.clone());
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Frames>, frame: Frame<'_>) -> Result {
        self.0.reply(frame)
    }

    async fn on_close(&mut self, _: &mut Conn<Frames>, reason: &CloseReason) {
        match reason {
            // The end of the stream while replies are awaited.
            CloseReason::Protocol(ProtocolError::Truncated { received: 0 }) => self.0.lost("end of stream"),
            reason => self.0.lost(&reason.to_string()),
        }
    }
}

/// Starts both. The first connection may be there already.
pub(super) fn start(wire: &Rc<Wire>, first: Option<Stream>) {
    spawn_local(stay_connected(wire.clone(), first)).detach();
    spawn_local(watch(wire.clone())).detach();
}

async fn stay_connected(wire: Rc<Wire>, mut first: Option<Stream>) {
    let config: &RedisConfig = &wire.config;
    let mut failed = 0;
    while !wire.closing.get() {
        let connected = match first.take() {
            Some(stream) => Ok(stream),
            None => match unless_closing(&wire, handshake::connect(config)).await {
                Some(connected) => connected,
                None => break,
            },
        };
        let began = wire.core.time();
        let served = connected.and_then(|stream| stream.serve(Frames(wire.clone()), Receiver(wire.clone())));
        match served {
            Ok(handle) => {
                let kind = handle.closed().await;
                let was_mute = wire.aborted.take();
                if kind == CloseKind::Shutdown || kind == CloseKind::Closed && !was_mute {
                    break;
                }
                if config.backoff.is_success(wire.core.time().saturating_duration_since(began)) {
                    failed = 0;
                }
            }
            Err(error) => {
                wire.last_failure.replace(Some(Arc::from(format!("{error:#}"))));
            }
        }
        failed += 1;
        let Some(pause) = config.backoff.pause(failed) else { break };
        let reason = wire.last_failure.borrow().clone().unwrap_or_default();
        tracing::info!(to = %config.address(), %reason, ?pause, "connecting to a Redis again");
        if unless_closing(&wire, sleep(pause)).await.is_none() {
            break;
        }
    }
    wire.end();
}

/// What `other` returns, or `None` once the client is to close.
async fn unless_closing<T>(wire: &Wire, other: impl Future<Output = T>) -> Option<T> {
    let mut other = pin!(other);
    poll_fn(|cx| {
        if wire.closing.get() {
            return Poll::Ready(None);
        }
        wire.connecting.set(Some(cx.waker().clone()));
        other.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Looks at the time, and never sleeps for longer than the time that a command has: so none that is sent meanwhile is overlooked.
async fn watch(wire: Rc<Wire>) {
    let (limit, keep_alive) = (wire.config.timeout, wire.config.keep_alive);
    let mut quiet_since = wire.core.time();
    while !wire.closing.get() && !wire.ended.get() {
        let now = wire.core.time();
        let mut next = [limit, keep_alive].into_iter().flatten().min().and_then(|pause| now.checked_add(pause));
        if let Some(limit) = limit {
            let unsent = wire.expire_unsent(now, limit);
            let mut sent = wire.oldest().and_then(|began| began.checked_add(limit));
            if sent.is_some_and(|due| due <= now) {
                wire.is_mute(now, limit);
                sent = None;
            }
            next = [next, unsent, sent].into_iter().flatten().min();
        }
        if wire.heard.take() || !wire.is_idle() {
            quiet_since = now;
        }
        if keep_alive.is_some_and(|after| now.saturating_duration_since(quiet_since) >= after) {
            quiet_since = now;
            wire.send_and_forget(&["PING"]);
        }
        // Without any limit there is nothing to watch.
        let Some(next) = next else { return };
        sleep_until(next).await;
    }
}
