//! Sleeps last at least as long as they should; many at once cost no long turn; a cancelled one leaves nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tiderace::{block_on, interval, sleep, sleep_until, spawn_local, timeout, yield_now};

/// How late sleeps of many lengths end, in order.
async fn lateness() -> Vec<Duration> {
    let mut late = Vec::new();
    for micros in [0, 1, 10, 100, 131, 500, 999, 1000, 1001, 2500, 7777, 20_000] {
        for _ in 0..5 {
            let began = Instant::now();
            sleep(Duration::from_micros(micros)).await;
            let over = began.elapsed().checked_sub(Duration::from_micros(micros)).expect("not early");
            late.push(over);
        }
    }
    late.sort();
    late
}

#[test]
fn a_sleep_is_never_early_and_seldom_a_millisecond_late() {
    // The machine may be busy, so the bound is on the median, and another look is taken where that is late.
    let began = Instant::now();
    block_on(async {
        loop {
            let late = lateness().await;
            if late[late.len() / 2] < Duration::from_millis(1) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "{late:?}");
        }
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines() {
    /// The order in which they ended, unless the machine was so busy that a deadline had passed before its sleep began.
    async fn order() -> Option<Vec<u64>> {
        let order = Rc::new(RefCell::new(Vec::new()));
        let first = Instant::now() + Duration::from_millis(50);
        let tasks: Vec<_> = [30, 10, 20, 0, 25]
            .map(|ms| {
                let order = order.clone();
                spawn_local(async move {
                    let in_time = Instant::now() < first;
                    sleep_until(first + Duration::from_millis(ms)).await;
                    order.borrow_mut().push(ms);
                    in_time
                })
            })
            .into();
        let mut in_time = true;
        for task in tasks {
            in_time &= task.await.unwrap();
        }
        in_time.then(|| order.take())
    }
    block_on(async {
        let order = loop {
            if let Some(order) = order().await {
                break order;
            }
        };
        assert_eq!(order, [0, 10, 20, 25, 30]);
    });
}

#[test]
fn a_hundred_thousand_expiries_at_once_all_come_and_let_others_run() {
    block_on(async {
        let fired = Rc::new(Cell::new(0));
        let deadline = Instant::now() + Duration::from_millis(300);
        for _ in 0..100_000 {
            let fired = fired.clone();
            spawn_local(async move {
                sleep_until(deadline).await;
                assert!(Instant::now() >= deadline);
                fired.set(fired.get() + 1);
            })
            .detach();
        }
        let mut turns = 0;
        while fired.get() < 100_000 {
            yield_now().await;
            turns += 1;
        }
        // Somebody else ran in between: at least once for each portion of expiries.
        assert!(turns > 90, "{turns}");
    });
}

#[test]
fn arming_and_cancelling_many_times() {
    block_on(async {
        for i in 0..200_000_u64 {
            // Polled once, so that it is armed, and then dropped.
            let mut timer = sleep(Duration::from_secs(1 + i % 1000));
            assert!(futures_lite::future::poll_once(&mut timer).await.is_none());
        }
        assert!(timeout(Duration::from_millis(1), std::future::pending::<()>()).await.is_err());
    });
}

#[test]
fn an_interval_keeps_its_raster_and_leaves_out_what_was_missed() {
    block_on(async {
        let period = Duration::from_millis(10);
        let mut ticks = interval(period);
        let first = ticks.tick().await;
        let second = ticks.tick().await;
        // Ticks of a machine that stalls are left out as well, so only the raster is sure.
        let on_raster = |tick: Instant| (tick - first).as_nanos().is_multiple_of(period.as_nanos());
        assert!(second >= first + period && on_raster(second));
        std::thread::sleep(Duration::from_millis(55));
        let third = ticks.tick().await;
        let fourth = ticks.tick().await;
        assert!(third > second && on_raster(third), "the tick that was due is told late");
        assert!(fourth >= third + 2 * period && on_raster(fourth), "those in between are left out");
    });
}

#[test]
#[should_panic = "sleep needs a core"]
fn outside_a_core_it_says_what_is_missing() {
    drop(sleep(Duration::ZERO));
}

#[test]
#[should_panic = "this thread is a core already"]
fn waiting_inside_a_core_is_refused() {
    block_on(async { block_on(async {}) });
}

#[test]
#[should_panic = "timeout needs a core"]
fn a_timeout_around_everything_says_what_is_missing() {
    let _ = tiderace::block_on(tiderace::timeout(Duration::from_secs(1), async {}));
}

#[test]
fn at_runs_its_work_at_its_time_and_at_once_if_that_is_past() {
    block_on(async {
        let began = Instant::now();
        let due = began + Duration::from_millis(5);
        assert!(tiderace::at(due, async { Instant::now() }).await.unwrap() >= due);
        assert_eq!(tiderace::at(began, async { "at once" }).await.unwrap(), "at once");
        let never = tiderace::at(Instant::now() + Duration::from_secs(3600), async { unreachable!() });
        assert_eq!(never.cancel().await, None::<()>);
    });
}
