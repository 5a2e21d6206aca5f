//! Work on the pool of threads.
#![cfg(feature = "blocking")]

use std::sync::mpsc::channel;
use std::thread;
use tiderace::{JoinError, block_on, spawn_blocking};

#[test]
fn the_core_goes_on_while_work_blocks() {
    let (done, ready) = channel();
    block_on(async {
        let here = thread::current().id();
        // It waits for this core, which so is not waiting for it.
        let work = spawn_blocking(move || {
            ready.recv().unwrap();
            thread::current().id()
        });
        tiderace::yield_now().await;
        done.send(()).unwrap();
        assert_ne!(work.await.unwrap(), here);
    });
}

#[test]
fn a_panic_is_told_to_who_waits() {
    block_on(async {
        let work = spawn_blocking(|| panic!("as asked"));
        assert_eq!(work.await, Err(JoinError::Panicked("as asked".to_owned())));
        assert_eq!(spawn_blocking(|| 7).await, Ok(7), "and the pool goes on");
    });
}

#[test]
fn what_is_dropped_runs_and_what_is_aborted_keeps_nobody() {
    let (done, ready) = channel();
    let (release, wait) = channel::<()>();
    block_on(async {
        drop(spawn_blocking(move || done.send(()).unwrap()));
        // Its handle is gone, but it is not.
        spawn_blocking(move || ready.recv().unwrap()).await.unwrap();
        spawn_blocking(move || wait.recv()).abort();
    });
    drop(release);
}
