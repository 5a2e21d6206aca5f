//! The way to other servers: a channel of a Redis, on one connection that stays.

use crate::rooms::Rooms;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tiderace::resp::{Replies, Value};
use tiderace::{Backoff, CloseReason, Conn, Connector, Error, Handle, Handler, Result};

const CHANNEL: &str = "tiderace-chat";
/// How often Redis is asked for a sign of life, and how long it may give none: a server that hangs, or whose host has gone,
/// closes nothing.
const PING: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(5);

/// Where to publish; without an address, nowhere.
#[derive(Default)]
pub struct Relay {
    to: Option<To>,
    /// The connection, while there is one. What is said meanwhile is not heard elsewhere.
    handle: Mutex<Option<Handle<Replies>>>,
}

struct To {
    connector: Connector,
    password: Option<String>,
}

impl Relay {
    /// To `redis://[:PASSWORD@]HOST[:PORT]`.
    pub fn to(url: &str) -> Result<Relay> {
        let rest = url.strip_prefix("redis://").ok_or_else(|| Error::msg("expected redis://HOST:PORT"))?;
        let rest = rest.trim_end_matches('/');
        let (password, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (user.split_once(':').map(|(_, password)| password.to_owned()), host),
            None => (None, rest),
        };
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let host = if has_port { host.to_owned() } else { format!("{host}:6379") };
        let connector = Connector::new(format!("tcp://{host}"))?.timeout(Duration::from_secs(5));
        Ok(Relay { to: Some(To { connector, password }), handle: Mutex::default() })
    }

    pub fn is_used(&self) -> bool {
        self.to.is_some()
    }

    pub fn publish(&self, message: String) {
        if let Some(handle) = &*self.handle.lock().unwrap() {
            // Should it be too busy, or just gone: this is a chat, and not a ledger.
            let _ = handle.try_send(["PUBLISH".to_owned(), CHANNEL.to_owned(), message]);
        }
    }
}

/// Listens to the other servers, as long as this one runs.
pub fn stay_connected(rooms: Arc<Rooms>) {
    if let Some(to) = &rooms.relay.to {
        let backoff = Backoff::default().max(Duration::from_secs(2));
        let listener = rooms.clone();
        to.connector.clone().serve(Replies::default(), backoff, move || Listener(listener.clone()));
    }
}

// ANCHOR: listener
struct Listener(Arc<Rooms>);

impl Handler for Listener {
    type Codec = Replies;

    async fn on_open(&mut self, conn: &mut Conn<Replies>) -> Result {
        conn.set_read_deadline(Some(Instant::now() + SILENCE));
        // Version 3, in which one connection may listen and publish.
        match self.0.relay.to.as_ref().and_then(|to| to.password.as_ref()) {
            Some(password) => conn.send(&["HELLO", "3", "AUTH", "default", password]).await?,
            None => conn.send(&["HELLO", "3"]).await?,
        }
        conn.send(&["SUBSCRIBE", CHANNEL]).await?;
        let handle = conn.handle();
        *self.0.relay.handle.lock().unwrap() = Some(handle.clone());
        conn.every(PING, move || {
            let _ = handle.try_send(["PING".to_owned()]);
            async {}
        });
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Replies>, value: Value<'_>) -> Result {
        conn.set_read_deadline(Some(Instant::now() + SILENCE));
        match value {
            Value::Push(push) if push.get(0).and_then(|kind| kind.as_str()) == Some("message") => {
                let message = push.get(2).and_then(|message| message.as_bytes()).unwrap_or_default();
                match serde_json::from_slice(message) {
                    Ok(news) => self.0.heard(news),
                    Err(error) => eprintln!("somebody else uses the channel {CHANNEL}: {error}"),
                }
            }
            Value::Error(error) => return Err(Error::msg(String::from_utf8_lossy(error).into_owned())),
            _ => {}
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Replies>, reason: &CloseReason) {
        self.0.relay.handle.lock().unwrap().take();
        eprintln!("the connection to Redis has ended: {reason}");
    }
}
// ANCHOR_END: listener
