//! Datagrams, on a server and off it.

mod support;

use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use support::{CORES, PATIENCE, Running, events, noise};
use tiderace::codec::Lines;
use tiderace::{Conn, DatagramHandler, Error, Handler, Peer, Result, Server, UdpSender, UdpSocket, block_on, timeout};

struct Echo;

impl DatagramHandler for Echo {
    async fn on_datagram(&mut self, socket: &UdpSocket, datagram: &[u8], from: Peer) -> Result {
        match datagram {
            b"fail" => Err(Error::msg("as asked")),
            b"panic" => panic!("as asked"),
            b"stop" => Err(Error::stop_server(PATIENCE)),
            _ => socket.send_to(datagram, from).await,
        }
    }
}

fn echo(cores: usize) -> Running {
    Running::start(Server::new().cores(cores).listen_udp("udp://127.0.0.1:0", || Echo).unwrap())
}

fn client(server: &Running) -> StdSocket {
    let client = StdSocket::bind("127.0.0.1:0").unwrap();
    client.connect(&server.address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

#[track_caller]
fn echoes(client: &StdSocket, datagram: &[u8]) {
    client.send(datagram).unwrap();
    let mut back = vec![0; 70_000];
    let length = client.recv(&mut back).expect("an answer");
    assert!(back[..length] == *datagram, "{length} other bytes came back");
}

#[test]
fn every_length_comes_back_whole() {
    for cores in CORES {
        let server = echo(cores);
        for seed in 0..4 {
            let client = client(&server);
            for length in [0, 1, 64, 1_400, 9_000, 65_507] {
                echoes(&client, &noise(seed, length));
            }
        }
    }
}

#[test]
fn bursts_are_answered_in_order() {
    let server = echo(1);
    let client = client(&server);
    for burst in 0..100_u32 {
        // More than one system call takes, and fewer than the system's buffer does.
        for i in 0..50_u32 {
            client.send(&[burst.to_be_bytes(), i.to_be_bytes()].concat()).unwrap();
        }
        for i in 0..50_u32 {
            let mut back = [0; 8];
            client.recv(&mut back).unwrap();
            assert_eq!(back, *[burst.to_be_bytes(), i.to_be_bytes()].concat());
        }
    }
}

#[test]
fn what_fails_or_panics_costs_one_datagram() {
    let server = echo(1);
    let client = client(&server);
    for bad in [&b"fail"[..], b"panic"] {
        client.send(bad).unwrap();
        echoes(&client, b"and the next");
    }
}

#[test]
fn a_handler_stops_its_server_and_the_last_answers_leave() {
    let server = Server::new().cores(2).listen_udp("udp://127.0.0.1:0", || Echo).unwrap();
    let running = Running::start(server);
    let client = client(&running);
    for i in 0..20_u8 {
        client.send(&[i]).unwrap();
    }
    client.send(b"stop").unwrap();
    for i in 0..20 {
        let mut back = [0; 8];
        assert_eq!(client.recv(&mut back).unwrap(), 1);
        assert_eq!(back[0], i);
    }
    let address = running.address.clone();
    running.stop(PATIENCE);
    StdSocket::bind(address).expect("the port is free again");
}

/// Gives away how to answer, and where.
struct Later(Sender<(UdpSender, Vec<u8>, Peer)>);

impl DatagramHandler for Later {
    async fn on_datagram(&mut self, socket: &UdpSocket, datagram: &[u8], from: Peer) -> Result {
        self.0.send((socket.sender(), datagram.to_vec(), from))?;
        Ok(())
    }
}

#[test]
fn answers_come_later_and_from_elsewhere() {
    let (sender, asked) = events();
    let server = Server::new().cores(2).listen_udp("udp://127.0.0.1:0", move || Later(sender)).unwrap();
    let server = Running::start(server);
    let clients: Vec<_> = (0..8).map(|_| client(&server)).collect();
    for client in &clients {
        client.send(b"when?").unwrap();
    }
    let asked: Vec<_> = clients.iter().map(|_| asked.next()).collect();
    for (sender, question, from) in &asked {
        sender.try_send_to([&question[..], b" now"].concat(), *from).unwrap();
    }
    for client in &clients {
        let mut answer = [0; 100];
        let length = client.recv(&mut answer).unwrap();
        assert_eq!(&answer[..length], b"when? now");
    }
    server.stop(PATIENCE);
    let (sender, _, from) = &asked[0];
    assert!(matches!(sender.try_send_to("too late", *from), Err(Error::Closed)));
}

/// Sockets that are bound to every address of the host, of each kind that the host has.
#[cfg(target_os = "linux")]
fn wildcards() -> Vec<StdSocket> {
    let sockets = ["0.0.0.0:0", "[::]:0"].map(StdSocket::bind);
    sockets.into_iter().filter_map(std::result::Result::ok).collect()
}

/// A client that hears only answers from the address of this host that it asks.
#[cfg(target_os = "linux")]
fn client_of(last: u8, port: u16) -> StdSocket {
    let client = StdSocket::bind("127.0.0.1:0").unwrap();
    client.connect(SocketAddr::from(([127, 0, 0, last], port))).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

#[cfg(target_os = "linux")]
#[test]
fn datagram_answer_leaves_from_the_address_that_was_asked() {
    let check = |server: Server, is_v6: bool| {
        let server = Running::start(server);
        let port = server.address.port().unwrap();
        for last in [1, 2, 3, 4, 5, 6] {
            echoes(&client_of(last, port), &noise(1, 1_000));
        }
        if is_v6 {
            let client = StdSocket::bind("[::1]:0").unwrap();
            client.connect(("::1", port)).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            echoes(&client, b"by the sixth version");
        }
    };
    for cores in CORES {
        let server = || Server::new().cores(cores);
        check(server().listen_udp("udp4://0.0.0.0:0", || Echo).unwrap(), false);
        for socket in wildcards() {
            let is_v6 = socket.local_addr().unwrap().is_ipv6();
            check(server().listen_udp(socket, || Echo).unwrap(), is_v6);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn datagram_answers_of_one_batch_leave_from_the_addresses_that_were_asked() {
    for socket in wildcards() {
        let port = socket.local_addr().unwrap().port();
        // They wait in the socket before it is taken over, so that they come, and are answered, in one batch. The first six ask
        // one address, the others each another one than the one before.
        let clients: Vec<_> = [1, 1, 1, 1, 1, 1, 2, 3, 2, 1, 4, 1].map(|last| client_of(last, port)).into();
        clients.iter().for_each(|client| assert_eq!(client.send(b"?").unwrap(), 1));
        let server = Running::start(Server::new().cores(1).listen_udp(socket, || Echo).unwrap());
        for client in &clients {
            assert_eq!(client.recv(&mut [0; 8]).unwrap(), 1);
        }
        // And once more, where the socket has said from the beginning what it is asked.
        for client in &clients {
            client.send(b"and now?").unwrap();
        }
        for client in &clients {
            assert_eq!(client.recv(&mut [0; 8]).unwrap(), 8);
        }
        drop(server);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn datagram_answer_of_a_sender_leaves_from_the_address_that_was_asked() {
    for socket in wildcards() {
        let port = socket.local_addr().unwrap().port();
        let (sender, asked) = events();
        let server = Running::start(Server::new().cores(1).listen_udp(socket, move || Later(sender)).unwrap());
        let client = client_of(7, port);
        client.send(b"when?").unwrap();
        let (sender, question, from) = asked.next();
        assert_eq!(from.addr(), client.local_addr().unwrap());
        assert_eq!(from.local_ip(), Some([127, 0, 0, 7].into()));
        assert!(from.interface().is_some());
        sender.try_send_to(question, from).unwrap();
        assert_eq!(client.recv(&mut [0; 8]).unwrap(), 5);
        drop(server);
    }
}

#[test]
fn datagram_socket_with_one_address_says_no_other() {
    block_on(async {
        let mut socket = UdpSocket::bind("udp://127.0.0.1:0").await.unwrap();
        StdSocket::bind("127.0.0.1:0").unwrap().send_to(b"?", socket.local_addr().unwrap()).unwrap();
        assert_eq!(socket.recv_from().await.unwrap().1.local_ip(), None);
    });
}

#[test]
fn too_long_is_an_error_that_says_so() {
    block_on(async {
        let socket = UdpSocket::bind("udp://127.0.0.1:0").await.unwrap();
        let to = socket.local_addr().unwrap();
        let error = socket.send_to(&[0; 65_508], to).await.unwrap_err();
        assert_eq!(error.to_string(), "expected at most 65507 bytes for a datagram, found 65508");
        let error = socket.sender().try_send_to(vec![0; 65_508], to).unwrap_err();
        assert!(matches!(error, Error::Io(_)));
    });
}

#[test]
fn a_connected_socket_says_that_nobody_was_there_and_goes_on() {
    block_on(async {
        let gone = StdSocket::bind("127.0.0.1:0").unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let mut socket = UdpSocket::connect(address).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), address);
        socket.send(b"anybody?").await.unwrap();
        let Err(Error::Io(error)) = socket.recv_from().await else { panic!("nobody can have answered") };
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

        let back = StdSocket::bind(address).unwrap();
        socket.send(b"and now?").await.unwrap();
        socket.flush().await;
        let mut heard = [0; 100];
        let (length, from) = back.recv_from(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"and now?");
        back.send_to(b"yes", from).unwrap();
        let (answer, from) = socket.recv_from().await.unwrap();
        assert_eq!((answer, from.addr()), (&b"yes"[..], address));
    });
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    block_on(async {
        let mut here = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let there = UdpSocket::connect(here.local_addr().unwrap()).await.unwrap();
        for i in 0..50_u8 {
            assert!(timeout(Duration::from_millis(1), here.recv_from()).await.is_err());
            there.send(&[i]).await.unwrap();
            // Sometimes given up before the datagram leaves, sometimes when it may have come.
            if i % 2 == 0 {
                there.flush().await;
            }
            if let Some(received) = futures_lite::future::poll_once(here.recv_from()).await {
                assert_eq!(received.unwrap().0, [i]);
                continue;
            }
            let received = timeout(Duration::from_micros(u64::from(i)), here.recv_from()).await;
            if let Ok(received) = received {
                assert_eq!(received.unwrap().0, [i]);
                continue;
            }
            assert_eq!(timeout(PATIENCE, here.recv_from()).await.unwrap().unwrap().0, [i]);
        }
    });
}

#[test]
fn what_is_sent_leaves_before_the_core_sleeps() {
    let peer = StdSocket::bind("127.0.0.1:0").unwrap();
    let address = peer.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut heard = [0; 8];
        peer.recv_from(&mut heard).map(|(_, from)| peer.send_to(b"heard", from))
    });
    block_on(async {
        let mut socket = UdpSocket::connect(address).await.unwrap();
        socket.send(b"hello").await.unwrap();
        assert_eq!(socket.recv_from().await.unwrap().0, b"heard");
    });
    thread.join().unwrap().unwrap().unwrap();
}

#[test]
fn a_socket_of_the_standard_library_is_taken_over() {
    let socket = StdSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let server = Server::new().cores(2).listen_udp(socket, || Echo).unwrap();
    assert_eq!(server.local_addrs(), [address.into()]);
    let server = Running::start(server);
    echoes(&client(&server), b"hello");
    block_on(async {
        let socket = StdSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(address).unwrap();
        let mut socket = UdpSocket::from_std(socket).unwrap();
        socket.send(b"me too").await.unwrap();
        assert_eq!(socket.recv_from().await.unwrap().0, b"me too");
    });
}

struct Upper;

impl Handler for Upper {
    type Codec = Lines;

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        assert_eq!(conn.listener(), Some(1));
        conn.send(&*line.to_uppercase()).await
    }
}

#[test]
fn one_server_has_streams_and_datagrams() {
    use std::io::{BufRead, BufReader, Write};
    let server = Server::new().cores(2).listen_udp("udp://127.0.0.1:0", || Echo).unwrap();
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), || Upper).unwrap();
    let addresses = server.local_addrs();
    assert_eq!(server.duplicate_listeners().unwrap().len(), 2);
    let server = Running::start(server);
    echoes(&client(&server), b"datagram");
    let mut stream = std::net::TcpStream::connect(&addresses[1]).unwrap();
    stream.write_all(b"stream\n").unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(line, "STREAM\n");
}

#[test]
fn datagram_sockets_of_all_cores_are_duplicated() {
    for cores in CORES {
        let server = Server::new().cores(cores).listen_udp("udp://127.0.0.1:0", || Echo).unwrap();
        // On Linux each core has a socket of its own; elsewhere one core has the only one.
        let expected = if cfg!(target_os = "linux") { cores } else { 1 };
        assert_eq!(server.duplicate_listeners().unwrap()[0].len(), expected);
        let old = Running::start(server);
        let sockets: Vec<_> = (0..16).map(|_| client(&old)).collect();
        sockets.iter().for_each(|socket| echoes(socket, b"to the old one"));
        let duplicates = old.handle.duplicate_listeners().unwrap().remove(0);
        assert_eq!(duplicates.len(), expected);
        let handle = old.handle.clone();
        old.stop(PATIENCE);
        handle.duplicate_listeners().unwrap_err();
        // They wait in the sockets, whichever these are.
        sockets.iter().for_each(|socket| assert!(socket.send(b"to the new one").is_ok()));
        let _new = Running::start(Server::new().cores(1).listen_udp(duplicates, || Echo).unwrap());
        for socket in &sockets {
            let mut answer = [0; 100];
            let received = socket.recv(&mut answer).unwrap();
            assert_eq!(&answer[..received], b"to the new one");
        }
    }
}

#[test]
fn a_taken_port_and_a_wrong_address_are_refused() {
    let taken = StdSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = Server::new().listen_udp(address, || Echo).unwrap_err();
    assert!(format!("{error:#}").starts_with(&format!("cannot listen on {address}: ")), "{error}");
    let error = Server::new().listen_udp("tcp://127.0.0.1:0", || Echo).unwrap_err();
    assert_eq!(error.to_string(), "expected udp, found tcp");
    let error = Server::new().listen("udp://127.0.0.1:0", Lines::default(), || Upper).unwrap_err();
    assert_eq!(error.to_string(), "expected tcp or unix, found udp");
}

/// Joins a group, and tells what it hears.
struct Member(Sender<Vec<u8>>);

impl DatagramHandler for Member {
    async fn on_open(&mut self, socket: &UdpSocket) -> Result {
        socket.join_multicast(GROUP.into(), LOOPBACK)?;
        self.0.send(b"joined".to_vec())?;
        Ok(())
    }

    async fn on_datagram(&mut self, socket: &UdpSocket, datagram: &[u8], _: Peer) -> Result {
        if datagram == b"leave" {
            socket.leave_multicast(GROUP.into(), LOOPBACK)?;
        }
        self.0.send(datagram.to_vec())?;
        Ok(())
    }
}

const GROUP: std::net::Ipv4Addr = std::net::Ipv4Addr::new(239, 18, 33, 1);
const LOOPBACK: Option<&str> = if cfg!(target_os = "linux") { Some("lo") } else { None };

#[test]
fn a_multicast_reaches_those_who_have_joined_on_that_interface() {
    let (sender, heard) = events();
    let server = Server::new().cores(1).listen_udp("udp4://0.0.0.0:0", move || Member(sender)).unwrap();
    let server = Running::start(server);
    assert_eq!(heard.next(), b"joined");
    let group = SocketAddr::from((GROUP, server.address.port().unwrap()));
    block_on(async {
        let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        if let Some(name) = LOOPBACK {
            socket.set_multicast_interface(name).unwrap();
        }
        socket.set_multicast_ttl(1).unwrap();
        socket.set_multicast_loop(true).unwrap();
        // They come in one batch, and to leave is to hear no more of what is sent from then on.
        for said in [&b"hello"[..], b"leave"] {
            socket.send_to(said, group).await.unwrap();
        }
        socket.flush().await;
        assert_eq!(heard.next(), b"hello");
        assert_eq!(heard.next(), b"leave");
        socket.send_to(b"unheard", group).await.unwrap();
        socket.flush().await;
        let error = socket.join_multicast(GROUP.into(), Some("no-such-net")).unwrap_err();
        assert!(error.to_string().contains("no-such-net"), "{error}");
    });
    let direct = StdSocket::bind("127.0.0.1:0").unwrap();
    direct.send_to(b"last", ("127.0.0.1", group.port())).unwrap();
    // What was sent to the group before this has not come.
    assert_eq!(heard.next(), b"last");
}

#[cfg(target_os = "linux")]
#[test]
fn multicast_group_is_heard_by_the_socket_that_has_joined_it_alone() {
    for (address, last) in [("udp4://0.0.0.0:0?reuseport=true", 2), ("udp://[::]:0?reuseport=true", 3)] {
        let group = std::net::IpAddr::from([239, 18, 33, last]);
        block_on(async {
            let Ok(mut member) = UdpSocket::bind(address).await else {
                return assert!(address.contains("[::]"), "no IPv4");
            };
            let port = member.local_addr().unwrap().port();
            let mut other = UdpSocket::bind(address.replace(":0?", &format!(":{port}?"))).await.unwrap();
            member.join_multicast(group, LOOPBACK).unwrap();
            let sender = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
            sender.set_multicast_interface("lo").unwrap();
            sender.send_to(b"to the group", SocketAddr::new(group, port)).await.unwrap();
            sender.flush().await;
            assert_eq!(timeout(PATIENCE, member.recv_from()).await.unwrap().unwrap().0, b"to the group");
            // The system gives each peer of the port to one of the two; one of these peers is given to the other socket.
            loop {
                let direct = UdpSocket::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
                direct.send(b"to the host").await.unwrap();
                direct.flush().await;
                if let Ok(heard) = timeout(Duration::from_millis(10), other.recv_from()).await {
                    assert_eq!(heard.unwrap().0, b"to the host");
                    break;
                }
            }
        });
    }
}

#[cfg(target_os = "linux")]
#[test]
fn multicast_groups_of_ipv6_are_heard_only_where_they_are_joined() {
    // The loopback interface has no route for them, so only what the socket was told can be seen.
    block_on(async {
        if let Ok(socket) = UdpSocket::bind("udp6://[::]:0").await {
            assert!(!socket2::SockRef::from(&socket).multicast_all_v6().unwrap());
        }
    });
}

#[test]
fn a_peer_always_comes_to_the_same_core() {
    let (sender, heard) = events();
    let server = Server::new().cores(4).listen_udp_per_core("udp://127.0.0.1:0", move |core| Named(core, sender));
    let server = Running::start(server.unwrap());
    // Before all sockets are there, the system gives a peer's datagrams to one of those that are.
    let sockets = if cfg!(target_os = "linux") { 4 } else { 1 };
    (0..sockets).for_each(|_| assert_eq!(heard.next().1, None));
    let mut seen = std::collections::HashMap::new();
    let clients: Vec<_> = (0..64).map(|_| client(&server)).collect();
    for _ in 0..4 {
        for client in &clients {
            client.send(b"who?").unwrap();
            let (core, from) = heard.next();
            assert_eq!(*seen.entry(from).or_insert(core), core);
        }
    }
    let cores: std::collections::HashSet<_> = seen.values().collect();
    assert!(cores.len() >= sockets.min(2), "only {cores:?} have heard of somebody");
}

struct Named(usize, Sender<(usize, Option<SocketAddr>)>);

impl DatagramHandler for Named {
    async fn on_open(&mut self, _: &UdpSocket) -> Result {
        self.1.send((self.0, None))?;
        Ok(())
    }

    async fn on_datagram(&mut self, _: &UdpSocket, _: &[u8], from: Peer) -> Result {
        self.1.send((self.0, Some(from.addr())))?;
        Ok(())
    }
}

/// Sends a datagram whenever the library tells that one was lost, a number of times.
struct SendsWhenTold(OnceLock<UdpSender>, SocketAddr, AtomicUsize);

impl tracing::Subscriber for SendsWhenTold {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("tiderace::net::datagram")
    }

    fn event(&self, _: &tracing::Event<'_>) {
        if self.2.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
            self.0.get().unwrap().try_send_to("one is lost", self.1).unwrap();
        }
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Loses `lost` datagrams, while what is told of each sends another one to `to`.
fn lose(lost: usize, to: SocketAddr, answers: usize) {
    let subscriber = Arc::new(SendsWhenTold(OnceLock::new(), to, answers.into()));
    tracing::subscriber::with_default(subscriber.clone(), || {
        block_on(async {
            let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
            subscriber.0.set(socket.sender()).unwrap();
            for _ in 0..lost {
                socket.send_to(b"to port 0, which is none", SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
            }
            timeout(PATIENCE, socket.flush()).await.unwrap();
        });
    });
    assert_eq!(subscriber.2.load(Relaxed), 0);
}

#[test]
fn datagram_that_a_subscriber_sends_when_told_of_a_lost_one_leaves() {
    // One that is sent at the end of the turn, and as many as are sent at once.
    for lost in [1, 100] {
        let witness = StdSocket::bind("127.0.0.1:0").unwrap();
        witness.set_read_timeout(Some(PATIENCE)).unwrap();
        lose(lost, witness.local_addr().unwrap(), lost);
        for _ in 0..lost {
            let mut heard = [0; 100];
            let length = witness.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"one is lost");
        }
    }
}

#[test]
fn datagrams_that_are_lost_and_sent_again_leave_the_core_to_others() {
    // Each one that is lost has another one sent that is lost.
    lose(1, SocketAddr::from(([127, 0, 0, 1], 0)), 1_000);
}

#[test]
fn no_host_is_both_families_and_peers_of_ipv4_are_answered() {
    let has_v6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    let hosts: &[&str] = if has_v6 { &["127.0.0.1", "::1"] } else { &["127.0.0.1"] };
    for cores in CORES {
        let server = Running::start(Server::new().cores(cores).listen_udp("udp://:0", || Echo).unwrap());
        let port = server.address.port().unwrap();
        for host in hosts {
            let peer = std::net::UdpSocket::bind((*host, 0)).unwrap();
            peer.set_read_timeout(Some(PATIENCE)).unwrap();
            peer.send_to(b"hello", (*host, port)).unwrap();
            let mut back = [0; 5];
            let (n, from) = peer.recv_from(&mut back).unwrap();
            assert_eq!((&back[..n], from), (&b"hello"[..], (host.parse::<std::net::IpAddr>().unwrap(), port).into()));
        }
    }
    block_on(async {
        let mut server = UdpSocket::bind("udp://:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"hello", ("127.0.0.1", port)).unwrap();
        let (_, from) = server.recv_from().await.unwrap();
        assert_eq!(from.addr(), peer.local_addr().unwrap());
        let mut client = UdpSocket::connect(format!("udp://:{port}")).await.unwrap();
        client.send(b"ping").await.unwrap();
        let (datagram, from) = server.recv_from().await.unwrap();
        assert_eq!((datagram, from.addr()), (&b"ping"[..], client.local_addr().unwrap()));
        // Several at once go another way.
        for _ in 0..3 {
            server.send_to(b"pong", from).await.unwrap();
        }
        for _ in 0..3 {
            assert_eq!(client.recv_from().await.unwrap().0, b"pong");
        }
    });
}

#[test]
fn udp6_leaves_ipv4_to_others() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    block_on(async {
        let six = UdpSocket::bind("udp6://:0").await.unwrap();
        let port = six.local_addr().unwrap().port();
        UdpSocket::bind(format!("udp4://:{port}")).await.unwrap();
    });
    let six = Server::new().cores(2).listen_udp("udp6://:0", || Echo).unwrap();
    let port = six.local_addrs()[0].port().unwrap();
    Server::new().cores(2).listen_udp(format!("udp4://:{port}"), || Echo).unwrap();
}
