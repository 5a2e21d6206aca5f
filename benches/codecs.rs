//! What the stock codecs cost for a message: finding its end, decoding it, encoding it.
#![allow(missing_docs)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use tiderace::codec::{Decoder, Delimiter, Encoder, Fixed, Input, LengthDelimited, Lines, Raw, encode_to_vec};

const MESSAGES: usize = 1000;

/// Decodes a stream of messages as a connection does, but for the ring.
fn decode<D: Decoder>(decoder: &mut D, stream: &mut [u8]) {
    let mut from = 0;
    while let Ok(Some(end)) = decoder.frame_end(Input::from(&stream[from..])) {
        black_box(decoder.decode(&mut stream[from..from + end]).is_ok());
        from += end;
        if from == stream.len() {
            return;
        }
    }
}

fn bench<C, M>(c: &mut Criterion, name: &str, codec: &C, message: &M)
where
    C: Decoder + Encoder<M> + Clone,
    M: AsRef<[u8]> + ?Sized,
    <C as Encoder<M>>::Error: std::fmt::Debug,
{
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let length = message.as_ref().len();
    let one = encode_to_vec(&mut codec.clone(), message).unwrap();
    let mut stream = one.repeat(MESSAGES);
    let mut decoder = codec.clone();
    group.bench_function(BenchmarkId::new("decode", length), |b| b.iter(|| decode(&mut decoder, &mut stream)));
    let mut encoder = codec.clone();
    group.bench_function(BenchmarkId::new("encode, with a fresh buffer each", length), |b| {
        b.iter(|| (0..MESSAGES).for_each(|_| drop(black_box(encode_to_vec(&mut encoder, message)))));
    });
}

fn codecs(c: &mut Criterion) {
    for length in [16, 64, 1024] {
        let text = "x".repeat(length);
        let bytes = text.as_bytes();
        bench(c, "Raw", &Raw, bytes);
        bench(c, "Lines", &Lines::default(), &*text);
        bench(c, "Delimiter", &Delimiter::new("\r\n"), bytes);
        bench(c, "LengthDelimited", &LengthDelimited::default(), bytes);
        bench(c, "LengthDelimited, 3 bytes little-endian", &LengthDelimited::default().width(3).little_endian(), bytes);
        bench(c, "Fixed", &Fixed::new(length), bytes);
    }
}

criterion_group!(benches, codecs);
criterion_main!(benches);
