//! Datagrams that wait to be sent.

use crate::io::{BATCH, DatagramSocket, Peer, SendBatch};
use crate::limits;
use std::collections::VecDeque;
use std::io;
use std::task::Poll;

/// Their payloads lie one behind the other, so that a small answer costs no allocation.
#[derive(Default)]
pub(super) struct Outgoing {
    payloads: Vec<u8>,
    datagrams: VecDeque<Datagram>,
    /// Where the payload of the first one begins: those before it are sent.
    start: usize,
    batch: SendBatch,
}

/// What became of one system call.
pub(super) enum Step {
    /// The socket has taken so many.
    Sent(usize),
    /// The socket takes no more.
    Blocked,
    /// An earlier datagram found no peer; none was sent.
    Earlier(io::Error),
    /// The first one could not be sent, and is dropped.
    Lost(io::Error, Option<Peer>),
}

struct Datagram {
    length: usize,
    to: Option<Peer>,
}

/// What a datagram counts for in a queue: its payload, and what it costs besides, so that empty ones are bounded, too.
pub(super) fn cost(payload: usize) -> usize {
    payload + limits::DATAGRAM_OVERHEAD
}

const _: () = assert!(size_of::<Datagram>() <= limits::DATAGRAM_OVERHEAD);

impl Outgoing {
    pub(super) fn push(&mut self, payload: &[u8], to: Option<Peer>) {
        // A queue that never runs empty must not keep what is sent; each byte is moved once, on average.
        if self.start > self.payloads.len() - self.start {
            self.payloads.drain(..self.start);
            self.start = 0;
        }
        self.payloads.extend_from_slice(payload);
        self.datagrams.push_back(Datagram { length: payload.len(), to });
    }

    /// What those that wait count for.
    pub(super) fn cost(&self) -> usize {
        self.payloads.len() - self.start + self.datagrams.len() * cost(0)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.datagrams.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Whether as many wait as one system call takes.
    pub(super) fn fills_batch(&self) -> bool {
        self.datagrams.len() >= BATCH
    }

    /// Sends by one system call. It reports, and calls nothing: the queue is borrowed meanwhile.
    pub(super) fn send(&mut self, socket: &DatagramSocket) -> Step {
        let mut start = self.start;
        let payloads = &self.payloads;
        let batch = self.datagrams.iter().map(|datagram| {
            let payload = &payloads[start..start + datagram.length];
            start += datagram.length;
            (payload, datagram.to)
        });
        match self.batch.send(socket, batch) {
            Poll::Ready(Ok(sent)) => {
                for _ in 0..sent {
                    self.pop();
                }
                Step::Sent(sent)
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Step::Sent(0),
            // The peer's answer to an earlier one (ICMP), of a connected socket. This one was not tried (udp(7)).
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Step::Earlier(error),
            Poll::Ready(Err(error)) => Step::Lost(error, self.pop()),
            Poll::Pending => Step::Blocked,
        }
    }

    fn pop(&mut self) -> Option<Peer> {
        let datagram = self.datagrams.pop_front()?;
        self.start += datagram.length;
        if self.datagrams.is_empty() {
            self.payloads.clear();
            self.start = 0;
        }
        datagram.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_not_kept_while_more_is_queued() {
        let mut outgoing = Outgoing::default();
        for i in 0..=9_999_u32 {
            outgoing.push(&i.to_be_bytes().repeat(100), None);
            if i >= 10 {
                assert_eq!(outgoing.payloads[outgoing.start..][..4], (i - 10).to_be_bytes());
                outgoing.pop();
            }
        }
        assert_eq!(outgoing.cost(), 10 * cost(400));
        assert!(outgoing.payloads.capacity() < 100 * 400, "{}", outgoing.payloads.capacity());
    }

    #[test]
    fn outgoing_datagrams_count_without_a_payload() {
        let mut outgoing = Outgoing::default();
        (0..10).for_each(|_| outgoing.push(&[], None));
        assert_eq!(outgoing.cost(), 10 * cost(0));
        outgoing.pop();
        assert_eq!(outgoing.cost(), 9 * cost(0));
    }
}
