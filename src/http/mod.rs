//! HTTP/1.1 for servers (RFC 9110 and 9112). Feature `http`.
//!
//! ```no_run
//! use tiderace::http::{Http, Request, Response};
//! use tiderace::{Conn, Handler, Result, Server};
//!
//! struct Hello;
//!
//! impl Handler for Hello {
//!     type Codec = Http;
//!
//!     async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
//!         match request.path() {
//!             "/" => conn.send(&Response::text("Hello, World!")).await,
//!             _ => conn.send(&Response::text("nothing here").status(tiderace::http::Status::NOT_FOUND)).await,
//!         }
//!     }
//! }
//!
//! fn main() -> Result {
//!     Server::new().listen("tcp://127.0.0.1:8080", Http::default(), || Hello)?.run()
//! }
//! ```

mod accept;
mod chunks;
mod codec;
#[cfg(feature = "gzip")]
mod compress;
mod conditional;
mod error;
mod events;
mod exchange;
mod fields;
mod forwarded;
mod getters;
mod head;
mod host;
mod parts;
mod ranges;
mod reader;
mod reply;
mod request;
mod responder;
mod response;
mod scan;
mod status;
mod target;
mod trailers;
#[cfg(feature = "http-types")]
mod types;
mod write;

pub use codec::{Http, RequestDecoder};
pub use conditional::{EntityTag, Precondition, Validators};
pub use error::HttpError;
pub use events::Event;
pub use forwarded::{ClientInfo, NetworkError, Proxies};
pub use parts::{HttpParts, Part, PartDecoder};
pub use ranges::{Ranges, content_range, unsatisfied_range};
pub use reply::Reply;
pub use request::Request;
pub use responder::{Answering, BodySender, Responder};
pub use response::{Chunk, Response, ResponseError};
pub use status::Status;
pub use trailers::Trailers;
#[cfg(feature = "http-types")]
#[cfg_attr(docsrs, doc(cfg(feature = "http-types")))]
pub use types::FieldError;
pub use write::ResponseEncoder;

#[cfg(feature = "websocket")]
pub(crate) use request::KeptRequest;
#[cfg(feature = "websocket")]
pub(crate) use responder::sealed::Sealed;
#[cfg(feature = "websocket")]
pub(crate) use response::{is_field_value, is_token};
#[cfg(feature = "websocket")]
pub(crate) use scan::HeadEnd;

/// The version of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}
