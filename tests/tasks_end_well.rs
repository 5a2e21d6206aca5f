//! Tasks and timers whose core ends, whose handles are on other threads, and whose destructors panic.

#![allow(clippy::async_yields_async)] // what a core leaves behind is the subject

mod support;

use futures_lite::AsyncReadExt;
use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::task::Poll;
use std::time::Duration;
use support::handlers::Echo;
use support::*;
use tiderace::codec::Raw;
use tiderace::{
    Error, JoinError, JoinHandle, Server, UdpSocket, after, block_on, connect, interval, sleep, spawn_local, timeout,
    yield_now,
};

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(3600);

/// Says that it is dropped.
struct Dropped<T: Clone>(Sender<T>, T);

impl<T: Clone> Drop for Dropped<T> {
    fn drop(&mut self) {
        let _ = self.0.send(self.1.clone());
    }
}

/// A core on a thread of its own, whose tasks are made there and whose handles are brought here.
struct Elsewhere<T> {
    handle: Option<JoinHandle<T>>,
    end: std::sync::mpsc::Sender<()>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl<T: Send + 'static> Elsewhere<T> {
    fn spawn(make: impl FnOnce() -> JoinHandle<T> + Send + 'static) -> Elsewhere<T> {
        let ((give, handle), (end, ended)) = (events(), std::sync::mpsc::channel());
        let thread = std::thread::spawn(move || {
            block_on(async {
                give.send(make()).unwrap();
                while ended.try_recv().is_err() {
                    sleep(Duration::from_millis(1)).await;
                }
            })
        });
        Elsewhere { handle: Some(handle.next()), end, thread: Some(thread) }
    }

    fn handle(&mut self) -> JoinHandle<T> {
        self.handle.take().unwrap()
    }

    fn end(&mut self) {
        let _ = self.end.send(());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl<T> Drop for Elsewhere<T> {
    fn drop(&mut self) {
        let _ = self.end.send(());
    }
}

#[test]
fn join_handle_is_awaited_on_another_thread() {
    let mut elsewhere = Elsewhere::spawn(|| after(Duration::from_millis(5), async { String::from("done") }));
    let handle = elsewhere.handle();
    let here = std::thread::current().id();
    // By another runtime, and by a core of ours.
    assert_eq!(futures_lite::future::block_on(handle).unwrap(), "done");
    let mut elsewhere = Elsewhere::spawn(|| spawn_local(async { std::thread::current().id() }));
    assert_ne!(block_on(elsewhere.handle()).unwrap(), here);
}

#[test]
fn join_handle_cancels_from_another_thread() {
    let (tell, told) = events();
    let mut elsewhere = Elsewhere::spawn(move || {
        let dropped = Dropped(tell, ());
        spawn_local(async move {
            pending::<()>().await;
            drop(dropped);
        })
    });
    assert_eq!(futures_lite::future::block_on(elsewhere.handle().cancel()), None);
    told.next();
}

#[test]
fn join_handle_aborts_from_another_thread_and_dropped_does_not() {
    let ((tell, told), (tell_other, told_other)) = (events(), events());
    let mut elsewhere = Elsewhere::spawn(move || {
        let dropped = Dropped(tell, ());
        spawn_local(async move {
            pending::<()>().await;
            drop(dropped);
        })
    });
    elsewhere.handle().abort();
    told.next();
    let mut elsewhere = Elsewhere::spawn(move || {
        after(Duration::from_millis(5), async move {
            let _ = tell_other.send("went on");
        })
    });
    drop(elsewhere.handle());
    assert_eq!(told_other.next(), "went on");
}

#[test]
fn join_handle_of_a_core_that_has_ended_is_cancelled() {
    let mut elsewhere = Elsewhere::spawn(|| spawn_local(pending::<()>()));
    let handle = elsewhere.handle();
    let waiting = std::thread::spawn(move || futures_lite::future::block_on(handle));
    elsewhere.end();
    assert_eq!(waiting.join().unwrap(), Err(JoinError::Cancelled));
}

#[test]
fn sleep_goes_on_in_the_next_core() {
    let (mut short, mut ticks, limited) = block_on(async {
        let mut short = sleep(Duration::from_millis(20));
        // It is armed in the wheel of this core.
        let armed = futures_lite::future::poll_once(&mut short).await;
        assert_eq!(armed, None);
        (short, interval(Duration::from_millis(5)), timeout(Duration::from_millis(5), pending::<()>()))
    });
    let deadline = short.deadline();
    block_on(async {
        (&mut short).await;
        assert!(std::time::Instant::now() >= deadline);
        ticks.tick().await;
        ticks.tick().await;
        limited.await.unwrap_err();
    });
    let mut never = block_on(async { sleep(Duration::MAX) });
    assert_eq!(block_on(futures_lite::future::poll_once(&mut never)), None);
}

#[test]
#[should_panic = "sleep needs a core"]
fn sleep_outside_a_core_says_so() {
    let sleep = block_on(async { sleep(LONG) });
    futures_lite::future::block_on(sleep);
}

#[test]
fn sockets_of_a_core_that_has_ended_fail() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut stream, mut socket) =
        block_on(async { (connect(address).await.unwrap(), UdpSocket::bind("udp://127.0.0.1:0").await.unwrap()) });
    block_on(async {
        let read = timeout(PATIENCE, stream.read(&mut [0])).await.expect("not a wait without an end");
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::NotConnected);
        let received = timeout(PATIENCE, socket.recv_from()).await.expect("not a wait without an end");
        assert!(matches!(received, Err(Error::Closed)));
    });
}

/// A careless destructor.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a bomb");
    }
}

/// A future that has one.
async fn armed() {
    let _bomb = Bomb;
    pending::<()>().await;
}

#[test]
fn destructor_that_panics_in_a_cancelled_task_ends_nothing_else() {
    block_on(async {
        let task = spawn_local(armed());
        yield_now().await;
        assert_eq!(task.cancel().await, None);
        let task = spawn_local(armed());
        yield_now().await;
        task.abort();
        // One that has never run, and one that is cancelled by itself while it runs.
        spawn_local(armed()).abort();
        let own = Rc::new(RefCell::new(None::<JoinHandle<()>>));
        let (mine, mut armed) = (own.clone(), Box::pin(armed()));
        *own.borrow_mut() = Some(spawn_local(std::future::poll_fn(move |cx| {
            let polled = armed.as_mut().poll(cx);
            if let Some(own) = mine.borrow_mut().take() {
                own.abort();
            }
            polled
        })));
        yield_now().await;
        yield_now().await;
        assert_eq!(spawn_local(async { 7 }).await, Ok(7));
    });
}

#[test]
fn destructor_of_a_result_that_panics_ends_nothing_else() {
    block_on(async {
        spawn_local(async { Bomb }).detach();
        let finished = spawn_local(async { Bomb });
        yield_now().await;
        assert!(finished.is_finished());
        drop(finished);
        assert_eq!(spawn_local(async { 7 }).await, Ok(7));
    });
}

#[test]
fn destructor_that_panics_in_what_a_panic_carries_ends_nothing_else() {
    block_on(async {
        let task = spawn_local(async { std::panic::panic_any(Bomb) });
        assert!(matches!(task.await, Err(JoinError::Panicked(_))));
    });
}

#[test]
fn destructor_that_panics_within_a_timeout_is_a_panic_of_its_task() {
    block_on(async {
        let task = spawn_local(timeout(Duration::from_millis(1), armed()));
        assert!(task.await.unwrap().is_err(), "the limit has passed");
        let task = spawn_local(async { timeout(Duration::from_millis(1), armed()).await.is_err() });
        assert_eq!(task.await, Err(JoinError::Panicked("a bomb".into())));
    });
}

#[test]
fn destructors_that_panic_do_not_keep_a_core_from_its_end() {
    let (tell, told) = events();
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    block_on(async move {
        for i in 0..3 {
            let (tell, counted) = (tell.clone(), counted.clone());
            spawn_local(async move {
                let _dropped = Dropped(tell, i);
                let _bomb = Bomb;
                counted.set(counted.get() + 1);
                pending::<()>().await
            })
            .detach();
        }
        yield_now().await;
    });
    assert_eq!(count.get(), 3);
    let mut dropped = [told.next(), told.next(), told.next()];
    dropped.sort();
    assert_eq!(dropped, [0, 1, 2]);
    // The thread may be a core again.
    block_on(ready(()));
}

#[test]
fn destructor_of_a_hook_that_panics_does_not_keep_a_server_from_its_end() {
    for cores in CORES {
        let server = Server::new().cores(cores).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
        let bomb = Bomb;
        let server = server.on_shutdown(armed).on_shutdown(move || {
            let _bomb = &bomb;
            ready(())
        });
        let server = server.on_each_core(|_| armed());
        let server = Running::start(server);
        echoes(&mut server.connect(), b"before");
        server.stop(Duration::from_millis(5));
    }
}

#[test]
fn work_whose_destructor_panics_keeps_no_core_from_its_end() {
    let server = Server::new().cores(1).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
    let server = Running::start(server);
    echoes(&mut server.connect(), b"before");
    let bomb = Bomb;
    server.handle.run_on(0, move || drop(bomb));
    echoes(&mut server.connect(), b"after");
    server.stop(Duration::ZERO);
}

#[test]
fn poll_fn_task_is_dropped_with_its_core() {
    let (tell, told) = events();
    block_on(async {
        let dropped = Dropped(tell, "dropped");
        spawn_local(std::future::poll_fn(move |_| {
            let _ = &dropped;
            Poll::<()>::Pending
        }))
        .detach();
    });
    assert_eq!(told.next(), "dropped");
}
