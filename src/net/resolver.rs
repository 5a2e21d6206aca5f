//! Work that blocks for as long as somebody else's server likes, such as the look-up of a name: on few threads.
//!
//! A thread takes what waits, in order, and ends when nothing does. Whoever adds work looks at the number of threads after
//! that, and a thread that ends looks at the queue after it has left that number: so one of the two sees the other, and no work
//! is left lying.

use crate::limits;
use crate::runtime::{OneshotSender, oneshot, unpinned};
use concurrent_queue::ConcurrentQueue;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

static RESOLVER: LazyLock<Pool> = LazyLock::new(|| Pool::new(limits::LOOK_UPS, limits::LOOK_UPS_WAITING));

/// Does `work` on a thread of the resolver. It is not begun if this future is dropped before.
pub(super) async fn resolve<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    RESOLVER.run(work).await
}

struct Pool {
    waiting: ConcurrentQueue<Box<dyn Work>>,
    threads: AtomicUsize,
    max_threads: usize,
    max_waiting: usize,
}

trait Work: Send {
    fn is_given_up(&self) -> bool;
    fn run(self: Box<Self>);
}

struct Asked<T, F> {
    answer: OneshotSender<T>,
    work: F,
}

impl<T: Send, F: FnOnce() -> T + Send> Work for Asked<T, F> {
    fn is_given_up(&self) -> bool {
        self.answer.is_abandoned()
    }

    fn run(self: Box<Self>) {
        let Asked { answer, work } = *self;
        answer.send(work());
    }
}

impl Pool {
    fn new(max_threads: usize, max_waiting: usize) -> Pool {
        Pool { waiting: ConcurrentQueue::unbounded(), threads: AtomicUsize::new(0), max_threads, max_waiting }
    }

    async fn run<T: Send + 'static>(&'static self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        if self.waiting.len() >= self.max_waiting && !self.sweep() {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "too many look-ups wait already"));
        }
        let (answer, answered) = oneshot();
        let _ = self.waiting.push(Box::new(Asked { answer, work }));
        self.start_thread()?;
        answered.receive().await.ok_or_else(|| io::Error::other("no thread has done the look-up"))
    }

    /// Forgets what was given up; says whether that has made room.
    fn sweep(&self) -> bool {
        for _ in 0..self.waiting.len() {
            let Ok(work) = self.waiting.pop() else { break };
            if !work.is_given_up() {
                let _ = self.waiting.push(work);
            }
        }
        self.waiting.len() < self.max_waiting
    }

    fn join(&self) -> bool {
        let one_more = |threads| (threads < self.max_threads).then_some(threads + 1);
        self.threads.fetch_update(SeqCst, SeqCst, one_more).is_ok()
    }

    fn start_thread(&'static self) -> io::Result<()> {
        if !self.join() {
            return Ok(());
        }
        let thread = std::thread::Builder::new().name("tiderace-resolver".into());
        let Err(error) = thread.spawn(unpinned(|| self.work())) else { return Ok(()) };
        if self.threads.fetch_sub(1, SeqCst) > 1 {
            // Others will come to it.
            return Ok(());
        }
        while self.waiting.pop().is_ok() {}
        Err(error)
    }

    fn work(&self) {
        loop {
            while let Ok(work) = self.waiting.pop() {
                if !work.is_given_up() {
                    // This thread counts as one that works until it says otherwise.
                    let _ = catch_unwind(AssertUnwindSafe(|| work.run()));
                }
            }
            self.threads.fetch_sub(1, SeqCst);
            if self.waiting.is_empty() || !self.join() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{CoreConfig, Entered, block_on, spawn_local, yield_now};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};

    fn pool(threads: usize, waiting: usize) -> &'static Pool {
        Box::leak(Box::new(Pool::new(threads, waiting)))
    }

    /// Work that says that it has begun, and waits to be let go.
    fn held(number: usize, begun: &Sender<usize>, gate: &Arc<Mutex<Receiver<()>>>) -> impl FnOnce() -> usize + use<> {
        let (begun, gate) = (begun.clone(), gate.clone());
        move || {
            begun.send(number).unwrap();
            gate.lock().unwrap().recv().unwrap();
            number
        }
    }

    #[test]
    fn look_ups_run_on_few_threads_in_order_and_all_are_answered() {
        let pool = pool(4, 1000);
        let ((tell, begun), (open, gate)) = (channel(), channel());
        let gate = Arc::new(Mutex::new(gate));
        block_on(async {
            let tasks: Vec<_> = (0..100).map(|i| spawn_local(pool.run(held(i, &tell, &gate)))).collect();
            yield_now().await;
            let mut first: Vec<usize> = (0..4).map(|_| begun.recv().unwrap()).collect();
            first.sort();
            assert_eq!(first, [0, 1, 2, 3]);
            assert_eq!(pool.threads.load(SeqCst), 4);
            // One is let go, and the next begins.
            open.send(()).unwrap();
            assert_eq!(begun.recv().unwrap(), 4);
            assert!(begun.try_recv().is_err(), "no more than four at once");
            (1..100).for_each(|_| open.send(()).unwrap());
            for (i, task) in tasks.into_iter().enumerate() {
                assert_eq!(task.await.unwrap().unwrap(), i);
            }
        });
    }

    #[test]
    fn look_up_that_is_given_up_is_not_begun_and_makes_room() {
        let pool = pool(1, 3);
        let ((tell, begun), (open, gate)) = (channel(), channel());
        let gate = Arc::new(Mutex::new(gate));
        block_on(async {
            let first = spawn_local(pool.run(held(0, &tell, &gate)));
            yield_now().await;
            assert_eq!(begun.recv().unwrap(), 0);
            let mut waiting: Vec<_> = (1..=3).map(|i| spawn_local(pool.run(held(i, &tell, &gate)))).collect();
            yield_now().await;
            let error = pool.run(held(4, &tell, &gate)).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
            let last = waiting.pop().unwrap();
            for given_up in waiting {
                given_up.cancel().await;
            }
            let another = spawn_local(pool.run(held(5, &tell, &gate)));
            yield_now().await;
            (0..3).for_each(|_| open.send(()).unwrap());
            assert_eq!(first.await.unwrap().unwrap(), 0);
            assert_eq!(last.await.unwrap().unwrap(), 3);
            assert_eq!(another.await.unwrap().unwrap(), 5);
            assert_eq!([begun.recv().unwrap(), begun.recv().unwrap()], [3, 5]);
            assert!(begun.try_recv().is_err());
        });
    }

    /// Where a machine has one processor, this says nothing.
    #[cfg(target_os = "linux")]
    #[test]
    fn look_ups_of_a_pinned_core_are_free() {
        let all = crate::io::processors();
        let config = CoreConfig { processor: Some(all[0]), ..CoreConfig::default() };
        let core = Entered::new(config.prepare().unwrap());
        let (here, there) =
            core.run(async { (crate::io::processors(), resolve(crate::io::processors).await.unwrap()) }).unwrap();
        assert_eq!((here, there), (vec![all[0]], all));
    }

    #[test]
    fn look_up_that_panics_costs_no_thread() {
        let pool = pool(1, 10);
        block_on(async {
            for _ in 0..3 {
                assert!(pool.run(|| panic!("in a look-up")).await.is_err());
                assert_eq!(pool.run(|| 7).await.unwrap(), 7);
            }
        });
    }
}
