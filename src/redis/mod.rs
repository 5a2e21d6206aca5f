//! A client of Redis, on the library's own cores. Feature `resp`.
//!
//! [`Redis`] is one connection that all tasks of a core share. It matches replies to commands, sends the commands of a turn
//! together, connects again, and notices a server that does not answer.
//!
//! ```no_run
//! use tiderace::redis::{Redis, RedisError};
//!
//! async fn visits(redis: &Redis, page: &str) -> Result<i64, RedisError> {
//!     redis.query(&["HINCRBY", "visits", page, "1"]).await
//! }
//!
//! # async fn listen(redis: &Redis) -> Result<(), RedisError> {
//! let mut news = redis.subscribe("news").await?;
//! redis.publish("news", "tide is high").await?;
//! while let Some(message) = news.next().await {
//!     println!("{:?}", message.payload());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The codec below is [`resp::Replies`](crate::resp::Replies), for those who want a connection by hand.

mod answer;
mod channels;
mod client;
mod config;
mod convert;
mod encode;
mod endings;
mod error;
mod handshake;
mod pipeline;
mod session;
mod subscription;
mod url;
mod wire;

pub use answer::{Answer, Answers};
pub use channels::Message;
pub use client::{Query, Redis, Request};
pub use config::RedisConfig;
pub use convert::FromReply;
pub use error::{RedisError, ServerError};
pub use pipeline::Pipeline;
pub use subscription::Subscription;
