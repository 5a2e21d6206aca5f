//! Each server is what somebody who knows its library would write.

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use tiderace::codec::{LengthDelimited, Raw};
use tiderace::{Conn, Handler, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ASKED_FOR: &str = "TIDERACE_VERSUS";

#[derive(Clone, Copy, PartialEq)]
pub enum Server {
    RawEpoll,
    Tiderace,
    TideraceFrames,
    Tokio,
    TokioFrames,
}

impl Server {
    const ALL: [Server; 5] =
        [Server::RawEpoll, Server::Tiderace, Server::TideraceFrames, Server::Tokio, Server::TokioFrames];

    pub fn name(self) -> &'static str {
        match self {
            Server::RawEpoll => "raw epoll",
            Server::Tiderace => "tiderace",
            Server::TideraceFrames => "tiderace LengthDelimited",
            Server::Tokio => "tokio",
            Server::TokioFrames => "tokio-util",
        }
    }

    /// The server that this process is to be, and where.
    pub fn asked_for() -> Option<Server> {
        let name = std::env::var(ASKED_FOR).ok()?;
        Server::ALL.into_iter().find(|server| server.name() == name)
    }

    /// Starts the server as a process of its own, on one core.
    pub fn start(self) -> (Child, SocketAddr) {
        let program = std::env::current_exe().expect("this program has a path");
        let mut child = Command::new(program).env(ASKED_FOR, self.name()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        (child, line.trim().parse().expect("the server says where it listens"))
    }

    /// Serves for ever.
    pub fn serve(self) -> ! {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        println!("{}", listener.local_addr().unwrap());
        match self {
            Server::RawEpoll => raw_epoll(&listener),
            Server::Tiderace => {
                let server = tiderace::Server::new().cores(1).listen(listener, Raw, || Echo);
                server.and_then(tiderace::Server::run).unwrap();
            }
            Server::TideraceFrames => {
                let codec = LengthDelimited::default();
                let server = tiderace::Server::new().cores(1).listen(listener, codec, || EchoFrames);
                server.and_then(tiderace::Server::run).unwrap();
            }
            Server::Tokio => tokio_server(listener, echo),
            Server::TokioFrames => tokio_server(listener, echo_frames),
        }
        unreachable!("servers serve for ever");
    }
}

struct Echo;

impl Handler for Echo {
    type Codec = Raw;

    async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> Result {
        conn.send(bytes).await
    }
}

struct EchoFrames;

impl Handler for EchoFrames {
    type Codec = LengthDelimited;

    async fn on_message(&mut self, conn: &mut Conn<LengthDelimited>, frame: &[u8]) -> Result {
        conn.send(frame).await
    }
}

/// The least that an echo server can do: one registration a connection, one read and one write a message, one buffer for
/// all. A client that does not read its answers is beyond it.
fn raw_epoll(listener: &TcpListener) {
    listener.set_nonblocking(true).unwrap();
    let poller = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    epoll::add(&poller, listener, EventData::new_u64(u64::MAX), EventFlags::IN).unwrap();
    let mut connections: Vec<Option<OwnedFd>> = Vec::new();
    let mut events = Vec::with_capacity(256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        events.clear();
        epoll::wait(&poller, spare_capacity(&mut events), None).unwrap();
        for event in &events {
            let data = event.data;
            if data.u64() == u64::MAX {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    stream.set_nodelay(true).unwrap();
                    let both = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                    epoll::add(&poller, &stream, EventData::new_u64(connections.len() as u64), both).unwrap();
                    connections.push(Some(stream.into()));
                }
                continue;
            }
            let connection = &mut connections[data.u64() as usize];
            if connection.as_ref().is_some_and(|fd| !pump(fd, &mut buffer)) {
                *connection = None;
            }
        }
    }
}

/// Sends back what is there; says whether the connection goes on.
fn pump(socket: impl AsFd, buffer: &mut [u8]) -> bool {
    loop {
        let read = match rustix::io::read(&socket, &mut *buffer) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error == rustix::io::Errno::AGAIN,
        };
        let mut written = 0;
        while written < read {
            match rustix::io::write(&socket, &buffer[written..read]) {
                Ok(n) => written += n,
                Err(rustix::io::Errno::AGAIN) => std::thread::yield_now(),
                Err(_) => return false,
            }
        }
        if read < buffer.len() {
            return true;
        }
    }
}

fn tokio_server<F: Future<Output = ()> + 'static>(listener: TcpListener, serve: fn(tokio::net::TcpStream) -> F) {
    listener.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            tokio::task::spawn_local(serve(stream));
        }
    });
}

async fn echo(mut stream: tokio::net::TcpStream) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Answers every frame that has been decoded before it flushes, as a careful user of tokio-util would.
async fn echo_frames(stream: tokio::net::TcpStream) {
    use futures_util::{SinkExt, StreamExt};
    let (mut sink, stream) = tokio_util::codec::LengthDelimitedCodec::builder().new_framed(stream).split();
    let mut batches = stream.ready_chunks(64);
    while let Some(batch) = batches.next().await {
        for frame in batch {
            let Ok(frame) = frame else { return };
            if sink.feed(frame.freeze()).await.is_err() {
                return;
            }
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}
