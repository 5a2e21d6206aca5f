//! Addresses, listeners and their options, and how connections are spread over the cores.

mod support;

use bytes::Bytes;
use futures_lite::AsyncWriteExt;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::marker::PhantomData;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::Sender;
use std::time::Duration;
use support::handlers::{Echo, EchoLines};
use support::*;
use tiderace::codec::{Lines, Peek, Raw, Unread};
use tiderace::{
    Address, AddressError, Balance, Bind, CloseReason, Conn, ConnectionId, DatagramHandler, Error, Handler, KeepAlive,
    Peer, Refusal, Result, Server, ServerHandle, UdpSocket, block_on, connect,
};

/// Says on which core and by which listener each connection comes, and what its socket's options are.
#[derive(Clone)]
struct Where(Sender<(usize, Option<usize>)>);

impl Handler for Where {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        self.0.send((conn.id().core(), conn.listener()))?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

/// For clients that do not close when the server does.
const SOON: Duration = Duration::from_millis(50);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn echoes_on_unix(path: &std::path::Path) {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut back = [0; 5];
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
}

#[test]
fn a_unix_socket_is_served_and_its_file_goes_with_the_server() {
    let folder = folder();
    let path = folder.path().join("echo.sock");
    for cores in CORES {
        let server = Server::new().cores(cores).listen(format!("unix://{}", path.display()), Raw, || Echo).unwrap();
        assert_eq!(server.local_addrs()[0].as_path(), Some(&*path));
        let server = Running::start(server);
        (0..8).for_each(|_| echoes_on_unix(&path));
        server.stop(PATIENCE);
        assert!(!path.exists(), "the file is removed");
    }
}

#[test]
fn clients_connect_to_unix_sockets_too() {
    let folder = folder();
    let (tell, _told) = events();
    let address = format!("unix://{}/lines.sock", folder.path().display());
    let server = Server::new().cores(2).listen(&address, Lines::default(), move || EchoLines(tell.clone())).unwrap();
    let _server = Running::start(server);
    tiderace::block_on(async {
        let mut lines = connect(&address).await.unwrap().framed(Lines::default());
        lines.send("over a file").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), Some("over a file"));
    });
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
    let folder = folder();
    let path = folder.path().join("stale.sock");
    let address = format!("unix://{}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "nobody listens, and the file is there");
    let first = Running::start(Server::new().cores(1).listen(&address, Raw, || Echo).unwrap());
    echoes_on_unix(&path);
    let error = Server::new().listen(&address, Raw, || Echo).unwrap_err();
    assert!(matches!(&error, Error::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse), "{error}");
    echoes_on_unix(&path);
    drop(first);
    std::fs::write(&path, "a file that is no socket").unwrap();
    Server::new().listen(&address, Raw, || Echo).unwrap_err();
    assert!(path.exists(), "what is not ours stays");
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_leaves_no_file() {
    use std::os::linux::net::SocketAddrExt;
    let name = format!("tiderace-test-{}", std::process::id());
    let server = Server::new().cores(1).listen(format!("unix://@{name}"), Raw, || Echo).unwrap();
    assert_eq!(server.local_addrs()[0].as_abstract_name(), Some(name.as_bytes()));
    assert_eq!(server.local_addrs()[0].to_string(), format!("unix:@{name}"));
    let _server = Running::start(server);
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let mut stream = UnixStream::connect_addr(&address).unwrap();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

#[test]
fn several_listeners_have_their_own_codecs_and_handlers() {
    let folder = folder();
    let unix = folder.path().join("where.sock");
    let (tell, told) = events();
    let (lines_tell, _lines) = events();
    let place = Where(tell);
    let bound = UnixListener::bind(&unix).unwrap();
    let std_listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::new()
        .cores(2)
        .listen("tcp4://127.0.0.1:0", Raw, {
            let place = place.clone();
            move || place.clone()
        })
        .unwrap()
        .listen("127.0.0.1:0", Lines::default(), move || EchoLines(lines_tell.clone()))
        .unwrap()
        .listen(bound, Raw, {
            let place = place.clone();
            move || place.clone()
        })
        .unwrap()
        .listen(std_listener, Raw, move || place.clone())
        .unwrap();
    let addresses = server.local_addrs();
    let _server = Running::start(server);
    let _first = TcpStream::connect(&addresses[0]).unwrap();
    assert_eq!(told.next().1, Some(0));
    let mut lines = TcpStream::connect(&addresses[1]).unwrap();
    echoes(&mut lines, b"a line\n");
    let _third = UnixStream::connect(&unix).unwrap();
    assert_eq!(told.next().1, Some(2));
    let _fourth = TcpStream::connect(&addresses[3]).unwrap();
    assert_eq!(told.next().1, Some(3));
}

/// On which cores `connections` from this host are served.
fn spread(balance: Balance, cores: usize, connections: usize) -> BTreeMap<usize, usize> {
    let (tell, told) = events();
    let server = Server::new().cores(cores).balance(balance);
    let place = Where(tell);
    let server = Running::start(server.listen("tcp://127.0.0.1:0", Raw, move || place.clone()).unwrap());
    let mut streams = Vec::new();
    let mut cores = BTreeMap::new();
    for _ in 0..connections {
        let mut stream = server.connect();
        echoes(&mut stream, b"x");
        *cores.entry(told.next().0).or_default() += 1;
        streams.push(stream);
    }
    cores
}

#[test]
fn connections_are_spread_as_asked() {
    let even = BTreeMap::from([(0, 10), (1, 10), (2, 10), (3, 10)]);
    assert_eq!(spread(Balance::RoundRobin, 4, 40), even);
    assert_eq!(spread(Balance::LeastConnections, 4, 40), even);
    assert_eq!(spread(Balance::SourceHash, 4, 40).len(), 1, "one host, one core");
    assert_eq!(spread(Balance::custom(|_, open| open.len() - 1), 4, 40), BTreeMap::from([(3, 40)]));
    for balance in [Balance::Random, Balance::Kernel] {
        // 4 * 0.75^60: one in eight million that one core gets none.
        assert_eq!(spread(balance, 4, 60).len(), 4);
    }
    for balance in [Balance::RoundRobin, Balance::Random, Balance::Kernel] {
        assert_eq!(spread(balance, 1, 3), BTreeMap::from([(0, 3)]));
    }
}

#[test]
fn a_server_takes_no_more_connections_than_it_may() {
    for (whole, one) in [(Some(3), None), (None, Some(3)), (Some(3), Some(100))] {
        let mut server = Server::new().cores(2);
        if let Some(max) = whole {
            server = server.max_connections(max);
        }
        let mut bind = Bind::to("tcp://127.0.0.1:0").unwrap();
        if let Some(max) = one {
            bind = bind.max_connections(max);
        }
        let server = Running::start(server.listen(bind, Raw, || Echo).unwrap());
        let mut streams: Vec<_> = (0..3).map(|_| server.connect()).collect();
        streams.iter_mut().for_each(|stream| echoes(stream, b"in"));
        for refused in 1..=5 {
            let mut stream = server.connect();
            let ended = stream.read(&mut [0]);
            assert!(matches!(ended, Ok(0) | Err(_)), "closed at once");
            until("it is counted", || server.handle.refused() == refused);
        }
        assert_eq!(server.handle.connections(), 3);
        streams.pop();
        until("one has gone", || server.handle.connections() == 2);
        until("there is room again", || {
            let mut stream = server.connect();
            let _ = stream.write_all(b"x");
            stream.read_exact(&mut [0]).is_ok()
        });
    }
}

#[test]
fn refused_connections_are_told_why_and_no_reset_destroys_that() {
    for cores in CORES {
        let mine = Bind::to("tcp://127.0.0.1:0").unwrap().refusal(Refusal::with(|peer| format!("not now, {peer}")));
        let other = Bind::to("tcp://127.0.0.1:0").unwrap().max_connections(0);
        let broken = Bind::to("tcp://127.0.0.1:0").unwrap().refusal(Refusal::with(|_| -> &str { panic!("as told") }));
        let server = Server::new().cores(cores).max_connections(1).refusal("full");
        let server = server.listen(mine, Raw, || Echo).unwrap();
        let server = server.listen(other, Raw, || Echo).unwrap();
        let server = server.listen(broken, Raw, || Echo).unwrap();
        let addresses = server.local_addrs();
        let server = Running::start(server);
        let mut first = server.connect();
        echoes(&mut first, b"in");
        for round in 1..=8 {
            for (address, expected) in addresses.iter().zip([None, Some("full"), Some("")]) {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let expected = expected.map_or(format!("not now, {}", stream.local_addr().unwrap()), str::to_owned);
                // Input that the server does not read, and more of it when the server has ended its side.
                let _ = stream.write_all(&[0; 1000]);
                assert_eq!(String::from_utf8(read_to_end(&mut stream)).unwrap(), expected);
                let _ = stream.write_all(&[0; 1000]);
            }
            until("all are counted", || server.handle.refused() == 3 * round);
        }
        // The socket is kept for a moment: what is written to one that was closed comes back as a reset.
        until("a peer that was told may still write", || {
            let mut stream = server.connect();
            let said = read_to_end(&mut stream);
            // With one core, the turn that has refused is over when this is answered.
            echoes(&mut first, b"later");
            let written = (0..2).all(|_| stream.write_all(b"x").is_ok());
            assert!(said.starts_with(b"not now"));
            written
        });
        echoes(&mut first, b"still in");
    }
}

#[test]
fn refused_connections_that_stay_are_let_go() {
    let server = Server::new().cores(1).max_connections(0).refusal("full");
    let server = Running::start(server.listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap());
    // More than are kept at once.
    let mut streams: Vec<_> = (0..300).map(|_| server.connect()).collect();
    for stream in &mut streams {
        assert_eq!(read_to_end(stream), b"full");
    }
    // What is written to a socket that was closed comes back as a reset.
    for stream in &mut streams {
        until("the server has closed it", || stream.write_all(b"x").is_err());
    }
}

/// Reports the options that its connection has inherited.
#[derive(Clone)]
struct Options(Sender<(bool, bool, Option<Duration>)>);

impl Handler for Options {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        let options = conn.options();
        self.0.send((options.no_delay()?, options.keep_alive()?, options.linger()?))?;
        options.set_no_delay(true)?;
        options.set_keep_alive(None)?;
        options.set_linger(None)?;
        options.set_send_buffer(64 * 1024)?;
        assert!(options.send_buffer()? >= 64 * 1024);
        self.0.send((options.no_delay()?, options.keep_alive()?, options.linger()?))?;
        Ok(())
    }

    async fn on_message(&mut self, _: &mut Conn<Raw>, _: &[u8]) -> Result {
        Ok(())
    }
}

#[test]
fn options_of_a_listener_are_those_of_its_connections() {
    let (tell, told) = events();
    let options = Options(tell);
    let bind = Bind::to("tcp://127.0.0.1:0")
        .unwrap()
        .backlog(16)
        .no_delay(false)
        .keep_alive(KeepAlive::after(Duration::from_secs(30)).every(Duration::from_secs(5)).at_most(3))
        .linger(Duration::from_secs(7))
        .recv_buffer(100_000)
        .send_buffer(100_000);
    let server = Server::new().cores(1).listen(bind, Raw, move || options.clone()).unwrap();
    let server = Running::start(server);
    let _stream = server.connect();
    assert_eq!(told.next(), (false, true, Some(Duration::from_secs(7))));
    assert_eq!(told.next(), (true, false, None));
}

/// Longer than a test waits.
const LINGER: Duration = Duration::from_secs(60);
/// More than the receive buffer of a peer that does not read, and less than the send buffer.
const UNREAD: usize = 100_000;

/// Echoes, and answers "fill" with more than the peer takes, and a close.
struct Fill;

impl Handler for Fill {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        if bytes != b"fill" {
            return conn.send(bytes).await;
        }
        conn.send(&vec![0; UNREAD][..]).await?;
        conn.close();
        Ok(())
    }
}

/// A peer that has asked for more than it takes.
fn glutton(address: std::net::SocketAddr) -> socket2::Socket {
    let glutton = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    glutton.set_recv_buffer_size(4096).unwrap();
    glutton.connect(&address.into()).unwrap();
    glutton
}

#[test]
fn linger_keeps_no_other_connection_waiting() {
    for cores in CORES {
        let bind = Bind::to("tcp://127.0.0.1:0").unwrap().linger(LINGER).send_buffer(4 * UNREAD);
        let server = Server::new().cores(cores).close_timeout(Duration::from_millis(10));
        let server = Running::start(server.listen(bind, Raw, || Fill).unwrap());
        let mut others: Vec<TcpStream> = (0..4 * cores).map(|_| server.connect()).collect();
        others.iter_mut().for_each(|other| echoes(other, b"before"));
        let gluttons: Vec<_> = (0..cores).map(|_| glutton(server.address.as_socket().unwrap())).collect();
        gluttons.iter().for_each(|mut glutton| glutton.write_all(b"fill").unwrap());
        // The count goes down before the descriptor closes.
        until("all gluttons are closed", || server.handle.connections() == others.len());
        others.iter_mut().for_each(|other| echoes(other, b"after"));
    }
}

#[test]
fn linger_of_a_stream_does_not_block_the_drop() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = events();
    std::thread::spawn(move || {
        tiderace::block_on(async {
            let mut stream = connect(address).await.unwrap();
            stream.options().set_send_buffer(4 * UNREAD).unwrap();
            stream.options().set_linger(Some(LINGER)).unwrap();
            stream.write_all(&[0; UNREAD]).await.unwrap();
            drop(stream);
        });
        tell.send(()).unwrap();
    });
    let _peer = listener.accept().unwrap();
    told.next();
}

#[test]
fn linger_counts_seconds_that_are_rounded_up_and_goes_with_the_descriptor() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    tiderace::block_on(async {
        let stream = connect(listener.local_addr().unwrap()).await.unwrap();
        for (asked, set) in [
            (Some(Duration::ZERO), Some(Duration::ZERO)),
            (Some(Duration::from_millis(500)), Some(Duration::from_secs(1))),
            (Some(Duration::from_secs(2)), Some(Duration::from_secs(2))),
            (Some(Duration::MAX), Some(Duration::from_secs(65_535))),
            (None, None),
            (Some(Duration::from_millis(2001)), Some(Duration::from_secs(3))),
        ] {
            stream.options().set_linger(asked).unwrap();
            assert_eq!(stream.options().linger().unwrap(), set);
        }
        let (socket, _) = stream.into_fd().await.unwrap();
        assert_eq!(socket2::SockRef::from(&socket).linger().unwrap(), Some(Duration::from_secs(3)));
    });
}

/// Sends a duplicate of its socket's descriptor.
#[derive(Clone)]
struct Sockets(Sender<socket2::Socket>);

impl Handler for Sockets {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        self.0.send(conn.as_fd().try_clone_to_owned()?.into())?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

#[test]
fn keep_alive_and_buffers_of_a_listener_are_those_of_its_connections() {
    let like = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    like.set_recv_buffer_size(50_000).unwrap();
    like.set_send_buffer_size(60_000).unwrap();
    for cores in CORES {
        let (tell, told) = events();
        let sockets = Sockets(tell);
        let keep_alive = KeepAlive::after(Duration::from_secs(31)).every(Duration::from_secs(5)).at_most(3);
        let bind = Bind::to("tcp://127.0.0.1:0").unwrap();
        let bind = bind.keep_alive(keep_alive).recv_buffer(50_000).send_buffer(60_000);
        let server = Server::new().cores(cores).listen(bind, Raw, move || sockets.clone()).unwrap();
        let server = Running::start(server);
        let _stream = server.connect();
        let socket = told.next();
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(31));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        // The kernel doubles what it is told, or limits it; for this socket as for any other.
        assert_eq!(socket.recv_buffer_size().unwrap(), like.recv_buffer_size().unwrap());
        assert_eq!(socket.send_buffer_size().unwrap(), like.send_buffer_size().unwrap());
    }
}

#[test]
#[cfg(target_os = "linux")]
fn device_of_a_listener_is_that_of_its_connections() {
    let on = |device: &str| Bind::to("tcp://127.0.0.1:0").unwrap().device(device);
    let kind = |error: Error| match error {
        Error::Bind { source, .. } => source.kind(),
        other => panic!("{other}"),
    };
    let (tell, told) = events();
    let sockets = Sockets(tell);
    let server = match Server::new().cores(1).listen(on("lo"), Raw, move || sockets.clone()) {
        Ok(server) => Running::start(server),
        Err(error) => {
            assert_eq!(kind(error), std::io::ErrorKind::PermissionDenied);
            return eprintln!("skipped: a socket may be bound to a device by root only");
        }
    };
    let mut stream = server.connect();
    echoes(&mut stream, b"over the device");
    assert_eq!(told.next().device().unwrap().as_deref(), Some(&b"lo"[..]));
    let unknown = Server::new().listen(on("no-such-device"), Raw, || Echo).unwrap_err();
    assert_eq!(kind(unknown), std::io::Error::from_raw_os_error(rustix::io::Errno::NODEV.raw_os_error()).kind());
}

#[test]
fn a_port_is_shared_only_when_both_want_it() {
    let first = Server::new().cores(1).listen("tcp://127.0.0.1:0?reuseport=true", Raw, || Echo).unwrap();
    let address = first.local_addrs()[0].clone();
    let second = Server::new().listen(format!("tcp://{address}?reuseport=true"), Raw, || Echo).unwrap();
    Server::new().listen(&address, Raw, || Echo).unwrap_err();
    drop((first, second));
}

#[test]
fn a_duplicate_of_a_listener_outlives_its_server() {
    let server = Server::new().cores(2).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap();
    let address = server.local_addrs()[0].clone();
    let duplicates = server.duplicate_listeners().unwrap().remove(0);
    Running::start(server).stop(PATIENCE);
    let next = Server::new().cores(2).listen(duplicates, Raw, || Echo).unwrap();
    assert_eq!(next.local_addrs(), std::slice::from_ref(&address));
    let server = Running::start(next);
    (0..4).for_each(|_| echoes(&mut server.connect(), b"still there"));
}

#[test]
fn addresses_say_what_is_wrong_with_them() {
    for (address, complaint) in [
        ("http://localhost:80", "expected tcp, udp or unix before ://, found http"),
        ("udp://127.0.0.1:0", "expected tcp or unix, found udp"),
        ("tcp://127.0.0.1", "expected HOST:PORT, found \"127.0.0.1\""),
        ("tcp://127.0.0.1:99999", "expected HOST:PORT, found \"127.0.0.1:99999\""),
        ("tcp6://127.0.0.1:0", "127.0.0.1:0 has no address of the asked family"),
        ("tcp://127.0.0.1:0?reuse=yes", "expected reuseport=true or reuseport=false, found \"reuse=yes\""),
        ("unix://", "expected a path or @NAME, found \"\""),
    ] {
        let error = Server::new().listen(address, Raw, || Echo).unwrap_err();
        assert_eq!(error.to_string(), complaint);
    }
    let long = format!("unix://{}", "x".repeat(200));
    assert!(matches!(Server::new().listen(long, Raw, || Echo), Err(Error::Address(_))));
}

/// Opens, closes, and how.
#[derive(Clone)]
struct Closes(Sender<String>);

impl Handler for Closes {
    type Codec = Raw;

    async fn on_message(&mut self, _: &mut Conn<Raw>, _: &[u8]) -> Result {
        Ok(())
    }

    async fn on_close(&mut self, _: &mut Conn<Raw>, reason: &CloseReason) {
        let _ = self.0.send(reason.to_string());
    }
}

#[test]
fn a_server_calls_its_hooks() {
    for cores in CORES {
        let (tell, told) = events::<String>();
        let (ticks, ticked) = events();
        let say = |what: &'static str| {
            let tell = tell.clone();
            move || tell.send(what.into()).unwrap()
        };
        let (started, ended, closes) = (say("started"), say("ended"), Closes(tell.clone()));
        let (each, each_told) = events();
        let mut count = 0;
        let server = Server::new()
            .cores(cores)
            .close_timeout(SOON)
            .on_start(move |server| async move {
                assert_eq!(server.cores(), cores);
                started();
            })
            .on_each_core(move |core| {
                let each = each.clone();
                async move { each.send(core).unwrap() }
            })
            .on_tick(move || {
                count += 1;
                ticks.send(count).unwrap();
                (count < 3).then_some(Duration::from_millis(1))
            })
            .on_shutdown(move || async move { ended() })
            .listen("tcp://127.0.0.1:0", Raw, move || closes.clone())
            .unwrap();
        let server = Running::start(server);
        assert_eq!(told.next(), "started");
        let mut which: Vec<usize> = (0..cores).map(|_| each_told.next()).collect();
        which.sort();
        assert_eq!(which, (0..cores).collect::<Vec<_>>());
        assert_eq!([ticked.next(), ticked.next(), ticked.next()], [1, 2, 3]);
        let _stream = server.connect();
        until("it is open", || server.handle.connections() == 1);
        server.stop(PATIENCE);
        let mut last = [told.next(), told.next()];
        last.sort();
        assert_eq!(last, ["ended", "shutdown"]);
        assert!(ticked.is_quiet());
    }
}

#[test]
fn work_is_run_on_the_core_that_was_named() {
    let server = Running::start(Server::new().cores(3).listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap());
    until("it runs", || server.handle.cores() == 3);
    let (tell, told) = events();
    for core in [2, 0, 1] {
        let tell = tell.clone();
        assert!(server.handle.run_on(core, move || {
            tiderace::spawn_local(async move {
                tiderace::sleep(Duration::from_millis(1)).await;
                tell.send((core, std::thread::current().name().map(str::to_owned))).unwrap();
            })
            .detach();
        }));
        let (ran, thread) = told.next();
        assert_eq!(ran, core);
        assert!(core == 0 || thread == Some(format!("tiderace-{core}")));
    }
    assert!(!server.handle.run_on(3, || unreachable!()));
    assert!(server.handle.run_on(1, || panic!("this is logged")));
    echoes(&mut server.connect(), b"and nothing more");
}

#[test]
fn every_connection_is_visited() {
    let (tell, _told) = events();
    let server = Server::new().cores(4).balance(Balance::RoundRobin).close_timeout(SOON);
    let server = server.listen("tcp://127.0.0.1:0", Lines::default(), move || EchoLines(tell.clone())).unwrap();
    let server = Running::start(server.listen("tcp://127.0.0.1:0", Raw, || Echo).unwrap());
    let mut streams: Vec<_> = (0..12).map(|_| server.connect()).collect();
    until("all are open", || server.handle.connections() == 12);
    let visited = tiderace::block_on(server.handle.for_each::<Lines>(|connection| {
        connection.try_send("to all").unwrap();
    }));
    assert_eq!(visited, 12);
    for stream in &mut streams {
        let mut line = [0; 7];
        stream.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"to all\n");
    }
    let address: Address = server.address.clone();
    server.stop(PATIENCE);
    assert!(TcpStream::connect(&address).is_err(), "nobody listens any more");
}

/// Says its connection's number, and looks for connections of its codec from a task of its own.
struct Looks<C>(Sender<(&'static str, ConnectionId)>, Option<ServerHandle>, PhantomData<C>);

impl Handler for Looks<Raw> {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, _: &[u8]) -> Result {
        self.0.send(("raw", conn.id()))?;
        if let Some(server) = self.1.take() {
            // The future is its own master, and can be spawned.
            let visits = server.for_each::<Raw>(|connection| connection.try_send(Bytes::from_static(b"raw")).unwrap());
            assert_eq!(tiderace::spawn_local(visits).await?, 2);
        }
        Ok(())
    }
}

impl Handler for Looks<Peek> {
    type Codec = Peek;

    async fn on_message(&mut self, conn: &mut Conn<Peek>, mut unread: Unread<'_>) -> Result {
        unread.take_all();
        self.0.send(("peek", conn.id()))?;
        Ok(())
    }
}

#[test]
fn connections_are_found_by_their_codec_and_number() {
    for cores in CORES {
        let (tell, told) = events();
        let (server, other) = (Server::new().cores(cores).balance(Balance::RoundRobin), tell.clone());
        let handle = server.handle();
        let server = server
            .listen("tcp://127.0.0.1:0", Raw, move || Looks(tell.clone(), Some(handle.clone()), PhantomData::<Raw>))
            .unwrap()
            .listen("tcp://127.0.0.1:0", Peek::default(), move || Looks(other.clone(), None, PhantomData::<Peek>))
            .unwrap();
        let peeks = server.local_addrs().remove(1);
        let server = Running::start(server);
        let mut peek = TcpStream::connect(&peeks).unwrap();
        peek.set_read_timeout(Some(PATIENCE)).unwrap();
        peek.write_all(b"x").unwrap();
        let (codec, peek_id) = told.next();
        assert_eq!(codec, "peek");
        let (mut first, mut second) = (server.connect(), server.connect());
        until("all are open", || server.handle.connections() == 3);
        first.write_all(b"x").unwrap();
        let (codec, raw_id) = told.next();
        assert_eq!(codec, "raw");
        for stream in [&mut first, &mut second] {
            let mut said = [0; 3];
            stream.read_exact(&mut said).unwrap();
            assert_eq!(&said, b"raw");
        }

        let handle = &server.handle;
        assert!(block_on(handle.connection::<Raw>(peek_id)).is_none(), "its codec is another");
        let found = block_on(handle.connection::<Peek>(peek_id)).unwrap();
        assert_eq!(found.id(), peek_id);
        block_on(found.send(Bytes::from_static(b"peek"))).unwrap();
        peek.read_exact(&mut [0; 4]).unwrap();
        drop(first);
        until("it is gone", || block_on(handle.connection::<Raw>(raw_id)).is_none());
    }
}

#[test]
fn a_socket_that_others_have_keeps_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shared.sock");
    let mine = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // One that was made elsewhere, and one whose listener goes to somebody else.
    drop(Server::new().cores(1).listen(mine.try_clone().unwrap(), Raw, || Echo).unwrap());
    assert!(path.exists());
    let path = folder.path().join("handed-over.sock");
    let server = Server::new().cores(1).listen(format!("unix://{}", path.display()), Raw, || Echo).unwrap();
    let duplicates = server.duplicate_listeners().unwrap().remove(0);
    Running::start(server).stop(PATIENCE);
    let _next = Running::start(Server::new().cores(1).listen(duplicates, Raw, || Echo).unwrap());
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
}

/// IPv6 leaves the port of IPv4 to others, where that is said.
#[test]
fn both_families_may_have_a_port_each() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let listen = |address: String| Server::new().cores(2).listen(address, Raw, || Echo);
    let six = listen("tcp6://:0".to_owned()).unwrap();
    let port = six.local_addrs()[0].as_socket().unwrap().port();
    let four = listen(format!("tcp4://:{port}")).unwrap();
    let (_six, four) = (Running::start(six), Running::start(four));
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    echoes(&mut stream, b"four");
    until("it is there", || four.handle.connections() == 1);
}

/// Whether this host has IPv6.
fn has_v6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

/// Says who has come, and echoes.
#[derive(Clone)]
struct Whence(Sender<(Address, Address)>);

impl Handler for Whence {
    type Codec = Raw;

    async fn on_open(&mut self, conn: &mut Conn<Raw>) -> Result {
        self.0.send((conn.peer_addr()?.clone(), conn.local_addr()?))?;
        Ok(())
    }

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

#[test]
fn no_host_is_every_interface_by_both_families() {
    for cores in CORES {
        for balance in [Balance::Kernel, Balance::RoundRobin] {
            let (tell, told) = events();
            let whence = Whence(tell);
            let server = Server::new().cores(cores).balance(balance);
            let server = Running::start(server.listen("tcp://:0", Raw, move || whence.clone()).unwrap());
            let port = server.address.port().unwrap();
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            echoes(&mut stream, b"four");
            let (peer, local) = told.next();
            assert_eq!(peer.to_string(), stream.local_addr().unwrap().to_string());
            assert_eq!(local.to_string(), format!("127.0.0.1:{port}"));
            if has_v6() {
                let mut stream = TcpStream::connect(("::1", port)).unwrap();
                echoes(&mut stream, b"six");
                assert_eq!(told.next().0.to_string(), stream.local_addr().unwrap().to_string());
            }
            // The text that it listens on is a place to connect to.
            tiderace::block_on(async {
                for to in [format!("tcp://:{port}"), format!("tcp4://:{port}"), server.address.to_string()] {
                    connect(to).await.unwrap();
                    told.next();
                }
            });
        }
    }
}

#[test]
fn no_host_takes_the_port_of_both_families() {
    let server = Server::new().cores(1).listen("tcp://:0", Raw, || Echo).unwrap();
    let port = server.local_addrs()[0].port().unwrap();
    for taken in [format!("tcp://:{port}"), format!("tcp4://:{port}"), format!("tcp://0.0.0.0:{port}")] {
        let error = Server::new().listen(&taken, Raw, || Echo).unwrap_err();
        let Error::Bind { address, source } = &error else { panic!("{error}") };
        assert_eq!((address, source.kind()), (&taken, std::io::ErrorKind::AddrInUse));
    }
}

#[test]
fn source_hash_sees_the_address_of_ipv4() {
    const CORES: usize = 4;
    let core_of = |on: &str| {
        let (tell, told) = events();
        let place = Where(tell);
        let server = Server::new().cores(CORES).balance(Balance::SourceHash);
        let server = Running::start(server.listen(on, Raw, move || place.clone()).unwrap());
        let port = server.address.port().unwrap();
        let _stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        told.next().0
    };
    assert_eq!(core_of("tcp://:0"), core_of("tcp4://:0"));
}

#[test]
fn options_that_do_not_apply_are_refused_by_name() {
    let folder = folder();
    let unix = format!("unix://{}", folder.path().join("options.sock").display());
    type Set = fn(Bind) -> Bind;
    let of_streams: [(&str, Set); 4] = [
        ("no_delay", |bind| bind.no_delay(true)),
        ("keep_alive", |bind| bind.keep_alive(KeepAlive::after(Duration::from_secs(9)))),
        ("linger", |bind| bind.linger(Duration::ZERO)),
        ("reuse_address", |bind| bind.reuse_address(true)),
    ];
    let of_unix: [(&str, Set); 2] =
        [("reuse_port", |bind| bind.reuse_port(true)), ("device", |bind| bind.device("lo"))];
    for (option, set) in of_streams.into_iter().chain(of_unix) {
        let error = Server::new().listen(set(Bind::to(&unix).unwrap()), Raw, || Echo).unwrap_err();
        assert_eq!(error.to_string(), format!("{option} does not apply to a Unix socket"));
        assert!(!folder.path().join("options.sock").exists());
    }
    assert!(Server::new().listen(format!("{unix}?reuseport=true"), Raw, || Echo).is_err());
    let of_connections: [(&str, Set); 3] = [
        ("backlog", |bind| bind.backlog(7)),
        ("max_connections", |bind| bind.max_connections(7)),
        ("refusal", |bind| bind.refusal("not now\n")),
    ];
    for (option, set) in of_streams.into_iter().take(3).chain(of_connections) {
        let bind = set(Bind::to("udp://127.0.0.1:0").unwrap());
        let error = Server::new().listen_udp(bind, || Deaf).unwrap_err();
        assert!(matches!(error, Error::Address(AddressError::Inapplicable { option: named, .. }) if named == option));
    }
}

/// Hears datagrams, and does nothing with them.
struct Deaf;

impl DatagramHandler for Deaf {
    async fn on_datagram(&mut self, _: &UdpSocket, _: &[u8], _: Peer) -> Result {
        Ok(())
    }
}

#[cfg(target_os = "linux")]
#[test]
fn reuse_address_lets_several_hear_the_same_port() {
    let bind = |address: &Address, reuse| Bind::to(address).unwrap().reuse_address(reuse).reuse_port(false);
    let any = "127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into();
    let first = Server::new().cores(1).listen_udp(bind(&any, true), || Deaf).unwrap();
    let address = first.local_addrs()[0].clone();
    Server::new().cores(1).listen_udp(bind(&address, false), || Deaf).unwrap_err();
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    other.set_reuse_address(true).unwrap();
    other.bind(&address.as_socket().unwrap().into()).unwrap();
}

#[test]
fn stale_socket_file_is_replaced_by_one_server_of_several_that_begin_at_once() {
    const SERVERS: usize = 4;
    let folder = folder();
    let path = folder.path().join("stale.sock");
    let address = format!("unix://{}", path.display());
    for round in 0..200 {
        drop(UnixListener::bind(&path).unwrap());
        let barrier = std::sync::Barrier::new(SERVERS);
        let begun: Vec<Server> = std::thread::scope(|scope| {
            let begin = || {
                barrier.wait();
                Server::new().cores(1).listen(&address, Raw, || Echo)
            };
            let threads: Vec<_> = (0..SERVERS).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
        });
        assert_eq!(begun.len(), 1, "in round {round}");
        UnixStream::connect(&path).unwrap();
        drop(begun);
        assert!(!path.exists());
    }
}
