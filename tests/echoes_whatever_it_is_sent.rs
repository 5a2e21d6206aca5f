//! Bytes come back as they were sent, however they were cut and however many come at once.

mod support;

use std::io::{Read, Write};
use std::thread;
use support::handlers::{Echo, EchoFrames, EchoLines};
use support::*;
use tiderace::codec::{LengthDelimited, Lines, Raw};

#[test]
fn from_one_byte_to_megabytes() {
    for cores in CORES {
        let server = serve(cores, Raw, || Echo);
        let mut stream = server.connect();
        for length in [1, 2, 100, 4095, 4096, 4097, 16_383, 16_384, 65_535, 65_536, 65_537] {
            echoes(&mut stream, &noise(length as u64, length));
        }
        // More than all buffers on the way hold: both directions must move at once.
        let bytes = noise(7, 16 << 20);
        let mut writer = stream.try_clone().unwrap();
        let sent = bytes.clone();
        let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
        let mut back = vec![0; bytes.len()];
        stream.read_exact(&mut back).unwrap();
        assert!(back == bytes);
        writing.join().unwrap();
    }
}

#[test]
fn on_many_connections_at_once() {
    for cores in CORES {
        let server = serve(cores, Raw, || Echo);
        let mut streams: Vec<_> = (0..200).map(|_| server.connect()).collect();
        for round in 0..5 {
            for (i, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&noise(round * 1000 + i as u64, 100 * (i + 1))).unwrap();
            }
            for (i, stream) in streams.iter_mut().enumerate() {
                let mut back = vec![0; 100 * (i + 1)];
                stream.read_exact(&mut back).unwrap();
                assert!(back == noise(round * 1000 + i as u64, 100 * (i + 1)));
            }
        }
        assert_eq!(server.handle.connections(), 200);
        drop(streams);
        until("all connections have ended", || server.handle.connections() == 0);
    }
}

#[test]
fn cut_at_every_byte() {
    let (tell, _told) = events();
    let lines = b"ham\negg\r\n\n\xc3\xa4pfel\n".to_vec();
    let frames = [&[0, 0, 0, 3, 1, 2, 3][..], &[0, 0, 0, 0], &[0, 0, 1, 0], &[9; 256]].concat();
    for cores in CORES {
        let line_server = serve(cores, Lines::default(), {
            let echo = EchoLines(tell.clone());
            move || echo.clone()
        });
        let frame_server = serve(cores, LengthDelimited::default(), {
            let echo = EchoFrames(tell.clone());
            move || echo.clone()
        });
        for (server, sent, expected) in
            [(&line_server, &lines, b"ham\negg\n\n\xc3\xa4pfel\n".to_vec()), (&frame_server, &frames, frames.clone())]
        {
            // Both halves go in segments of their own, so the server sees a cut there more often than not.
            for cut in 0..=sent.len() {
                let mut stream = server.connect();
                stream.write_all(&sent[..cut]).unwrap();
                stream.write_all(&sent[cut..]).unwrap();
                let mut back = vec![0; expected.len()];
                stream.read_exact(&mut back).unwrap();
                assert_eq!(back, expected, "cut at {cut}");
            }
            // And once with every byte by itself.
            let mut stream = server.connect();
            for byte in sent {
                stream.write_all(&[*byte]).unwrap();
            }
            let mut back = vec![0; expected.len()];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(back, expected);
        }
    }
}

#[test]
fn frames_larger_than_any_pooled_ring() {
    let (tell, _told) = events();
    let codec = LengthDelimited::default().max(8 << 20);
    let server = serve(1, codec, move || EchoFrames(tell.clone()));
    let mut stream = server.connect();
    for length in [70_000_usize, 1 << 20, 5_000_000, 10] {
        let frame = [&(length as u32).to_be_bytes()[..], &noise(3, length)].concat();
        let mut writer = stream.try_clone().unwrap();
        let sent = frame.clone();
        let writing = thread::spawn(move || writer.write_all(&sent).unwrap());
        let mut back = vec![0; frame.len()];
        stream.read_exact(&mut back).unwrap();
        assert!(back == frame);
        writing.join().unwrap();
    }
}
