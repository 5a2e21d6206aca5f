//! At the descriptor limit accept neither spins nor gives up, and an upgrade fails loudly.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that may have 64 descriptors, and where it listens.
fn with_64_descriptors(name: &str, cores: &str) -> (Echo, SocketAddr) {
    let command = format!("ulimit -n 64; exec {} --addr 127.0.0.1:0 --cores {cores}", example(name).display());
    let mut server = Command::new("sh").args(["-c", &command]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(server.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().trim_start_matches("listening on ").trim_matches(['[', ']']).parse().unwrap();
    (Echo(server), address)
}

fn example(name: &str) -> std::path::PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples").join(name)
}

/// Processor time that a process has used, in clock ticks of 10 ms.
fn ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
#[cfg(target_os = "linux")]
fn with_64_descriptors_and_200_clients() {
    for cores in ["1", "2", "4"] {
        let (server, address) = with_64_descriptors("echo_codecs", cores);
        let mut clients: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        for client in &mut clients {
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            client.write_all(b"hello").unwrap();
        }
        let before = ticks(server.0.id());
        std::thread::sleep(Duration::from_secs(1));
        let spent = ticks(server.0.id()) - before;
        assert!(spent <= 5, "{spent} % of a processor at the limit with {cores} cores");

        // Who is served and goes makes room for who waits, until all were served.
        let mut left = clients;
        let mut served = 0;
        while !left.is_empty() {
            left.retain_mut(|client| {
                client.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
                let mut back = [0; 5];
                match client.read_exact(&mut back) {
                    Ok(()) => {
                        assert_eq!(&back, b"hello");
                        served += 1;
                        false
                    }
                    Err(_) => true,
                }
            });
        }
        assert_eq!(served, 200);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn upgrade_without_a_descriptor_closes_the_connection() {
    let (server, address) = with_64_descriptors("upgrade", "1");
    let connect = || {
        let client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client
    };
    let mut greeting = [0; 22];
    let mut first = connect();
    first.read_exact(&mut greeting).unwrap();
    let mut others: Vec<TcpStream> = (0..100).map(|_| connect()).collect();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", server.0.id())).unwrap().count();
    while open() < 64 {
        std::thread::sleep(Duration::from_millis(1));
    }
    first.write_all(b"BINARY bob\n\0\0\0\x05hello").unwrap();
    let mut heard = Vec::new();
    // An end, or a reset, as a part of what was sent is not read.
    let _ = first.read_to_end(&mut heard);
    assert_eq!(heard, b"OK\n");
    drop(first);
    // Where descriptors are free, another one is upgraded.
    let mut second = others.remove(0);
    drop(others);
    second.read_exact(&mut greeting).unwrap();
    while open() > 32 {
        std::thread::sleep(Duration::from_millis(1));
    }
    second.write_all(b"BINARY bob\n\0\0\0\x05hello").unwrap();
    let mut heard = [0; 12];
    second.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"OK\n\0\0\0\x05hello");
}
