//! The task of a connection: it decodes every complete frame in the ring and calls the handler for each.

use super::close::end;
use super::settings::{Admission, Counted, Settings};
use super::supervise::Supervise;
use super::tasks::end_tasks;
use super::upgrade::{is_upgraded, upgrade};
use super::{Conn, ConnectionId, Handler};
use crate::buffer::Ring;
use crate::codec::{Busy, Codec, Decoder, Farewell, Patience, ProtocolError, frame_end, split_frame};
use crate::error::{CloseReason, Error};
use crate::io::{Address, Socket};
use crate::net::{Flag, Link, Port};
use crate::runtime::yield_now;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::rc::Rc;

/// Frames that a connection handles before it lets others run.
const FRAMES: u32 = 256;

/// What is asked of a connection from outside its loop.
const REQUESTS: Flag = Flag::CLOSE.or(Flag::WAKE).or(Flag::DETACH).or(Flag::CHANGE);
/// Before the next message, see to this.
const INTERRUPTED: Flag = REQUESTS.or(Flag::PAUSED);
/// There is a time limit that a message or its end puts an end to.
const LIMITED: Flag = Flag::UNSPOKEN.or(Flag::BEGUN);
/// A message or its end changes what holds for the connection: frames are handled one by one.
const AWAITED: Flag = LIMITED.or(Flag::FRESH);

/// A connection that has been accepted, and let in.
pub(crate) struct Incoming {
    pub(crate) socket: Socket,
    pub(crate) peer: Address,
    pub(crate) admission: Admission,
}

/// Everything of one connection. The decoder stands beside the handler, so that a message may borrow from the one while
/// the other handles it.
pub(crate) struct Session<H: Handler> {
    pub(super) handler: H,
    pub(super) conn: Conn<H::Codec>,
    pub(super) decoder: <H::Codec as Codec>::Decoder,
}

impl<H: Handler> Session<H> {
    pub(crate) fn new(
        incoming: Incoming,
        codec: &H::Codec,
        handler: H,
        settings: &Rc<Settings>,
    ) -> io::Result<Session<H>> {
        let (core, (decoder, encoder)) = (&settings.core, codec.halves());
        let number = ConnectionId::new(core.index, core.next_connection());
        let can_ping = decoder.can_ping();
        let Incoming { socket, peer, admission } = incoming;
        let mut parts = Some((socket, peer, encoder));
        let link = core.register(|key| {
            let (socket, peer, encoder) = parts.take().expect("registered once");
            let port = Port::new(core.clone(), key, socket, settings.write, Flag::FRESH).with_peer(peer);
            Rc::new(Link::new(port, encoder, number.as_u64()))
        })?;
        link.arm();
        let conn = Conn::new(link, Counted::new(settings.clone(), admission));
        let patience = codec.patience();
        conn.link.set_patience(patience);
        conn.link.set_time_limits(&settings.time);
        if let Some(within) = patience.first.filter(|_| settings.time.first_message.is_none()) {
            settings.fresh.watch::<H::Codec>(settings, &conn.link, within);
        }
        if let Some(bytes) = settings.handle_limit {
            conn.link.gauge().set_limit(bytes);
        }
        Ok(Session::over(conn, decoder, handler, can_ping))
    }

    /// A session over a connection that is registered already. So the decoder, which may be anybody's, was asked before
    /// whether it [can ping](Decoder::can_ping).
    pub(super) fn over(
        conn: Conn<H::Codec>,
        decoder: <H::Codec as Codec>::Decoder,
        handler: H,
        can_ping: bool,
    ) -> Session<H> {
        conn.link.set_pings(can_ping);
        Session { handler, conn, decoder }
    }
}

/// What ends a session; `?` makes it from what a handler returns.
struct End(CloseReason);

impl From<Error> for End {
    fn from(error: Error) -> End {
        End(CloseReason::Handler(error))
    }
}

fn protocol(error: ProtocolError) -> End {
    End(CloseReason::Protocol(error))
}

fn undecodable<E: std::error::Error + Send + Sync + 'static>(error: E) -> End {
    protocol(ProtocolError::Decode(error.into()))
}

/// The life of a connection, from `on_open` to the closed descriptor.
#[expect(clippy::manual_async_fn, reason = "an async fn would hold its argument twice, in every idle connection")]
pub(crate) fn drive<H: Handler>(mut session: Session<H>) -> impl Future<Output = CloseReason> {
    async move {
        let reason = match Supervise::new(session.conn.link.clone(), session.converse()).await {
            Ok(Err(End(reason))) | Err(reason) => reason,
        };
        // Boxed: an end is rare, and its future would be a part of every connection that lives.
        Box::pin(finish(session, reason)).await
    }
}

/// Ends the tasks of a connection, and then the connection.
async fn finish<H: Handler>(session: Session<H>, reason: CloseReason) -> CloseReason {
    let link = session.conn.link.clone();
    // The ring of a message whose handling was cut off is gone.
    link.take(Flag::LENT);
    end_tasks(&link).await;
    let reason = match reason {
        CloseReason::Upgraded => upgrade(session).await,
        reason => end(session, reason).await,
    };
    // Its last method may have spawned others.
    end_tasks(&link).await;
    reason
}

impl<H: Handler> Session<H> {
    /// Handles messages until something ends that.
    async fn converse(&mut self) -> Result<Infallible, End> {
        tracing::debug!(connection = %self.conn.id(), peer = ?self.conn.peer_addr().ok(), "open");
        if self.decoder.is_open() {
            self.handler.on_open(&mut self.conn).await?;
        }
        loop {
            if self.port().has(REQUESTS) {
                self.requests().await?;
            }
            if self.decoder.has_answer() {
                // A message from elsewhere, such as the answer to a handshake, changes what the protocol has to say.
                (self.conn.behind, self.conn.beyond) = (0, self.port().unhandled() as u32);
                self.answer().await?;
            }
            if !self.port().has(Flag::PAUSED) {
                if let Some(mut ring) = self.port().take_ring() {
                    // Not a method, which would be a future within this one, entered and left for every batch.
                    let mut budget = FRAMES;
                    loop {
                        let first = self.next_frame(&mut ring)?;
                        if self.decoder.has_answer() {
                            (self.conn.behind, self.conn.beyond) = (0, ring.len() as u32);
                            self.answer().await?;
                        }
                        let Some(first) = first else { break };
                        // The frames behind it in one piece are cut off by moving a border, without a look at the ring.
                        let received = ring.len();
                        let lent = ring.contiguous(first);
                        self.conn.beyond = (received - lent.len()) as u32;
                        let (mut frame, mut rest) = lent.split_at_mut(first);
                        let (left, mut unclaimed);
                        loop {
                            self.conn.behind = rest.len() as u32;
                            if self.decoder.is_message(frame).map_err(undecodable)? {
                                // The message is moved within a scope that ends before the wait: else the future would keep its place.
                                {
                                    let message = self.decoder.decode(frame).map_err(undecodable)?;
                                    self.conn.link.core.meter.message_in();
                                    self.handler.on_message(&mut self.conn, message)
                                }
                                .await?;
                            } else if self.port().has(Flag::UNSPOKEN.or(Flag::FRESH)) {
                                self.port().is_wordless();
                            }
                            budget -= 1;
                            if budget == 0 {
                                budget = FRAMES;
                                yield_now().await;
                            }
                            if self.decoder.has_answer() {
                                self.answer().await?;
                            }
                            unclaimed = self.decoder.unclaimed();
                            if unclaimed > 0 || self.port().has(INTERRUPTED.or(AWAITED)) {
                                left = rest.len();
                                break;
                            }
                            let behind = rest.len();
                            let split = split_frame(&mut self.decoder, rest).map_err(protocol)?;
                            let Some(next) = split else {
                                left = behind;
                                break;
                            };
                            (frame, rest) = next;
                        }
                        if unclaimed > 0 {
                            ring.rewrap();
                        }
                        let consumed = ring.consume_all_but(left + unclaimed);
                        if self.port().has(AWAITED) {
                            self.frame_has_ended(consumed > 0);
                        }
                        if ring.is_empty() {
                            break;
                        }
                    }
                    self.port().put_ring(ring);
                }
                if self.port().has(Flag::ENDED) && !self.port().has(INTERRUPTED) && !self.owes_an_answer() {
                    if !self.decoder.may_end() {
                        return Err(protocol(ProtocolError::Truncated { received: 0 }));
                    }
                    self.handler.on_eof(&mut self.conn).await?;
                    return Err(self.stream_has_ended());
                }
            }
            if let Some(error) = self.port().read_failure() {
                return Err(End(CloseReason::Reset(error)));
            }
            if self.port().has(Flag::QUIET.or(Flag::STOP)) {
                if self.may_stop() {
                    return Err(End(CloseReason::Shutdown));
                }
                if self.port().take(Flag::QUIET) {
                    self.decoder.ping();
                    self.answer().await?;
                }
            }
            if self.port().has(Flag::TIMED) {
                self.look_for_begun_message();
            }
            poll_fn(|cx| self.port().poll_news(cx)).await;
        }
    }

    /// Sends what the protocol answers by itself, and waits while the peer does not take it: a peer that only asks is not read
    /// from. A request of a handle, the handler or the server ends the wait, because no method of the handler runs that the
    /// request would have to wait for.
    async fn answer(&mut self) -> Result<(), End> {
        if self.port().has(Flag::DETACH.or(Flag::CHANGE)) && self.is_given_up() {
            return Ok(());
        }
        self.conn.link.send_answer(&mut self.decoder);
        let urgent = REQUESTS.or(Flag::STOP);
        while self.port().is_above_high_water() && !self.port().has(urgent) {
            // A failed write makes room, too: nothing is answered any more, and what has arrived is still handled.
            let _ = poll_fn(|cx| self.port().poll_room_for_answer(cx, urgent)).await;
        }
        while self.decoder.has_opened() {
            // Those were for the protocol of the handshake.
            self.port().set_patience(Patience::default());
            if self.port().has(Flag::UNSPOKEN.or(Flag::FRESH)) {
                // A peer that only listens has said what it has to say.
                self.port().has_spoken();
            }
            self.handler.on_open(&mut self.conn).await?;
        }
        Ok(())
    }

    /// Whether the handler has given the connection to another handler or owner, which answers from here on.
    #[cold]
    fn is_given_up(&self) -> bool {
        self.port().has(Flag::DETACH) || is_upgraded(&self.conn.link)
    }

    /// What the protocol has to say to the end of its connection.
    pub(super) fn say_farewell(&mut self, why: Farewell) {
        self.decoder.farewell(why);
        if self.decoder.has_answer() {
            self.conn.link.send_answer(&mut self.decoder);
        }
    }

    #[inline]
    pub(super) fn port(&self) -> &Port {
        &self.conn.link
    }

    /// Does what was asked of this connection by a handle, by the server or by the handler itself.
    async fn requests(&mut self) -> Result<(), End> {
        if self.port().has(LIMITED) {
            self.port().peer_is_not_awaited();
        }
        while self.port().has(REQUESTS) {
            if self.port().has(Flag::DETACH) {
                return Err(End(CloseReason::Detached));
            }
            if self.port().has(Flag::CLOSE) {
                return Err(End(CloseReason::Closed));
            }
            if self.port().has(Flag::CHANGE) && self.owes_an_answer() {
                return Err(
                    Error::msg("another codec or handler, while an answer is still to come from elsewhere").into()
                );
            }
            if self.port().take(Flag::CHANGE) {
                self.change_codec();
                if is_upgraded(&self.conn.link) {
                    return Err(End(CloseReason::Upgraded));
                }
            }
            if self.port().take(Flag::WAKE) {
                self.handler.on_wake(&mut self.conn).await?;
                self.decoder.woken();
            }
        }
        Ok(())
    }

    /// How a connection ends whose handler has been told of the end of the stream.
    #[cold]
    fn stream_has_ended(&self) -> End {
        if self.port().has(Flag::DETACH) {
            return End(CloseReason::Detached);
        }
        if is_upgraded(&self.conn.link) {
            return End(CloseReason::Upgraded);
        }
        match self.port().unhandled() {
            0 => End(CloseReason::EndOfStream),
            received => protocol(ProtocolError::Truncated { received }),
        }
    }

    /// Whether the server stops and nothing keeps the connection from its end: every complete message in the ring was
    /// handled, the first one has come or had its time, and no message is in hand of which a part was handled.
    #[cold]
    fn may_stop(&self) -> bool {
        let waits = self.port().has(REQUESTS.or(Flag::FRESH)) || self.owes_an_answer();
        self.port().has(Flag::STOP) && !waits && self.decoder.may_end()
    }

    /// Whether something that was received is answered later, so that the end of the connection waits for it.
    #[cold]
    fn owes_an_answer(&self) -> bool {
        self.busy() == Busy::Answering
    }

    /// The end of the frame at the ring's front, unless it is incomplete or something else comes first.
    #[inline]
    fn next_frame(&mut self, ring: &mut Ring) -> Result<Option<usize>, End> {
        if self.port().has(INTERRUPTED) {
            return Ok(None);
        }
        if self.port().has(LIMITED) {
            self.port().peer_is_not_awaited();
        }
        // Nothing is read while the ring is lent, so the end of the stream can not come in between.
        let ended = self.port().has(Flag::ENDED);
        match frame_end(&mut self.decoder, ring, ended) {
            Ok(end) => Ok(end),
            // What the handler has seen and left is its own to judge, in `on_eof`.
            Err(ProtocolError::Truncated { .. }) if self.decoder.unclaimed() > 0 => Ok(None),
            Err(error) => Err(protocol(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Raw;

    struct Echo;

    impl Handler for Echo {
        type Codec = Raw;

        async fn on_message(&mut self, conn: &mut Conn<Raw>, bytes: &[u8]) -> crate::Result {
            conn.send(bytes).await
        }
    }

    fn size_of_result<A, B>(_: fn(A) -> B) -> usize {
        size_of::<B>()
    }

    /// What an idle connection costs is these two and the entries that name them; whoever makes them larger should know.
    #[test]
    fn a_connection_stays_small() {
        let link = if cfg!(feature = "metrics") { 120 } else { 112 };
        assert!(size_of::<Link<Raw>>() <= link, "{}", size_of::<Link<Raw>>());
        assert!(size_of_result(drive::<Echo>) <= 184, "{}", size_of_result(drive::<Echo>));
    }
}
