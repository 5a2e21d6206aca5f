//! Datagrams that are sent from elsewhere: all of a burst leave, a full queue makes its senders wait, and no sender waits for ever.
#![cfg(target_os = "linux")]

mod support;

use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use support::{CORES, PATIENCE, Running, events, until};
use tiderace::{DatagramHandler, Error, Peer, Result, Server, UdpSender, UdpSocket, block_on, timeout};

/// A peer that need not keep up: it counts what it reads and what its full buffer has dropped.
struct CountingPeer {
    socket: StdSocket,
    address: SocketAddr,
    read: Vec<u32>,
}

impl CountingPeer {
    fn new() -> CountingPeer {
        let socket = StdSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        CountingPeer { address: socket.local_addr().unwrap(), socket, read: Vec::new() }
    }

    /// How many have come here so far, if that can be told just now.
    fn arrived(&mut self) -> Option<usize> {
        let mut number = [0; 4];
        while self.socket.recv(&mut number).is_ok_and(|length| length == 4) {
            self.read.push(u32::from_be_bytes(number));
        }
        Some(self.read.len() + self.dropped()?)
    }

    /// What the kernel says that it had no room for. It lists sockets that come and go meanwhile, and may leave one out.
    fn dropped(&self) -> Option<usize> {
        let sockets = std::fs::read_to_string("/proc/net/udp").unwrap();
        let port = format!(":{:04X}", self.address.port());
        let mine =
            sockets.lines().find(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)));
        mine?.split_whitespace().last()?.parse().ok()
    }

    /// Waits until so many have come, and looks whether they came in order.
    #[track_caller]
    fn expect(&mut self, count: usize) {
        until("every datagram has arrived", || self.arrived() == Some(count));
        assert!(self.read.is_sorted_by(|one, next| one < next), "out of order");
    }
}

fn number(i: u32) -> Vec<u8> {
    i.to_be_bytes().to_vec()
}

/// Gives its sender away.
struct Gives(Sender<UdpSender>);

impl DatagramHandler for Gives {
    async fn on_open(&mut self, socket: &UdpSocket) -> Result {
        // Only the first core's is asked for.
        let _ = self.0.send(socket.sender());
        Ok(())
    }

    async fn on_datagram(&mut self, _: &UdpSocket, _: &[u8], _: Peer) -> Result {
        Ok(())
    }
}

fn sender_of(cores: usize) -> (Running, UdpSender) {
    let (tell, senders) = events();
    let server = Server::new().cores(cores).listen_udp("udp4://127.0.0.1:0", move || Gives(tell)).unwrap();
    let server = Running::start(server);
    (server, senders.next())
}

#[test]
fn udp_sender_takes_a_burst_that_its_core_has_no_time_for() {
    block_on(async {
        let mut peer = CountingPeer::new();
        let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let (sender, to) = (socket.sender(), peer.address);
        // The core waits for the thread, and sends nothing before it has ended.
        let burst = thread::spawn(move || (0..20_000).try_for_each(|i| sender.try_send_to(number(i), to)));
        burst.join().unwrap().unwrap();
        socket.flush().await;
        peer.expect(20_000);
    });
}

#[test]
fn udp_sender_sends_all_that_a_thread_feeds() {
    for cores in CORES {
        let (_server, sender) = sender_of(cores);
        let mut peer = CountingPeer::new();
        let to = peer.address;
        let thread = thread::spawn(move || (0..40_000).try_for_each(|i| sender.feed_to_blocking(number(i), to)));
        peer.expect(40_000);
        thread.join().unwrap().unwrap();
    }
}

#[test]
fn udp_sender_sends_all_that_a_task_of_another_core_feeds() {
    let (_server, sender) = sender_of(2);
    let mut peer = CountingPeer::new();
    let to = peer.address;
    let thread = thread::spawn(move || {
        block_on(async {
            for i in 0..40_000 {
                sender.feed_to(number(i), to).await?;
            }
            Ok::<_, Error>(())
        })
    });
    peer.expect(40_000);
    thread.join().unwrap().unwrap();
}

#[test]
fn udp_sender_of_a_connected_socket_needs_no_address() {
    block_on(async {
        let mut peer = CountingPeer::new();
        let socket = UdpSocket::connect(peer.address).await.unwrap();
        let sender = socket.sender();
        sender.try_send(number(1)).unwrap();
        sender.feed(number(2)).await.unwrap();
        let thread = thread::spawn(move || sender.feed_blocking(number(3)));
        thread.join().unwrap().unwrap();
        socket.flush().await;
        peer.expect(3);
    });
}

/// Fills the queue of a sender from another thread, while the core waits for that; says how many datagrams it took.
fn fill(sender: &UdpSender, to: SocketAddr, payload: usize) -> usize {
    let sender = sender.clone();
    let filling = thread::spawn(move || {
        let sent = (0..).map(|_| sender.try_send_to(vec![0; payload], to)).take_while(|sent| match sent {
            Ok(()) => true,
            Err(Error::Busy) => false,
            Err(error) => panic!("{error}"),
        });
        sent.count()
    });
    filling.join().unwrap()
}

#[test]
fn udp_sender_has_a_limit_in_bytes_and_tells_when_there_is_room() {
    block_on(async {
        let peer = CountingPeer::new();
        let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let (sender, to) = (socket.sender(), peer.address);
        // Empty ones count, too.
        for (payload, count) in [(0, 32_768), (960, 2_048), (65_000, 32)] {
            assert_eq!(fill(&sender, to, payload), count);
            assert!(matches!(sender.try_send_to(vec![0; 65_000], to), Err(Error::Busy)));
            timeout(PATIENCE, sender.ready()).await.unwrap().unwrap();
            sender.try_send_to(vec![0; 65_000], to).unwrap();
            socket.flush().await;
        }
    });
}

#[test]
fn udp_sender_that_waits_for_room_learns_that_the_socket_is_closed() {
    let peer = CountingPeer::new();
    let (give, given) = channel();
    let thread = thread::spawn(move || {
        let sender: UdpSender = given.recv().unwrap();
        // It is closed at some time.
        loop {
            if let Err(error) = sender.feed_to_blocking("more and more", peer.address) {
                return (error, sender);
            }
        }
    });
    block_on(async {
        let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let sender = socket.sender();
        give.send(sender.clone()).unwrap();
        // Until the queue is full, the core is kept from turning.
        until("the queue is full", || {
            matches!(sender.try_send_to(vec![0; 65_000], SocketAddr::from(([127, 0, 0, 1], 9))), Err(Error::Busy))
        });
        drop(socket);
    });
    let (error, sender) = thread.join().unwrap();
    assert!(matches!(error, Error::Closed), "{error}");
    assert!(sender.is_closed());
    block_on(async {
        assert!(matches!(sender.ready().await, Err(Error::Closed)));
        assert!(matches!(sender.feed_to("late", SocketAddr::from(([127, 0, 0, 1], 9))).await, Err(Error::Closed)));
        timeout(PATIENCE, sender.closed()).await.unwrap();
    });
}

#[test]
fn udp_sender_does_not_block_a_core() {
    block_on(async {
        let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let to = socket.local_addr().unwrap();
        assert!(matches!(socket.sender().feed_to_blocking("from a core", to), Err(Error::Other(_))));
    });
}

#[test]
fn udp_sender_on_its_own_core_sends_in_order_and_without_a_limit_of_its_own() {
    block_on(async {
        let mut peer = CountingPeer::new();
        let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let sender = socket.sender();
        for i in 0..5_000 {
            sender.feed_to(number(2 * i), peer.address).await.unwrap();
            socket.send_to(&number(2 * i + 1), peer.address).await.unwrap();
        }
        socket.flush().await;
        peer.expect(10_000);
    });
}

#[test]
fn udp_senders_that_give_up_waiting_leave_the_rest_to_others() {
    block_on(async {
        let mut peer = CountingPeer::new();
        let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let (sender, to) = (socket.sender(), peer.address);
        let full = fill(&sender, to, 4);
        for _ in 0..1_000 {
            assert!(futures_lite::future::poll_once(sender.feed_to(vec![0; 65_000], to)).await.is_none());
        }
        timeout(PATIENCE, sender.ready()).await.unwrap().unwrap();
        socket.flush().await;
        until("those that were taken have arrived", || peer.arrived() == Some(full));
    });
}

/// Bytes whose owner panics when they are released.
struct Panics;

impl AsRef<[u8]> for Panics {
    fn as_ref(&self) -> &[u8] {
        b"four"
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("as asked");
    }
}

#[test]
fn udp_sender_survives_bytes_whose_owner_panics() {
    for cores in CORES {
        let (_server, sender) = sender_of(cores);
        let mut peer = CountingPeer::new();
        sender.try_send_to(bytes::Bytes::from_owner(Panics), peer.address).unwrap();
        sender.try_send_to(number(u32::MAX), peer.address).unwrap();
        peer.expect(2);
    }
}
