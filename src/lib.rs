//! Event-driven networking: one reactor per core, ring buffers, pluggable protocols, timers, and handlers that are
//! `async fn`.
//!
//! ```no_run
#![doc = include_str!("../examples/sum.rs")]
//! ```
//!
//! A [`Server`] runs one *core* for each processor: a thread with its own poller, executor, timers and buffers. Whoever
//! connects gets a [`Handler`] of their own, which lives on one core, and is called with the messages that a [codec] has cut
//! out of the stream. [`Framed`] is the same codec driven by hand, on a [`Stream`] made by [`connect`].
//!
//! # What there is
//!
//! | for | take |
//! |---|---|
//! | servers | [`Server`] and its [`ServerHandle`]; [`Bind`] for options of a listener; [`Balance`] to spread connections |
//! | connections | [`Handler`], [`Conn`], which it is lent, and [`Handle`] for other threads and tasks; [`CloseReason`] |
//! | protocols | the [codec]s `Raw`, `Lines`, `Delimiter`, `LengthDelimited`, `Fixed` and `Peek`; [`Decoder`](codec::Decoder) and [`Encoder`](codec::Encoder) for one of your own |
//! | clients | [`connect`] and [`Connector`]; [`Framed`] or [`Stream::serve`]; a [`Client`] that stays connected |
//! | one message to many | [`Group`] |
//! | datagrams | [`DatagramHandler`], [`UdpSocket`] and [`UdpSender`]; [`Peer`] is the address to answer to |
//! | tasks and time | [`spawn_local`], [`block_on`], [`sleep`], [`interval`], [`timeout`], [`after`], [`every`] |
//!
//! The [book](https://github.com/tiderace/tiderace/blob/HEAD/book/src/SUMMARY.md) introduces all of it, from the first server
//! on. How it works inside is in
//! [ARCHITECTURE.md](https://github.com/tiderace/tiderace/blob/HEAD/ARCHITECTURE.md).
//!
//! There is no TLS yet, and the runtime is the library's own: what needs tokio's runs
//! [beside it](https://github.com/tiderace/tiderace/blob/HEAD/book/src/other-threads.md#crates-that-need-tokio).
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | adds |
//! |---|---|
//! | `blocking` | `spawn_blocking`: work that blocks, on a bounded pool of threads |
//! | `files` | the module `files`: a folder over HTTP, with conditions and ranges |
//! | `gzip` | `Response::gzip`: responses that are compressed where the peer takes that |
//! | `http` | the module `http`: HTTP/1.1 for servers |
//! | `http-types` | requests and responses of HTTP from and to the types of the crate `http` |
//! | `metrics` | counters and histograms of every core, `ServerHandle::metrics`, and a page for Prometheus |
//! | `protobuf` | the module `protobuf`: messages of `prost`, of one type or of several |
//! | `resp` | the module `resp`: the protocol of Redis, for servers and clients; and `redis`: a client that stays connected |
//! | `websocket` | the module `websocket`: RFC 6455, for servers and clients |
//! | `signal` | `Signals`, and `Server::stop_on_signal` |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(missing_docs, unreachable_pub, clippy::print_stdout, clippy::print_stderr)]

mod buffer;
mod client;
pub mod codec;
mod connection;
mod error;
#[cfg(feature = "files")]
#[cfg_attr(docsrs, doc(cfg(feature = "files")))]
pub mod files;
mod framed;
mod group;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod io;
mod limits;
mod meter;
#[cfg(feature = "metrics")]
mod metrics;
mod net;
#[cfg(feature = "protobuf")]
#[cfg_attr(docsrs, doc(cfg(feature = "protobuf")))]
pub mod protobuf;
#[cfg(feature = "resp")]
#[cfg_attr(docsrs, doc(cfg(feature = "resp")))]
pub mod redis;
#[cfg(feature = "resp")]
#[cfg_attr(docsrs, doc(cfg(feature = "resp")))]
pub mod resp;
mod runtime;
mod server;
#[cfg(feature = "signal")]
mod signal;
mod slots;
mod timer;
#[cfg(feature = "websocket")]
#[cfg_attr(docsrs, doc(cfg(feature = "websocket")))]
pub mod websocket;

pub use client::{Backoff, Client, Connector, connect};
pub use connection::{Conn, ConnectionId, Handle, HandleSendError, Handler, TrySendError};
pub use error::{CloseKind, CloseReason, Error, Result, TimeLimit};
pub use framed::Framed;
pub use group::{Group, SlowMember};
pub use io::{Address, AddressError, Endpoint, KeepAlive, Peer, SocketOptions};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use metrics::{CoreMetrics, Histogram, Metrics};
pub use net::{DatagramHandler, Stream, UdpSender, UdpSocket, WriteEvent};
#[cfg(feature = "blocking")]
#[cfg_attr(docsrs, doc(cfg(feature = "blocking")))]
pub use runtime::spawn_blocking;
pub use runtime::{
    Elapsed, Interval, JoinError, JoinHandle, Sleep, Timeout, after, at, block_on, every, interval, sleep, sleep_until,
    spawn_local, timeout, yield_now,
};
pub use server::{Balance, Bind, Choose, ForEach, Listen, ListenUdp, Refusal, Server, ServerHandle, Tick};
#[cfg(feature = "signal")]
#[cfg_attr(docsrs, doc(cfg(feature = "signal")))]
pub use signal::{Signal, Signals};

/// The programs of the book, compiled and run as documentation is.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../book/src/connections.md")]
    struct Connections;
    #[doc = include_str!("../book/src/own-protocol.md")]
    struct OwnProtocol;
    #[doc = include_str!("../book/src/timers.md")]
    struct Timers;
    #[doc = include_str!("../book/src/other-threads.md")]
    struct OtherThreads;
    #[doc = include_str!("../book/src/groups.md")]
    struct Groups;
    #[doc = include_str!("../book/src/cores.md")]
    struct Cores;
    #[doc = include_str!("../book/src/datagrams.md")]
    struct Datagrams;
    #[doc = include_str!("../book/src/clients.md")]
    struct Clients;
    #[cfg(feature = "websocket")]
    #[doc = include_str!("../book/src/websocket.md")]
    struct WebSocket;
    #[cfg(feature = "http")]
    #[doc = include_str!("../book/src/http.md")]
    struct Http;
    #[cfg(feature = "http")]
    #[doc = include_str!("../book/src/files.md")]
    struct Files;
    #[cfg(feature = "protobuf")]
    #[doc = include_str!("../book/src/protobuf.md")]
    struct Protobuf;
    #[cfg(feature = "resp")]
    #[doc = include_str!("../book/src/redis.md")]
    struct Redis;
    #[doc = include_str!("../book/src/coming-from-go.md")]
    struct ComingFromGo;
}
