//! What tasks and timers cost, system calls of the core's turns included.
#![allow(missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::Duration;
use tiderace::{block_on, sleep, spawn_local, yield_now};

fn executor(c: &mut Criterion) {
    let mut group = c.benchmark_group("executor");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("spawn and join 1,000 tasks", |b| {
        b.iter(|| {
            block_on(async {
                let tasks: Vec<_> = (0..1000).map(|i| spawn_local(async move { i })).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        });
    });
    group.bench_function("100 tasks that yield 10 times each", |b| {
        b.iter(|| {
            block_on(async {
                let yielding = |_| {
                    spawn_local(async {
                        for _ in 0..10 {
                            yield_now().await;
                        }
                    })
                };
                let tasks: Vec<_> = (0..100).map(yielding).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
        });
    });
    group.bench_function("arm and drop 1,000 sleeps", |b| {
        b.iter(|| {
            block_on(async {
                for _ in 0..1000 {
                    let mut timer = sleep(Duration::from_secs(1));
                    futures_lite::future::poll_once(&mut timer).await;
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, executor);
criterion_main!(benches);
