//! Connecting to one of several addresses, in time, and connecting again.

mod support;

use socket2::{Domain, Socket, Type};
use std::cell::OnceCell;
use std::future::{Future, poll_fn};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::task::Poll;
use std::time::Duration;
use support::*;
use tiderace::codec::{Lines, Raw};
use tiderace::{
    Backoff, Client, CloseReason, Conn, Connector, Error, Handler, Result, Server, block_on, connect, sleep,
    spawn_local, timeout,
};

const LONG: Duration = Duration::from_secs(3600);

/// An address where nobody answers, not even with a refusal, while this is kept.
struct Silence {
    address: SocketAddr,
    _sockets: Vec<Socket>,
}

/// A listener whose queue is full: the system ignores who else knocks (listen(2)).
fn silence() -> Silence {
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let waiting = socket();
        waiting.set_nonblocking(true).unwrap();
        let _ = waiting.connect(&address);
        sockets.push(waiting);
    }
    Silence { address: address.as_socket().unwrap(), _sockets: sockets }
}

/// An address where connections are refused.
fn refusal() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn the_first_address_that_answers_has_the_connection() {
    let (silence, refusal) = (silence(), refusal());
    let server = serve(1, Raw, || handlers::Echo);
    let good = server.address.as_socket().unwrap();
    let orders: [&[SocketAddr]; 4] = [
        &[good],
        &[refusal, good],
        &[silence.address, refusal, good],
        &[silence.address, silence.address, silence.address, good, refusal],
    ];
    for order in orders {
        block_on(async {
            let connector = Connector::to_any_of(order.to_vec()).attempt_delay(Duration::from_millis(5));
            let mut stream = connector.connect().await.unwrap().framed(Raw);
            stream.send("hello").await.unwrap();
            assert_eq!(stream.next().await.unwrap(), Some(&b"hello"[..]));
        });
    }
}

#[test]
fn a_silent_address_costs_no_more_than_its_delay_and_the_last_one_no_less_than_the_limit() {
    let silence = silence();
    let error = block_on(async {
        let connector = Connector::new(silence.address).unwrap().timeout(Duration::from_millis(20));
        timeout(PATIENCE, connector.connect()).await.expect("a limit of its own").unwrap_err()
    });
    let Error::Connect { address, source } = &error else { panic!("{error}") };
    assert_eq!((address.as_str(), source.kind()), (&*silence.address.to_string(), std::io::ErrorKind::TimedOut));
}

#[test]
fn where_nobody_answers_the_error_says_where_and_why() {
    let (one, other) = (refusal(), refusal());
    block_on(async {
        let error = connect(one).await.unwrap_err();
        assert!(format!("{error:#}").starts_with(&format!("cannot connect to {one}: ")), "{error}");
        let error = Connector::to_any_of([one, other]).connect().await.unwrap_err();
        assert!(format!("{error:#}").starts_with(&format!("cannot connect to any of [{one}, {other}]: ")), "{error}");
        assert!(Connector::to_any_of([]).connect().await.is_err());
        let error = connect("tcp://no-such-host.invalid:1").await.unwrap_err();
        assert!(matches!(error, Error::Address(_)), "{error}");
        assert!(matches!(Connector::new("udp://127.0.0.1:1"), Err(Error::Address(_))));
    });
}

/// A Unix socket with a full backlog, and the clients that wait in it.
fn full(path: &std::path::Path) -> (Socket, Vec<Socket>) {
    let socket = || Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let listener = socket();
    let address = socket2::SockAddr::unix(path).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let one = socket();
        one.set_nonblocking(true).unwrap();
        match one.connect(&address) {
            Ok(()) => waiting.push(one),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                return (listener, waiting);
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn unix_connect_waits_for_room_in_a_full_backlog() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.sock");
    let (listener, _waiting) = full(&path);
    block_on(async {
        let connector = Connector::new(format!("unix://{}", path.display())).unwrap();
        let error = connector.clone().timeout(Duration::from_millis(20)).connect().await.unwrap_err();
        assert!(
            matches!(&error, Error::Connect { source, .. } if source.kind() == std::io::ErrorKind::TimedOut),
            "{error}"
        );

        let connector = connector.timeout(PATIENCE);
        let mut connected = std::pin::pin!(connector.connect());
        let first = poll_fn(|cx| Poll::Ready(connected.as_mut().poll(cx))).await;
        assert!(first.is_pending(), "no answer yet: {first:?}");
        listener.accept().unwrap();
        connected.await.unwrap();
    });
}

/// Says hello, and tells what it hears and how it ended.
#[derive(Clone)]
struct Greeter(Sender<String>);

impl Handler for Greeter {
    type Codec = Lines;

    async fn on_open(&mut self, conn: &mut Conn<Lines>) -> Result {
        conn.send("hello").await
    }

    async fn on_message(&mut self, conn: &mut Conn<Lines>, line: &str) -> Result {
        self.0.send(line.to_owned())?;
        match line {
            "enough" => conn.close(),
            "stop your server" => return Err(Error::stop_server(PATIENCE)),
            _ => {}
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Lines>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

/// Takes a connection, and checks that its client greets.
fn greeted(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert_eq!(line, "hello\n");
    stream
}

fn soon() -> Backoff {
    Backoff::default().first(Duration::from_millis(1)).max(Duration::from_millis(5))
}

#[test]
fn a_client_comes_back_however_its_connection_ends_until_it_wants_no_more() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heard) = events();
    let client = std::thread::spawn(move || {
        block_on(async {
            let connector = Connector::new(address).unwrap();
            connector.serve(Lines::default(), soon(), move || Greeter(sender.clone())).closed().await
        })
    });
    drop(greeted(&listener));
    assert_eq!(heard.next(), "end of stream");

    let broken = greeted(&listener);
    socket2::SockRef::from(&broken).set_linger(Some(Duration::ZERO)).unwrap();
    drop(broken);
    assert!(heard.next().starts_with("reset: "));

    // While nobody listens, it goes on trying.
    drop(listener);
    std::thread::sleep(Duration::from_millis(20));
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.set_reuse_address(true).unwrap();
    listener.bind(&address.into()).unwrap();
    listener.listen(8).unwrap();
    let listener = TcpListener::from(listener);
    let mut last = greeted(&listener);
    last.write_all(b"welcome back\nenough\n").unwrap();
    assert_eq!(heard.next(), "welcome back");
    assert_eq!(heard.next(), "enough");
    assert_eq!(heard.next(), "closed here");
    drop(last);
    client.join().unwrap().unwrap();
}

#[test]
fn a_client_that_gives_up_says_why() {
    block_on(async {
        let refusal = refusal();
        let (sender, _heard) = events();
        let connector = Connector::new(refusal).unwrap();
        let mut client = connector.serve(Lines::default(), soon().tries(3), move || Greeter(sender.clone()));
        assert!(client.handle().is_none());
        let error = client.closed().await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }), "{error}");
    });
}

#[test]
fn a_client_closes_whatever_it_is_waiting_for() {
    let (silence, refusal) = (silence(), refusal());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let good = listener.local_addr().unwrap();
    // Its own end follows that of the client.
    std::thread::spawn(move || read_to_end(&mut listener.accept().unwrap().0));
    for address in [silence.address, refusal, good] {
        let (sender, heard) = events();
        block_on(async {
            let connector = Connector::new(address).unwrap().timeout(LONG);
            let backoff = Backoff::default().first(LONG).max(LONG);
            let mut client = connector.serve(Lines::default(), backoff, move || Greeter(sender.clone()));
            if address == good {
                while client.handle().is_none() {
                    sleep(Duration::from_millis(1)).await;
                }
            } else {
                sleep(Duration::from_millis(5)).await;
            }
            client.close();
            timeout(PATIENCE, client.closed()).await.expect("at once").unwrap();
            assert!(client.handle().is_none());
        });
        if address == good {
            assert_eq!(heard.next(), "closed here");
        }
    }
}

#[test]
fn a_client_on_a_servers_core_ends_with_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heard) = events();
    let server = Server::new().cores(2).listen("tcp://127.0.0.1:0", Raw, || handlers::Echo).unwrap();
    let server = Running::start(server);
    until("it runs", || server.handle.cores() == 2);
    assert!(server.handle.run_on(1, move || {
        spawn_local(async move {
            let connector = Connector::new(address).unwrap();
            let told = sender.clone();
            let mut client = connector.serve(Lines::default(), soon(), move || Greeter(sender.clone()));
            told.send(format!("{:?}", client.closed().await)).unwrap();
        })
        .detach();
    }));
    let peer = greeted(&listener);
    assert_eq!(server.handle.connections_per_core(), [0, 1]);
    let ending = std::thread::spawn(move || server.stop(PATIENCE));
    assert_eq!(heard.next(), "shutdown");
    drop(peer);
    assert_eq!(heard.next(), "Ok(())");
    ending.join().unwrap();
}

#[test]
fn a_client_on_a_servers_core_may_stop_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, heard) = events();
    let server = Server::new().cores(2).on_start(move |_| async move {
        let client = connect(address).await.unwrap().serve(Lines::default(), Greeter(sender));
        assert!(client.is_ok());
    });
    let thread = std::thread::spawn(|| server.run());
    let mut peer = greeted(&listener);
    peer.write_all(b"stop your server\n").unwrap();
    assert_eq!(heard.next(), "stop your server");
    assert_eq!(heard.next(), "shutdown");
    drop(peer);
    thread.join().unwrap().unwrap();
}

#[test]
fn a_client_that_is_closed_while_its_handler_is_made_closes() {
    let server = serve(1, Lines::default(), || support::handlers::EchoLines(std::sync::mpsc::channel().0));
    let connector = Connector::new(&*server.address.to_string()).unwrap();
    block_on(async {
        let client = Rc::<OnceCell<Client<Lines>>>::default();
        let of_factory = client.clone();
        let (tell, told) = std::sync::mpsc::channel();
        let made = connector.serve(Lines::default(), soon(), move || {
            of_factory.get().unwrap().close();
            support::handlers::EchoLines(tell.clone())
        });
        assert!(client.set(made).is_ok());
        let ended = async {
            while client.get().unwrap().handle().is_some() || told.try_recv().is_err() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, ended).await.unwrap();
    });
}
