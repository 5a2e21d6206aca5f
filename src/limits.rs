//! Every default limit in one place, each with its reason. Nothing that a peer can grow is without one.

use std::time::Duration;

/// An unfinished frame of a decoder that names no maximum of its own: generous for a protocol of messages, and still
/// only 1 GiB for a thousand hostile peers.
pub(crate) const UNFINISHED_FRAME: usize = 1024 * 1024;

/// The longest frame that the stock codecs accept unless told otherwise. Most protocols need far less.
pub(crate) const FRAME: usize = 64 * 1024;

/// Bytes that may wait in a connection's write queue before `send` waits and `try_send` refuses.
pub(crate) const WRITE_HIGH_WATER: u32 = 256 * 1024;

/// Where a `send` that waits goes on: half, so that it wakes seldom.
pub(crate) const WRITE_LOW_WATER: u32 = WRITE_HIGH_WATER / 2;

/// How long the polling before a sleep may take: what a sleep and a wake cost on a virtual machine, times three.
pub(crate) const BUSY_POLL: Duration = Duration::from_micros(50);

/// How long a closing connection may stand still: while it delivers what is queued, and while it waits for the peer's end.
pub(crate) const CLOSE: Duration = Duration::from_secs(5);

/// How many times that a closed connection waits in all for the end of a peer that has everything, and goes on sending: half a
/// minute by default, as nginx does (`lingering_time`).
pub(crate) const LINGER: u32 = 6;

/// Bytes that a closing connection throws away before it is read from no more: a refused upload of most sizes still ends, so that its
/// peer comes to read why it was refused, and one that only sends cannot keep a core busy.
pub(crate) const LINGER_BYTES: usize = 32 * 1024 * 1024;

/// How long it may take to connect: past three retransmissions of a SYN (RFC 6298: after 1, 3 and 7 seconds), and the
/// fourth.
pub(crate) const CONNECT: Duration = Duration::from_secs(30);

/// How long one address may take before the next is tried as well: what RFC 8305 (section 5) recommends.
pub(crate) const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Look-ups of names that run at once, each on a thread: the system's resolver blocks for as long as the servers of names
/// take, 5 seconds a try. And those that may wait for a thread.
pub(crate) const LOOK_UPS: usize = 16;
pub(crate) const LOOK_UPS_WAITING: usize = 16 * 1024;

/// The pauses before a Unix socket whose backlog is full is tried again: a server that runs makes room within the first.
pub(crate) const FULL_BACKLOG_FIRST: Duration = Duration::from_millis(1);
pub(crate) const FULL_BACKLOG_MAX: Duration = Duration::from_millis(50);

/// The pauses of a client that connects again.
pub(crate) const RECONNECT_FIRST: Duration = Duration::from_millis(100);
pub(crate) const RECONNECT_MAX: Duration = Duration::from_secs(30);

/// The head of a request. Browsers send a few kilobytes, cookies included.
#[cfg(feature = "http")]
pub(crate) const HTTP_HEAD: usize = 16 * 1024;
#[cfg(feature = "http")]
pub(crate) const HTTP_FIELDS: usize = 100;

/// The body of a request that is taken as a whole.
#[cfg(feature = "http")]
pub(crate) const HTTP_BODY: usize = 1024 * 1024;

/// How long the head of a request may take, from its first byte or from the beginning of its connection; and how much of a body
/// is to come in how long: a modem of the nineties sends ten times as much.
#[cfg(feature = "http")]
pub(crate) const HTTP_HEAD_TIME: Duration = Duration::from_secs(30);
#[cfg(feature = "http")]
pub(crate) const HTTP_BODY_STEP: u64 = 8 * 1024;
#[cfg(feature = "http")]
pub(crate) const HTTP_BODY_TIME: Duration = Duration::from_secs(30);

/// How long a connection is kept for another request: longer than browsers (Chromium: 60 s) and proxies (nginx: 60 s) keep theirs
/// mostly, because the side that closes first is the one that does not lose a request by that.
#[cfg(feature = "http")]
pub(crate) const HTTP_IDLE: Duration = Duration::from_secs(75);

/// How often a stream of events has a comment: what the HTML Standard (section 9.2.7) recommends.
#[cfg(feature = "http")]
pub(crate) const HTTP_HEARTBEAT: Duration = Duration::from_secs(15);

/// Parts of a representation that one request may ask for: what readers of documents and of archives ask for, and no more
/// (RFC 9110, section 17.15).
#[cfg(feature = "http")]
pub(crate) const HTTP_RANGES: usize = 16;

/// Shorter bodies fit into one packet as they are, and are not worth the time that it takes to compress them.
#[cfg(feature = "gzip")]
pub(crate) const HTTP_COMPRESSED: usize = 1024;

/// The body of a request to a server that shows only handshakes to its handlers, and these seldom have one.
#[cfg(feature = "websocket")]
pub(crate) const HANDSHAKE_BODY: usize = 8 * 1024;

/// A WebSocket's message, and its fragments.
#[cfg(feature = "websocket")]
pub(crate) const WEBSOCKET_MESSAGE: usize = 1024 * 1024;
#[cfg(feature = "websocket")]
pub(crate) const WEBSOCKET_FRAGMENTS: u32 = 131_072;

/// Shorter messages are not worth the time that it takes to compress them.
#[cfg(feature = "websocket")]
pub(crate) const WEBSOCKET_COMPRESSED: usize = 1024;

/// Pings and the like that a peer may send in a second: far more than anybody has a use for.
#[cfg(feature = "websocket")]
pub(crate) const WEBSOCKET_CONTROLS: u32 = 1000;

/// Provisional responses (`1xx`) before the answer to a client's handshake. A server has use for one or two.
#[cfg(feature = "websocket")]
pub(crate) const WEBSOCKET_PROVISIONAL: u32 = 16;

/// What a client keeps of the body of a refusal, and how long it waits for that: enough to say why.
#[cfg(feature = "websocket")]
pub(crate) const WEBSOCKET_REFUSAL: usize = 16 * 1024;
#[cfg(feature = "websocket")]
pub(crate) const WEBSOCKET_REFUSAL_TIME: Duration = Duration::from_secs(5);

/// How long a server may be silent before its client gives it up. The client asks for a sign of life after half of it, which keeps
/// the connection alive in most middleboxes, too.
#[cfg(feature = "websocket")]
pub(crate) const WEBSOCKET_CLIENT_IDLE: Duration = Duration::from_secs(60);

/// What may be set as the longest body or message: beyond it, lengths and what is around them could no longer be added up.
#[cfg(feature = "http")]
pub(crate) const LONGEST: usize = isize::MAX as usize / 4;

/// Arguments of a RESP command; a typed one; the whole of a reply, which a client's own server has chosen; and how deep it may
/// go, where Redis's own replies go 5 deep.
#[cfg(feature = "resp")]
pub(crate) const RESP_ARGUMENTS: usize = 65_536;
#[cfg(feature = "resp")]
pub(crate) const RESP_LINE: usize = 64 * 1024;
#[cfg(feature = "resp")]
pub(crate) const RESP_REPLY: usize = 16 * 1024 * 1024;
#[cfg(feature = "resp")]
pub(crate) const RESP_DEPTH: usize = 16;

/// How long a Redis may take to answer, to be connected to and to greet: it answers in microseconds, and a failover takes seconds.
#[cfg(feature = "resp")]
pub(crate) const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

/// When a Redis that is asked nothing is asked for a sign of life: before the state of a firewall or a translator of addresses is
/// forgotten, half a minute at the least.
#[cfg(feature = "resp")]
pub(crate) const REDIS_KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The longest pause before a Redis is connected to again: within it, commands that wait have not come to the end of their time.
#[cfg(feature = "resp")]
pub(crate) const REDIS_RECONNECT_MAX: Duration = Duration::from_secs(2);

/// Commands that may wait for their replies, and bytes of them that the server does not take.
#[cfg(feature = "resp")]
pub(crate) const REDIS_IN_FLIGHT: usize = 65_536;
#[cfg(feature = "resp")]
pub(crate) const REDIS_QUEUED: u32 = 16 * 1024 * 1024;

/// Commands that may wait for a connection, and their bytes: what a busy core asks in a few milliseconds. More would be stale
/// when it is sent.
#[cfg(feature = "resp")]
pub(crate) const REDIS_UNSENT: usize = 4096;
#[cfg(feature = "resp")]
pub(crate) const REDIS_UNSENT_BYTES: usize = 1024 * 1024;

/// Messages of a subscription that may wait for their reader, and their bytes.
#[cfg(feature = "resp")]
pub(crate) const REDIS_MESSAGES: usize = 1024;
#[cfg(feature = "resp")]
pub(crate) const REDIS_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Connections that the page of metrics may have.
#[cfg(feature = "metrics")]
pub(crate) const PAGES: usize = 64;

/// What senders in other threads and tasks may have under way to a socket for datagrams, in bytes: 10,000 usual datagrams.
pub(crate) const SEND_QUEUE: usize = 2 * 1024 * 1024;

/// What a queued datagram counts for besides its payload: about what it takes in memory, so that empty ones are bounded, too.
pub(crate) const DATAGRAM_OVERHEAD: usize = 64;

/// Bytes that handles may have waiting for one connection, on their way to its core and in its write queue above the
/// high-water mark: a burst of 30,000 small messages, and still only 2 GiB for a thousand peers that do not read.
pub(crate) const HANDLE_BYTES: usize = 2 * 1024 * 1024;

/// What each message counts at least that a handle sends to another core: what it takes to keep it.
pub(crate) const HANDLE_MESSAGE: usize = 64;

/// Bytes of a group's messages that may be under way to a core, so that a burst does not fail while the core is busy; and what
/// each message counts besides its own, because it takes as much to keep it.
pub(crate) const GROUP_IN_FLIGHT: usize = 4 * 1024 * 1024;
pub(crate) const GROUP_MESSAGE: usize = 128;

/// Connections that may wait to be accepted; the system may hold it lower (`net.core.somaxconn`).
pub(crate) const BACKLOG: u32 = 4096;

/// Connections that are accepted from one listener in one turn.
pub(crate) const ACCEPT: usize = 64;

/// How long a server that stops waits for the first message of a connection, once nothing is accepted any more: a request
/// that was sent with the connection comes within one round trip, and what is lost on the way is sent again after 200 ms
/// (Linux) or a second (RFC 6298).
pub(crate) const STOP_FIRST_MESSAGE: Duration = Duration::from_secs(1);

/// Sockets of refused connections that a listener keeps on a core until their peers have read why, and for how long: a round
/// trip over any distance. More than these are closed at once, which can cost the peer what it was told.
pub(crate) const REFUSED: usize = 256;
pub(crate) const REFUSED_LINGER: Duration = Duration::from_secs(1);

/// When a ticker whose first call has panicked is called again.
pub(crate) const TICK_AFTER_PANIC: Duration = Duration::from_secs(1);

/// Accepted connections that may wait for another core to take them: more than come while it is kept from running.
pub(crate) const INTAKE: usize = 16 * 1024;
