//! The way of bytes through a ring, in frames of 128 bytes: read, lent, consumed. `BytesMut` as `tokio_util` uses it goes
//! the same way for comparison.
// Takes the room in by its path: it is not public.
#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)]

#[path = "../src/buffer/mod.rs"]
mod buffer;

use buffer::Ring;
use bytes::{Buf, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const FRAME: usize = 128;
const CAPACITY: usize = 4096;

/// One read of `input` into the ring, then all whole frames out of it.
fn turn(ring: &mut Ring, input: &[u8]) {
    let (first, second) = ring.spare();
    let n = input.len().min(first.len());
    first[..n].copy_from_slice(&input[..n]);
    second[..input.len() - n].copy_from_slice(&input[n..]);
    ring.filled(input.len());
    while ring.len() >= FRAME {
        black_box(&ring.contiguous(FRAME)[..FRAME]);
        ring.consume(FRAME);
    }
}

fn reference(buffer: &mut BytesMut, input: &[u8]) {
    buffer.reserve(input.len());
    buffer.extend_from_slice(input);
    while buffer.len() >= FRAME {
        black_box(&mut buffer[..FRAME]);
        buffer.advance(FRAME);
    }
}

/// Frames split off as owned pieces, as most codecs do it.
fn reference_split(buffer: &mut BytesMut, input: &[u8]) {
    buffer.reserve(input.len());
    buffer.extend_from_slice(input);
    while buffer.len() >= FRAME {
        drop(black_box(buffer.split_to(FRAME)));
    }
}

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("frames");
    // Reads that end with a frame leave the ring empty, so that it never wraps. The others always leave half a frame,
    // and every 32nd frame wraps.
    for (name, read) in [("one a read", FRAME), ("sixteen a read", 16 * FRAME), ("wrapping", 16 * FRAME)] {
        let input = vec![7; read];
        let begun = if name == "wrapping" { FRAME / 2 } else { 0 };
        group.throughput(Throughput::Elements((read / FRAME) as u64));

        let mut ring = Ring::with_capacity(CAPACITY);
        ring.extend(&input[..begun]);
        group.bench_function(format!("{name}, ring"), |b| b.iter(|| turn(&mut ring, black_box(&input))));

        for (way, take) in [("advance", reference as fn(&mut BytesMut, &[u8])), ("split", reference_split)] {
            let mut buffer = BytesMut::with_capacity(CAPACITY);
            buffer.extend_from_slice(&input[..begun]);
            let name = format!("{name}, BytesMut {way}");
            group.bench_function(name, |b| b.iter(|| take(&mut buffer, black_box(&input))));
        }
    }
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("find a newline after 1 KiB");
    let mut line = vec![b'x'; 1024];
    line.push(b'\n');
    for (name, begin) in [("in one piece", 0), ("wrapped", CAPACITY - 512)] {
        let mut ring = Ring::with_capacity(CAPACITY);
        ring.filled(begin + 1);
        ring.extend(&line[..1024.min(CAPACITY - begin - 1)]);
        ring.consume(begin + 1);
        let rest = line.len() - ring.len();
        ring.extend(&line[line.len() - rest..]);
        group.bench_function(name, |b| b.iter(|| black_box(&ring).input().find(b'\n', 0)));
    }
}

criterion_group!(benches, frames, find);
criterion_main!(benches);
