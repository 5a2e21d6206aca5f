//! Handlers of datagrams, on a server and on a socket of one's own: how they open, how they end, and what they are told.

mod support;

use std::io;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use support::handlers::EchoLines;
use support::{CORES, PATIENCE, Running, events};
use tiderace::codec::Lines;
use tiderace::{DatagramHandler, Error, Peer, Result, Server, UdpSocket, block_on, timeout};

fn client(address: impl std::net::ToSocketAddrs) -> StdSocket {
    let client = StdSocket::bind("127.0.0.1:0").unwrap();
    client.connect(address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// What the tests are told by a handler.
#[derive(Debug, PartialEq)]
enum Told {
    Open(Option<usize>),
    Heard(Vec<u8>),
    Error(io::ErrorKind),
    Closed,
}

/// Tells everything, says good-bye to the last peer, and closes its socket when asked.
struct Tells(Sender<Told>, Option<Peer>);

impl Tells {
    fn tell(&self, told: Told) {
        let _ = self.0.send(told);
    }
}

impl DatagramHandler for Tells {
    async fn on_open(&mut self, socket: &UdpSocket) -> Result {
        self.tell(Told::Open(socket.listener()));
        Ok(())
    }

    async fn on_datagram(&mut self, socket: &UdpSocket, datagram: &[u8], from: Peer) -> Result {
        self.1 = Some(from);
        self.tell(Told::Heard(datagram.to_vec()));
        if datagram == b"close" {
            socket.sender().close();
        }
        Ok(())
    }

    async fn on_error(&mut self, _: &UdpSocket, error: io::Error) -> Result {
        self.tell(Told::Error(error.kind()));
        Ok(())
    }

    async fn on_close(&mut self, socket: &UdpSocket) {
        if let Some(peer) = self.1 {
            socket.send_to(b"good-bye", peer).await.unwrap();
        }
        self.tell(Told::Closed);
    }
}

/// Cannot open on one core.
struct Fails(bool, fn() -> Result);

impl DatagramHandler for Fails {
    async fn on_open(&mut self, _: &UdpSocket) -> Result {
        if self.0 { (self.1)() } else { Ok(()) }
    }

    async fn on_datagram(&mut self, _: &UdpSocket, _: &[u8], _: Peer) -> Result {
        Ok(())
    }
}

/// What a server returns whose handler fails to open on its last core.
fn fails(cores: usize, how: fn() -> Result) -> Error {
    let server = Server::new().cores(cores);
    let last = if cfg!(target_os = "linux") { cores - 1 } else { 0 };
    let server = server.listen_udp_per_core("udp4://127.0.0.1:0", move |core| Fails(core == last, how)).unwrap();
    let (done, ended) = channel();
    thread::spawn(move || done.send(server.run()));
    ended.recv_timeout(PATIENCE).expect("the server ends").unwrap_err()
}

#[test]
fn datagram_handler_that_cannot_open_ends_its_server_with_its_error() {
    for cores in CORES {
        let error = fails(cores, || Err(Error::msg("no such group")));
        assert_eq!(error.to_string(), "no such group");
        let error = fails(cores, || Err(io::Error::from(io::ErrorKind::AddrNotAvailable).into()));
        assert!(matches!(error, Error::Io(_)), "{error}");
        let error = fails(cores, || panic!("as asked"));
        assert!(error.to_string().ends_with("panicked when its socket opened: as asked"), "{error}");
    }
}

#[test]
fn datagram_handler_that_stops_its_server_when_it_opens_is_no_failure() {
    for cores in CORES {
        let server = Server::new().cores(cores);
        let stops = || Err(Error::stop_server(PATIENCE));
        let server = server.listen_udp_per_core("udp4://127.0.0.1:0", move |core| Fails(core == 0, stops)).unwrap();
        let (done, ended) = channel();
        thread::spawn(move || done.send(server.run()));
        ended.recv_timeout(PATIENCE).expect("the server ends").expect("it ends well");
    }
}

#[test]
fn datagram_handler_that_cannot_open_closes_a_socket_of_its_own() {
    block_on(async {
        let socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let sender = socket.serve(Fails(true, || Err(Error::msg("no"))));
        timeout(PATIENCE, sender.closed()).await.unwrap();
        assert!(matches!(sender.try_send_to("?", SocketAddr::from(([127, 0, 0, 1], 9))), Err(Error::Closed)));
    });
}

#[test]
fn datagram_handler_says_good_bye_when_its_server_stops() {
    for cores in CORES {
        let (tell, told) = events();
        let server = Server::new().cores(cores);
        let server = server.listen_udp("udp4://127.0.0.1:0", move || Tells(tell, None)).unwrap();
        let server = Running::start(server);
        let handlers = if cfg!(target_os = "linux") { cores } else { 1 };
        (0..handlers).for_each(|_| assert_eq!(told.next(), Told::Open(Some(0))));
        let client = client(&server.address);
        client.send(b"hello").unwrap();
        assert_eq!(told.next(), Told::Heard(b"hello".to_vec()));
        server.stop(PATIENCE);
        (0..handlers).for_each(|_| assert_eq!(told.next(), Told::Closed));
        let mut heard = [0; 100];
        let length = client.recv(&mut heard).unwrap();
        assert_eq!(&heard[..length], b"good-bye");
    }
}

#[test]
fn datagram_handler_knows_its_listener() {
    let (tell, told) = events();
    let streams = support::events().0;
    let server = Server::new().cores(1).listen_udp("udp4://127.0.0.1:0", {
        let tell = tell.clone();
        move || Tells(tell, None)
    });
    let server = server.unwrap().listen("tcp://127.0.0.1:0", Lines::default(), move || EchoLines(streams.clone()));
    let server = server.unwrap().listen_udp("udp4://127.0.0.1:0", move || Tells(tell, None)).unwrap();
    let _server = Running::start(server);
    assert_eq!([told.next(), told.next()], [Told::Open(Some(0)), Told::Open(Some(2))]);
}

#[test]
fn datagram_handlers_serve_several_sockets_that_exist_already() {
    for cores in CORES {
        let sockets: Vec<_> = (0..3).map(|_| StdSocket::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let (tell, told) = events();
        let server = Server::new().cores(cores).listen_udp(sockets, move || Tells(tell, None)).unwrap();
        let server = Running::start(server);
        (0..3).for_each(|_| assert_eq!(told.next(), Told::Open(Some(0))));
        for address in addresses {
            client(address).send(b"hello").unwrap();
            assert_eq!(told.next(), Told::Heard(b"hello".to_vec()));
        }
        server.stop(PATIENCE);
        (0..3).for_each(|_| assert_eq!(told.next(), Told::Closed));
    }
    let none: Vec<StdSocket> = Vec::new();
    assert!(Server::new().listen_udp(none, || Fails(false, || Ok(()))).is_err());
}

#[test]
fn datagram_handler_of_a_client_hears_its_peer_until_it_is_closed() {
    let peer = StdSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = peer.local_addr().unwrap();
    let (tell, told) = events();
    block_on(async {
        let socket = UdpSocket::connect(address).await.unwrap();
        let client = socket.serve(Tells(tell, None));
        assert!(!client.is_closed());
        let elsewhere = client.clone();
        let thread = thread::spawn(move || {
            elsewhere.try_send("hello").unwrap();
            let mut heard = [0; 100];
            let (length, from) = peer.recv_from(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"hello");
            peer.send_to(b"hello yourself", from).unwrap();
            peer.send_to(b"close", from).unwrap();
            let (length, _) = peer.recv_from(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"good-bye");
            block_on(async { timeout(PATIENCE, elsewhere.closed()).await.unwrap() });
        });
        timeout(PATIENCE, client.closed()).await.unwrap();
        assert!(matches!(client.try_send("?"), Err(Error::Closed)));
        while !thread.is_finished() {
            tiderace::yield_now().await;
        }
        thread.join().unwrap();
    });
    assert_eq!(told.next(), Told::Open(None));
    assert_eq!(told.next(), Told::Heard(b"hello yourself".to_vec()));
    assert_eq!(told.next(), Told::Heard(b"close".to_vec()));
    assert_eq!(told.next(), Told::Closed);
}

#[test]
fn datagram_handler_of_a_client_is_told_that_no_peer_is_there() {
    let gone = StdSocket::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let (tell, told) = events();
    block_on(async {
        let client = UdpSocket::connect(address).await.unwrap().serve(Tells(tell, None));
        client.try_send("hello?").unwrap();
        let waiting = thread::spawn(move || {
            assert_eq!(told.next(), Told::Open(None));
            assert_eq!(told.next(), Told::Error(io::ErrorKind::ConnectionRefused));
            client.close();
            assert_eq!(told.next(), Told::Closed);
            client
        });
        while !waiting.is_finished() {
            tiderace::yield_now().await;
        }
        timeout(PATIENCE, waiting.join().unwrap().closed()).await.unwrap();
    });
}

#[test]
fn datagram_handler_of_a_socket_that_was_received_from_gets_the_rest() {
    block_on(async {
        let mut socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let client = client(socket.local_addr().unwrap());
        for datagram in ["one", "two", "close"] {
            client.send(datagram.as_bytes()).unwrap();
        }
        assert_eq!(socket.recv_from().await.unwrap().0, b"one");
        let (tell, told) = events();
        timeout(PATIENCE, socket.serve(Tells(tell, None)).closed()).await.unwrap();
        assert_eq!(told.next(), Told::Open(None));
        assert_eq!(told.next(), Told::Heard(b"two".to_vec()));
    });
}

#[test]
fn datagram_handler_of_a_socket_that_exists_already_ends_with_the_server_of_its_core() {
    for cores in CORES {
        let (tell, told) = events();
        let server = Server::new().cores(cores).listen_udp("udp4://127.0.0.1:0", || Fails(false, || Ok(()))).unwrap();
        let server = Running::start(server);
        let socket = StdSocket::bind("127.0.0.1:0").unwrap();
        let client = client(socket.local_addr().unwrap());
        support::until("the server runs", || server.handle.cores() == cores);
        let serve = move || drop(UdpSocket::from_std(socket).unwrap().serve(Tells(tell, None)));
        assert!(server.handle.run_on(cores - 1, serve));
        assert_eq!(told.next(), Told::Open(None));
        client.send(b"hello").unwrap();
        assert_eq!(told.next(), Told::Heard(b"hello".to_vec()));
        server.stop(PATIENCE);
        assert_eq!(told.next(), Told::Closed);
        assert_eq!(client.recv(&mut [0; 100]).unwrap(), b"good-bye".len());
    }
}

#[test]
fn datagram_socket_without_a_handler_hears_no_more_when_it_is_closed() {
    block_on(async {
        let mut socket = UdpSocket::bind("udp4://127.0.0.1:0").await.unwrap();
        let client = client(socket.local_addr().unwrap());
        let sender = socket.sender();
        thread::spawn(move || sender.close());
        assert!(matches!(timeout(PATIENCE, socket.recv_from()).await.unwrap(), Err(Error::Closed)));
        socket.send_to(b"still here", client.local_addr().unwrap()).await.unwrap();
        drop(socket);
        assert_eq!(client.recv(&mut [0; 100]).unwrap(), b"still here".len());
    });
}

/// Stops its server by a method, and goes on.
struct Stops;

impl DatagramHandler for Stops {
    async fn on_datagram(&mut self, socket: &UdpSocket, _: &[u8], from: Peer) -> Result {
        socket.stop_server(PATIENCE);
        socket.send_to(b"stopping", from).await
    }
}

#[test]
fn datagram_handler_stops_its_server_and_goes_on() {
    for cores in CORES {
        let server = Server::new().cores(cores).listen_udp("udp4://127.0.0.1:0", || Stops).unwrap();
        let client = client(&server.local_addrs()[0]);
        let (done, ended) = channel();
        thread::spawn(move || done.send(server.run()));
        client.send(b"stop").unwrap();
        assert_eq!(client.recv(&mut [0; 100]).unwrap(), b"stopping".len());
        ended.recv_timeout(PATIENCE).expect("the server ends").expect("it ends well");
    }
}
