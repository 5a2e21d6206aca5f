//! What a timer costs: arming and cancelling one among many, 100,000 that expire at once, and the question of a turn
//! when to wake.
// Takes the room in by its path: it is not public.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

#[path = "../src/slots.rs"]
mod slots;
#[path = "../src/timer/mod.rs"]
mod timer;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use timer::Wheel;

const SECOND: u64 = 1_000_000_000;
const MANY: u64 = 100_000;

/// Deadlines of up to a minute, spread as those of connections are.
fn deadlines() -> impl Iterator<Item = u64> {
    (0_u64..).map(|i| 1 + i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % (60 * SECOND))
}

fn armed(n: u64) -> Wheel<u64> {
    let mut wheel = Wheel::new();
    for deadline in deadlines().take(n as usize) {
        wheel.insert(deadline, deadline);
    }
    wheel
}

fn arm_and_cancel(c: &mut Criterion) {
    let mut group = c.benchmark_group("arm and cancel");
    for others in [0, MANY] {
        let mut wheel = armed(others);
        let mut deadlines = deadlines();
        group.bench_function(format!("among {others}"), |b| {
            b.iter(|| {
                let key = wheel.insert(deadlines.next().unwrap(), 0);
                wheel.cancel(black_box(key))
            });
        });
    }
}

fn expire(c: &mut Criterion) {
    let mut group = c.benchmark_group("expire 100k");
    group.throughput(Throughput::Elements(MANY)).sample_size(20);
    let all_in_portions = |mut wheel: Wheel<u64>| {
        let mut expired = Vec::with_capacity(1024);
        while wheel.advance(60 * SECOND, 1024, &mut expired) {
            expired.clear();
        }
        wheel
    };
    group.bench_function("arm only", |b| b.iter_with_large_drop(|| armed(MANY)));
    group.bench_function("spread over a minute", |b| {
        b.iter_batched(|| armed(MANY), all_in_portions, BatchSize::LargeInput);
    });
    let at_once = || {
        let mut wheel = Wheel::new();
        for _ in 0..MANY {
            wheel.insert(59 * SECOND, 0);
        }
        wheel
    };
    group.bench_function("at once", |b| b.iter_batched(at_once, all_in_portions, BatchSize::LargeInput));
}

fn next_deadline(c: &mut Criterion) {
    let mut group = c.benchmark_group("next deadline");
    for waiting in [0, 1, MANY] {
        let wheel = armed(waiting);
        group.bench_function(format!("of {waiting}"), |b| b.iter(|| black_box(&wheel).next_deadline()));
    }
    let mut wheel = armed(1);
    let mut expired = Vec::new();
    group.bench_function("after an advance of nothing", |b| {
        b.iter(|| {
            wheel.advance(black_box(0), 1024, &mut expired);
            wheel.next_deadline()
        });
    });
}

criterion_group!(benches, arm_and_cancel, expire, next_deadline);
criterion_main!(benches);
