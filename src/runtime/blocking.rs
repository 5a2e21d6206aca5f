//! Work that blocks its thread, on threads that are there for that.

use super::task::{JoinHandle, spawn_local};

/// Runs work that blocks (files, a database's client, long computations) on a thread of a pool, while this core goes on.
/// Feature `blocking`.
///
/// Where cores are [pinned](crate::Server::pin_cores), the work runs on any processor that the core might use before.
///
/// The pool is that of the `blocking` crate, and one for the whole process. It grows while its threads are busy, to 500 at
/// most unless the environment's `BLOCKING_MAX_THREADS` says otherwise; what comes then waits, in order. To bound what
/// waits, wait for some of it.
///
/// Dropping the handle that is returned leaves the work to itself. Aborting it drops work that has not begun; what has
/// cannot be stopped, and only its result is dropped.
///
/// # Panics
/// Outside a core.
///
/// ```
/// use tiderace::{Result, block_on, spawn_blocking};
///
/// fn main() -> Result {
///     block_on(async {
///         let manifest = spawn_blocking(|| std::fs::read_to_string("Cargo.toml")).await??;
///         assert!(manifest.contains("tiderace"));
///         Ok(())
///     })
/// }
/// ```
#[track_caller]
pub fn spawn_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    super::current::expect_current("spawn_blocking");
    spawn_local(::blocking::unblock(super::unpinned(work)))
}
