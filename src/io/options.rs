//! Socket options, before and after a socket is connected.

use crate::limits;
use socket2::{SockAddr, SockRef, TcpKeepalive};
use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// When TCP asks a silent peer whether it is still there (tcp(7)): after how long, how often again, and how many questions
/// may stay unanswered before the connection is reset.
///
/// ```
/// use std::time::Duration;
/// use tiderace::KeepAlive;
///
/// let keep_alive = KeepAlive::after(Duration::from_secs(60)).every(Duration::from_secs(10)).at_most(3);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    idle: Duration,
    interval: Option<Duration>,
    count: Option<u32>,
}

impl KeepAlive {
    /// The first question comes after this time of silence, in seconds, rounded up.
    pub fn after(idle: Duration) -> KeepAlive {
        KeepAlive { idle, interval: None, count: None }
    }

    /// How long to wait for each answer, in seconds, rounded up. Default: the system's, 75 seconds on Linux.
    pub fn every(mut self, interval: Duration) -> KeepAlive {
        self.interval = Some(interval);
        self
    }

    /// How many questions may stay unanswered. Default: the system's, 9 on Linux.
    pub fn at_most(mut self, questions: u32) -> KeepAlive {
        self.count = Some(questions);
        self
    }

    fn to_system(self) -> TcpKeepalive {
        let mut system = TcpKeepalive::new().with_time(whole_seconds(self.idle));
        if let Some(interval) = self.interval {
            system = system.with_interval(whole_seconds(interval));
        }
        if let Some(count) = self.count {
            system = system.with_retries(count);
        }
        system
    }
}

/// The options of an open socket. What they mean is in socket(7) and tcp(7); whatever is not here can be set through the
/// descriptor, with `socket2` for example.
///
/// Those of TCP fail on a Unix socket.
#[derive(Debug)]
pub struct SocketOptions<'a> {
    socket: BorrowedFd<'a>,
    lingers: Option<&'a Lingers>,
}

/// Whether a close of this socket would wait in the kernel (`SO_LINGER` above zero).
pub(super) type Lingers = Cell<bool>;

impl<'a> SocketOptions<'a> {
    pub(crate) fn of(socket: BorrowedFd<'a>) -> SocketOptions<'a> {
        SocketOptions { socket, lingers: None }
    }

    /// Notes in `lingers` what is set.
    pub(super) fn noting(socket: BorrowedFd<'a>, lingers: &'a Lingers) -> SocketOptions<'a> {
        SocketOptions { socket, lingers: Some(lingers) }
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.socket)
    }

    /// Whether small segments leave at once (`TCP_NODELAY`). Connections of this library begin with yes: their writes are
    /// gathered already.
    pub fn set_no_delay(&self, no_delay: bool) -> io::Result<()> {
        self.socket().set_tcp_nodelay(no_delay)
    }

    /// What was set by [`set_no_delay`](SocketOptions::set_no_delay).
    pub fn no_delay(&self) -> io::Result<bool> {
        self.socket().tcp_nodelay()
    }

    /// Asks a silent peer whether it is there, or no longer does (`SO_KEEPALIVE`).
    pub fn set_keep_alive(&self, keep_alive: Option<KeepAlive>) -> io::Result<()> {
        match keep_alive {
            Some(keep_alive) => self.socket().set_tcp_keepalive(&keep_alive.to_system()),
            None => self.socket().set_keepalive(false),
        }
    }

    /// Whether a silent peer is asked.
    pub fn keep_alive(&self) -> io::Result<bool> {
        self.socket().keepalive()
    }

    /// The kernel's buffer for what was received, in bytes (`SO_RCVBUF`). Linux doubles what is set and then leaves off
    /// fitting it to the connection.
    pub fn set_recv_buffer(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_recv_buffer_size(bytes)
    }

    /// The size of that buffer.
    pub fn recv_buffer(&self) -> io::Result<usize> {
        self.socket().recv_buffer_size()
    }

    /// The kernel's buffer for what is to be sent, in bytes (`SO_SNDBUF`).
    pub fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_send_buffer_size(bytes)
    }

    /// The size of that buffer.
    pub fn send_buffer(&self) -> io::Result<usize> {
        self.socket().send_buffer_size()
    }

    /// What becomes of bytes that the kernel has not sent when the descriptor closes (`SO_LINGER`). Zero drops them and
    /// resets the connection. `None`, and any other time, lets the kernel send them in the background.
    ///
    /// The kernel counts whole seconds: a part of one is rounded up, and more than 65,535 becomes 65,535. It would keep the
    /// thread that closes waiting for that time, with all other connections of the core, so this library takes the option
    /// back before it closes the descriptor. The time holds for a descriptor that leaves the library, as by
    /// [`into_fd`](crate::Stream::into_fd). How long this library waits for a peer is the server's
    /// [`close_timeout`](crate::Server::close_timeout).
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        let linger = linger.map(whole_seconds);
        self.socket().set_linger(linger)?;
        if let Some(lingers) = self.lingers {
            lingers.set(linger.is_some_and(|linger| !linger.is_zero()));
        }
        Ok(())
    }

    /// What was set by [`set_linger`](SocketOptions::set_linger).
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket().linger()
    }
}

/// Rounded up, and not more than every system can count.
fn whole_seconds(duration: Duration) -> Duration {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    Duration::from_secs(seconds.min(u16::MAX.into()))
}

/// Whether a close of the socket, and of those that it has accepted, waits in the kernel.
pub(super) fn lingers(socket: &socket2::SockRef<'_>) -> bool {
    matches!(socket.linger(), Ok(Some(linger)) if !linger.is_zero())
}

/// What can be set of a listener. Accepted connections inherit those that concern them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenOptions {
    pub(crate) backlog: Option<u32>,
    pub(crate) reuse_address: Option<bool>,
    /// Let sockets of other processes, too, listen there.
    pub(crate) reuse_port: bool,
    pub(crate) only_v6: bool,
    pub(crate) no_delay: Option<bool>,
    pub(crate) keep_alive: Option<KeepAlive>,
    pub(crate) recv_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) linger: Option<Duration>,
    pub(crate) device: Option<String>,
}

impl ListenOptions {
    /// The first option that was set and means nothing for a Unix socket.
    pub(crate) fn inapplicable_to_unix(&self) -> Option<&'static str> {
        let options = [
            ("reuse_address", self.reuse_address.is_some()),
            ("reuse_port", self.reuse_port),
            ("no_delay", self.no_delay.is_some()),
            ("keep_alive", self.keep_alive.is_some()),
            ("linger", self.linger.is_some()),
            ("device", self.device.is_some()),
        ];
        options.into_iter().find_map(|(name, is_set)| is_set.then_some(name))
    }

    /// The first option that was set and means nothing for a socket for datagrams.
    pub(crate) fn inapplicable_to_datagrams(&self) -> Option<&'static str> {
        let options = [
            ("backlog", self.backlog.is_some()),
            ("no_delay", self.no_delay.is_some()),
            ("keep_alive", self.keep_alive.is_some()),
            ("linger", self.linger.is_some()),
        ];
        options.into_iter().find_map(|(name, is_set)| is_set.then_some(name))
    }

    pub(super) fn backlog(&self) -> i32 {
        self.backlog.unwrap_or(limits::BACKLOG).try_into().unwrap_or(i32::MAX)
    }

    /// Sets what must be set before the socket is bound, and what accepted sockets inherit.
    pub(crate) fn apply(&self, socket: &socket2::Socket, address: &SockAddr) -> io::Result<()> {
        let options = SocketOptions::of(socket.as_fd());
        self.apply_family(socket, address)?;
        if !address.is_unix() {
            // A port whose last connections are still in TIME_WAIT may be bound again.
            socket.set_reuse_address(self.reuse_address.unwrap_or(true))?;
            options.set_no_delay(self.no_delay.unwrap_or(true))?;
            if self.keep_alive.is_some() {
                options.set_keep_alive(self.keep_alive)?;
            }
            if let Some(device) = &self.device {
                bind_to_device(socket, device)?;
            }
        }
        if self.linger.is_some() {
            options.set_linger(self.linger)?;
        }
        self.apply_buffers(&options)
    }

    /// Sets what concerns a socket for datagrams. It may always take the address of one that is gone, because nothing of that
    /// can arrive late; `SO_REUSEADDR` lets two that are open have it.
    pub(crate) fn apply_to_datagrams(&self, socket: &socket2::Socket, address: &SockAddr) -> io::Result<()> {
        self.apply_family(socket, address)?;
        if let Some(reuse) = self.reuse_address {
            socket.set_reuse_address(reuse)?;
        }
        if let Some(device) = &self.device {
            bind_to_device(socket, device)?;
        }
        self.apply_buffers(&SocketOptions::of(socket.as_fd()))
    }

    /// Has a socket that is not bound yet share its port with others of this process (`SO_REUSEPORT`): on Linux the kernel
    /// spreads peers over them; elsewhere it may leave them all to one, and sharing is for handing over.
    pub(super) fn share_port(
        &self,
        socket: &socket2::Socket,
        address: &SockAddr,
        probe: impl FnOnce() -> io::Result<socket2::Socket>,
    ) -> io::Result<()> {
        if !self.reuse_port {
            // Another process that also shares the port would be let in; so first see that nobody has it.
            probe()?.bind(address)?;
        }
        socket.set_reuse_port(true)
    }

    /// What is said to be of IPv6 leaves IPv4 to others, and what is not takes it, too (ipv6(7)): a system's default may be
    /// either.
    fn apply_family(&self, socket: &socket2::Socket, address: &SockAddr) -> io::Result<()> {
        if !address.is_ipv6() {
            return Ok(());
        }
        match socket.set_only_v6(self.only_v6) {
            // Some systems always keep the families apart.
            Err(_) if !self.only_v6 => Ok(()),
            set => set,
        }
    }

    fn apply_buffers(&self, options: &SocketOptions<'_>) -> io::Result<()> {
        if let Some(bytes) = self.recv_buffer {
            options.set_recv_buffer(bytes)?;
        }
        if let Some(bytes) = self.send_buffer {
            options.set_send_buffer(bytes)?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn bind_to_device(socket: &socket2::Socket, device: &str) -> io::Result<()> {
    socket.bind_device(Some(device.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn bind_to_device(_: &socket2::Socket, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
