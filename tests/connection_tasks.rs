//! Tasks of a connection: they run beside its handler, and end with it.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::*;
use tiderace::codec::Lines;
use tiderace::{CloseReason, Conn, Error, Handler, JoinError, JoinHandle, Result, Server, spawn_local, yield_now};

/// Tells that it was dropped.
struct Dropped(Sender<String>, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(format!("{} dropped", self.1));
    }
}

/// Has tasks of its own, and does what a line says.
struct Parent {
    tell: Sender<String>,
    waiting: Option<JoinHandle<()>>,
}

impl Handler for Parent {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        let guard = Dropped(self.tell.clone(), "waiting");
        self.waiting = Some(conn.spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        }));
        let guard = Dropped(self.tell.clone(), "busy");
        conn.spawn(async move {
            let _guard = guard;
            loop {
                yield_now().await;
            }
        });
        let guard = Dropped(self.tell.clone(), "timer");
        conn.after(PATIENCE, async move { drop(guard) });
        let (peer, mut count) = (conn.handle(), 0);
        conn.every(Duration::from_millis(1), move || {
            count += 1;
            if count == 3 {
                peer.try_send("third tick").unwrap();
            }
            async {}
        });
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        match line {
            "close" => conn.close(),
            "fail" => return Err(Error::msg("as it was told")),
            "abort" => conn.handle().abort(),
            "detach" => conn.detach(|_| async {}),
            "panic" => {
                let panicked = conn.spawn(async { panic!("as it was told") }).await;
                assert_eq!(panicked, Err(JoinError::Panicked("as it was told".into())) as Result<(), _>);
            }
            "result" => {
                let line = conn.spawn(async { "the result" }).await?;
                conn.send(line).await?;
            }
            _ => {}
        }
        conn.send(line).await
    }

    async fn on_close(&mut self, conn: &mut Conn<Lines>, _: &CloseReason) {
        let _ = self.tell.send("closed".into());
        assert_eq!(self.waiting.take().unwrap().await, Err(JoinError::Cancelled));
        let guard = Dropped(self.tell.clone(), "late");
        let late = conn.spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        let tell = self.tell.clone();
        spawn_local(async move {
            assert_eq!(late.await, Err(JoinError::Cancelled));
            let _ = tell.send("late cancelled".into());
        });
    }
}

fn parents(cores: usize) -> (Running, Events<String>) {
    let (tell, told) = events();
    let make = move || Parent { tell: tell.clone(), waiting: None };
    let server = Server::new().cores(cores).close_timeout(Duration::from_millis(50));
    (Running::start(server.listen("tcp://127.0.0.1:0", Lines::default(), make).unwrap()), told)
}

/// All tasks have ended before the handler was told of the close, in any order.
fn all_have_ended(told: &Events<String>) {
    let mut dropped = [told.next(), told.next(), told.next()];
    dropped.sort();
    assert_eq!(dropped, ["busy dropped", "timer dropped", "waiting dropped"]);
    assert_eq!(told.next(), "closed");
    assert_eq!(told.next(), "late dropped");
    assert_eq!(told.next(), "late cancelled");
}

#[test]
fn task_ends_with_its_connection_whatever_ends_that() {
    for cores in CORES {
        let (server, told) = parents(cores);
        for line in ["close\n", "fail\n", "abort\n", "detach\n"] {
            let mut stream = server.connect();
            stream.write_all(line.as_bytes()).unwrap();
            all_have_ended(&told);
        }
        let stream = server.connect();
        stream.shutdown(Shutdown::Both).unwrap();
        all_have_ended(&told);
        let mut stream = server.connect();
        stream.read_exact(&mut [0; 11]).unwrap();
        server.stop(PATIENCE);
        all_have_ended(&told);
    }
}

#[test]
fn task_runs_beside_its_handler_and_gives_its_result() {
    let (server, told) = parents(1);
    let mut stream = server.connect();
    let mut tick = [0; 11];
    stream.read_exact(&mut tick).unwrap();
    assert_eq!(&tick, b"third tick\n");
    stream.write_all(b"result\n").unwrap();
    let mut result = [0; 18];
    stream.read_exact(&mut result).unwrap();
    assert_eq!(&result, b"the result\nresult\n");
    // A panic ends that task only.
    echoes(&mut stream, b"panic\n");
    assert!(told.is_quiet());
}
