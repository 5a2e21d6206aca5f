//! Tells pages what happens, by server-sent events, and answers requests when something has happened.
//!
//!     cargo run --release --example events --features http -- [--addr IP:PORT] [--cores N]
//!
//! A page at `/` shows what comes. From terminals, `curl -N http://127.0.0.1:8080/events` hears what
//! `curl -d text http://127.0.0.1:8080/say` says, and `curl http://127.0.0.1:8080/next` waits for the next of it:
//!
//!     listening on 127.0.0.1:8080

mod support;

// ANCHOR: handler
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tiderace::http::{Event, Http, Request, Responder, Response, Status};
use tiderace::{Conn, Group, Handler, Result};

/// So many events are kept for pages that connect again, and so many requests may wait for the next one.
const KEPT: usize = 100;
const WAITING: usize = 10_000;

/// What all connections share.
struct Newsroom {
    listeners: Group<Http>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many events there have been; the last ones of them are kept.
    count: u64,
    events: VecDeque<(u64, String)>,
    waiting: Vec<Responder>,
}

struct Desk(Arc<Newsroom>);

impl Handler for Desk {
    type Codec = Http;

    async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
        match (request.method(), request.path()) {
            ("GET", "/") => conn.send(&Response::html(PAGE)).await,
            ("GET", "/events") => self.listen(conn, request.header("last-event-id")).await,
            ("GET", "/next") => self.wait(conn).await,
            ("POST", "/say") => self.say(conn, &String::from_utf8_lossy(request.body())).await,
            _ => conn.send(&Response::text("nothing here\n").status(Status::NOT_FOUND)).await,
        }
    }
}

impl Desk {
    /// A stream of events, which begins with those that the page has missed.
    async fn listen(&mut self, conn: &mut Conn<Http>, last: Option<&str>) -> Result {
        conn.send(&Response::events()).await?;
        let mut last: u64 = last.and_then(|last| last.parse().ok()).unwrap_or(0);
        loop {
            let missed: Vec<(u64, String)> = {
                let state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
                let missed: Vec<_> = state.events.iter().filter(|(id, _)| *id > last).cloned().collect();
                if missed.is_empty() {
                    // Within the lock, so that nothing is said in between. What is on its way from another core may come once
                    // more: the page passes over it, by its id.
                    self.0.listeners.join(conn);
                    return Ok(());
                }
                missed
            };
            for (id, text) in missed {
                conn.send(&Event::data(text).id(id.to_string())).await?;
                last = id;
            }
        }
    }

    /// An answer that comes later: a responder waits for it.
    async fn wait(&mut self, conn: &mut Conn<Http>) -> Result {
        {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting.retain(|responder| !responder.is_closed());
            if state.waiting.len() < WAITING {
                state.waiting.push(conn.responder()?);
                return Ok(());
            }
        }
        conn.send(&Response::text("too many wait\n").status(Status::SERVICE_UNAVAILABLE)).await
    }

    /// What one says, all hear.
    async fn say(&mut self, conn: &mut Conn<Http>, text: &str) -> Result {
        let waiting = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.count += 1;
            let id = state.count;
            state.events.push_back((id, text.to_owned()));
            if state.events.len() > KEPT {
                state.events.pop_front();
            }
            self.0.listeners.try_send(&Event::data(text).id(id.to_string()))?;
            std::mem::take(&mut state.waiting)
        };
        for responder in waiting {
            // One that has left needs no answer.
            let _ = responder.respond(Response::text(text.to_owned()));
        }
        conn.send(&Response::new(Status::NO_CONTENT)).await
    }
}
// ANCHOR_END: handler

const PAGE: &str = "<!doctype html>
<html lang=en>
<meta charset=utf-8>
<title>News</title>
<h1>News</h1>
<form><input name=text aria-label='Your message' required> <button>Say it</button></form>
<ul aria-live=polite></ul>
<script>
const list = document.querySelector('ul'), form = document.querySelector('form')
let last = 0
new EventSource('/events').onmessage = event => {
  if (Number(event.lastEventId) <= last) return
  last = Number(event.lastEventId)
  const item = document.createElement('li')
  item.textContent = event.data
  list.prepend(item)
}
form.onsubmit = event => {
  event.preventDefault()
  fetch('/say', { method: 'POST', body: form.text.value })
  form.reset()
}
</script>
</html>
";

fn main() -> Result {
    let args = support::args("127.0.0.1:8080", &[])?;
    let newsroom = Arc::new(Newsroom { listeners: Group::new(Http::default()), state: Mutex::default() });
    support::run(args.server.listen(args.addr, Http::default(), move || Desk(newsroom.clone()))?)
}
