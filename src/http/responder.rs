//! Answering a request later, and from elsewhere.

use super::reply::{Reply, What};
use super::response::{Content, Response, ResponseError};
use super::{Event, ResponseEncoder};
use crate::codec::{Codec, Encoder};
use crate::connection::{Conn, Handle, HandleSendError};
use crate::error::{Error, Result};
use bytes::Bytes;
use sealed::Sealed as _;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The sending half of a codec in which requests are answered: [`Http`](super::Http), [`HttpParts`](super::HttpParts) and
/// `WebSocket`. It cannot be implemented elsewhere.
pub trait Answering: Encoder<Reply> + sealed::Sealed {}

pub(crate) mod sealed {
    pub trait Sealed {
        /// Leaves the request at hand to a responder, which gets the number that it answers by.
        fn defer(&self) -> Result<u64, super::ResponseError>;
    }
}

impl sealed::Sealed for ResponseEncoder {
    fn defer(&self) -> Result<u64, ResponseError> {
        ResponseEncoder::defer(self)
    }
}

impl Answering for ResponseEncoder {}

impl<C: Codec> Conn<C>
where
    C::Encoder: Answering,
{
    /// Leaves the request that the handler has at hand to a [`Responder`], which answers it in its place, also when the handler's
    /// method has returned. Until then no other request of this connection is handled.
    ///
    /// # Errors
    /// [`ResponseError::NotAsked`] if the request was answered, or if there is none; [`ResponseError::Unfinished`] if the answer has
    /// begun; [`ResponseError::Deferred`] if a responder has it.
    pub fn responder(&mut self) -> Result<Responder, ResponseError> {
        // The encoder is in use only while it encodes, and then no method of the handler has the connection.
        let ticket = self.link.encoder().ok_or(ResponseError::NotAsked)?.defer()?;
        Ok(Responder { way: Some(Way { connection: Arc::new(self.handle()), ticket }) })
    }
}

/// Answers one request of HTTP: from any task, thread, or core, whenever it is ready. Made by [`Conn::responder`].
///
/// It answers once, by [`respond`](Responder::respond) or [`stream`](Responder::stream). One that is dropped instead answers
/// `500`, and closes the connection; so a request that was left to it is answered whatever becomes of the task. It answers no
/// other request than its own: when the connection has ended, what it sends is dropped.
///
/// While it is there, the next request of the connection waits, and no time limit runs for the peer. A server that stops waits
/// for it, as it does for a method of a handler. A peer that ends its side is still answered.
///
/// ```
/// use std::time::Duration;
/// use tiderace::http::{Http, Request, Response};
/// use tiderace::{Conn, Handler, Result, sleep};
///
/// struct Patient;
///
/// impl Handler for Patient {
///     type Codec = Http;
///
///     async fn on_message(&mut self, conn: &mut Conn<Http>, request: Request<'_>) -> Result {
///         let responder = conn.responder()?;
///         if request.path() == "/thread" {
///             std::thread::spawn(move || responder.respond(Response::text("from a thread")));
///         } else {
///             conn.spawn(async move {
///                 sleep(Duration::from_secs(1)).await;
///                 responder.respond(Response::text("at last"))
///             });
///         }
///         Ok(())
///     }
/// }
/// ```
#[must_use = "it answers 500 when it is dropped"]
pub struct Responder {
    /// `None` when it has answered.
    way: Option<Way>,
}

/// Sends the body of a response in parts, from any task, thread, or core. Made by [`Responder::stream`].
///
/// [`finish`](BodySender::finish) ends the body. One that is dropped before cuts it off, in a way that the peer sees: the
/// connection closes, or is reset where its end is all that the peer has. A [live](Response::live) response ends well in either
/// case.
#[must_use = "it cuts the response off when it is dropped"]
pub struct BodySender {
    /// `None` when the body has ended.
    way: Option<Way>,
}

/// The way to the request.
struct Way {
    connection: Arc<dyn Connection>,
    ticket: u64,
}

impl Way {
    fn post(&self, what: What) {
        self.connection.post(Reply::new(self.ticket, what));
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result> + Send + 'a>>;

/// A handle, whatever the codec.
trait Connection: Send + Sync {
    fn post(&self, reply: Reply);
    fn send(&self, reply: Reply) -> Sending<'_>;
    fn try_send(&self, reply: Reply) -> Result<(), HandleSendError<Reply>>;
    fn send_blocking(&self, reply: Reply) -> Result;
    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    fn is_closed(&self) -> bool;
}

impl<C: Codec> Connection for Handle<C>
where
    C::Encoder: Answering,
{
    fn post(&self, reply: Reply) {
        Handle::post(self, reply);
    }

    fn send(&self, reply: Reply) -> Sending<'_> {
        Box::pin(Handle::send(self, reply))
    }

    fn try_send(&self, reply: Reply) -> Result<(), HandleSendError<Reply>> {
        Handle::try_send(self, reply)
    }

    fn send_blocking(&self, reply: Reply) -> Result {
        self.feed_blocking(reply)
    }

    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            Handle::closed(self).await;
        })
    }

    fn is_closed(&self) -> bool {
        Handle::is_closed(self)
    }
}

impl Responder {
    /// Answers the request. It does not wait: success means that the response is on its way.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended. [`Error::Encode`] with a [`ResponseError`] if the response cannot be sent,
    /// or is one whose body comes in parts; then the peer gets a `500`.
    pub fn respond(mut self, response: Response<'static>) -> Result {
        if matches!(response.content, Content::Streamed) {
            return Err(refused(ResponseError::Body));
        }
        self.begin(response).map(|_| ())
    }

    /// Begins an answer whose body comes in parts: that of [`Response::chunked`], [`Response::sized`] or [`Response::events`].
    ///
    /// # Errors
    /// As those of [`respond`](Responder::respond); a response with a body of its own is refused here.
    ///
    /// ```
    /// use tiderace::Result;
    /// use tiderace::http::{Responder, Response};
    ///
    /// async fn count(responder: Responder) -> Result {
    ///     let mut body = responder.stream(Response::chunked("text/plain"))?;
    ///     for i in 0..1_000_000 {
    ///         body.send(format!("{i}\n")).await?;
    ///     }
    ///     body.finish()
    /// }
    /// ```
    pub fn stream(mut self, response: Response<'static>) -> Result<BodySender> {
        if !matches!(response.content, Content::Streamed) {
            return Err(refused(ResponseError::Body));
        }
        Ok(BodySender { way: Some(self.begin(response)?) })
    }

    /// Sends what is no answer, but comes before it, such as `103`, to a peer of HTTP/1.1 (RFC 9110, section 15.2).
    ///
    /// # Errors
    /// As those of [`respond`](Responder::respond); a status of 200 or more is refused, and so is `101`.
    pub fn inform(&self, response: Response<'static>) -> Result {
        response.check().map_err(refused)?;
        match response.status.0 {
            100 | 102..=199 => {}
            status => return Err(refused(ResponseError::Status(status))),
        }
        let Some(way) = &self.way else { return Err(Error::Closed) };
        way.post(What::Interim(Box::new(response)));
        Ok(())
    }

    fn begin(&mut self, response: Response<'static>) -> Result<Way> {
        response.check().map_err(refused)?;
        if matches!(response.status.0, ..200) {
            return Err(refused(ResponseError::Status(response.status.0)));
        }
        let way = self.way.take().filter(|way| !way.connection.is_closed()).ok_or(Error::Closed)?;
        way.post(What::Response(Box::new(response)));
        Ok(way)
    }

    /// Whether the connection has ended, so that no answer can reach the peer.
    pub fn is_closed(&self) -> bool {
        self.way.as_ref().is_none_or(|way| way.connection.is_closed())
    }

    /// Resolves when the connection has ended, as [`Handle::closed`] does: to give up work that is of no use any more.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn closed(&self) {
        if let Some(way) = &self.way {
            way.connection.closed().await;
        }
    }
}

impl BodySender {
    fn way(&self) -> Result<&Way> {
        self.way.as_ref().ok_or(Error::Closed)
    }

    fn chunk(&self, bytes: Bytes) -> Result<(&dyn Connection, Reply)> {
        let way = self.way()?;
        Ok((&*way.connection, Reply::new(way.ticket, What::Chunk(bytes))))
    }

    /// Sends the next bytes of the body; waits while the peer does not keep up, as [`Handle::send`] does.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended. [`Error::Encode`] with [`ResponseError::Length`] when these are more than
    /// were announced.
    ///
    /// # Cancel safety
    /// Not safe once polled: the bytes may be sent or not.
    pub async fn send(&mut self, bytes: impl Into<Bytes>) -> Result {
        let (connection, reply) = self.chunk(bytes.into())?;
        connection.send(reply).await
    }

    /// Sends the next bytes of the body without waiting, as [`Handle::try_send`] does.
    ///
    /// # Errors
    /// Both give the bytes back: [`HandleSendError::Full`] when too much waits to be sent, [`HandleSendError::Closed`] when the
    /// connection has ended.
    pub fn try_send(&mut self, bytes: impl Into<Bytes>) -> Result<(), HandleSendError<Bytes>> {
        let bytes = bytes.into();
        let Ok((connection, reply)) = self.chunk(bytes.clone()) else { return Err(HandleSendError::Closed(bytes)) };
        connection.try_send(reply).map_err(|error| match error {
            HandleSendError::Full(reply) => HandleSendError::Full(reply.into_chunk()),
            HandleSendError::Closed(reply) => HandleSendError::Closed(reply.into_chunk()),
        })
    }

    /// Sends the next bytes of the body from a plain thread, which sleeps while the peer does not keep up.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended. [`Error::OnCore`] on a thread that is a core; nothing is sent then.
    pub fn send_blocking(&mut self, bytes: impl Into<Bytes>) -> Result {
        let (connection, reply) = self.chunk(bytes.into())?;
        connection.send_blocking(reply)
    }

    /// Sends an event; waits while the peer does not keep up. For a response that was begun with [`Response::events`].
    ///
    /// # Errors
    /// As those of [`send`](BodySender::send), and [`ResponseError::Event`] for an event that cannot be sent.
    ///
    /// # Cancel safety
    /// Not safe once polled: the event may be sent or not.
    pub async fn send_event(&mut self, event: &Event<'_>) -> Result {
        let text = event.text().map_err(refused)?;
        self.send(text).await
    }

    /// Ends the body. What was sent before is delivered, and the connection handles its next request.
    ///
    /// # Errors
    /// [`Error::Closed`] when the connection has ended.
    pub fn finish(mut self) -> Result {
        let way = self.way.take().filter(|way| !way.connection.is_closed()).ok_or(Error::Closed)?;
        way.post(What::Last);
        Ok(())
    }

    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.way.as_ref().is_none_or(|way| way.connection.is_closed())
    }

    /// Resolves when the connection has ended: the peer of a [live](Response::live) response has left, say.
    ///
    /// # Cancel safety
    /// Safe: it holds nothing.
    pub async fn closed(&self) {
        if let Some(way) = &self.way {
            way.connection.closed().await;
        }
    }
}

fn refused(error: ResponseError) -> Error {
    Error::Encode(error.into())
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            way.post(What::Dropped);
        }
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            way.post(What::Dropped);
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl fmt::Debug for BodySender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodySender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
