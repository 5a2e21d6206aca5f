//! Several addresses, one connection: RFC 8305, "Happy Eyeballs".

use crate::net::{Stream, connect_to};
use crate::runtime::timeout;
use socket2::SockAddr;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

type Attempt = Pin<Box<dyn Future<Output = io::Result<Stream>>>>;

/// The order in which addresses are tried (section 4): as the resolver has sorted them, but with the families in turns.
fn interleaved(addresses: Vec<SockAddr>) -> Vec<SockAddr> {
    let first = addresses.first().map(SockAddr::family);
    let (mut ones, mut others): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| Some(address.family()) == first);
    let mut order = Vec::with_capacity(ones.len() + others.len());
    while !ones.is_empty() || !others.is_empty() {
        order.extend(ones.pop_front());
        order.extend(others.pop_front());
    }
    order
}

/// Connects to the first address that answers. The next one is tried when one has failed, or has not answered for `delay`
/// (section 5); the others are given up when one has answered.
pub(super) async fn race(addresses: Vec<SockAddr>, delay: Duration) -> io::Result<Stream> {
    let mut waiting = interleaved(addresses).into_iter();
    let mut attempts: Vec<Attempt> = Vec::new();
    let mut failure = io::ErrorKind::AddrNotAvailable.into();
    loop {
        match waiting.next() {
            Some(address) => attempts.push(Box::pin(attempt(address))),
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let answer = poll_fn(|cx| first_of(&mut attempts, cx));
        let answer = if waiting.len() > 0 { timeout(delay, answer).await.ok() } else { Some(answer.await) };
        match answer {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failure = error,
            None => {}
        }
    }
}

async fn attempt(address: SockAddr) -> io::Result<Stream> {
    let connected = connect_to(&address).await;
    if let Err(error) = &connected {
        tracing::debug!(address = ?address.as_socket(), %error, "nobody answers");
    }
    connected
}

/// The next attempt that ends, which is then no longer among them.
fn first_of(attempts: &mut Vec<Attempt>, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
    for i in 0..attempts.len() {
        if let Poll::Ready(answer) = attempts[i].as_mut().poll(cx) {
            drop(attempts.swap_remove(i));
            return Poll::Ready(answer);
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        let order = |addresses: &[&str]| {
            let parsed = addresses.iter().map(|address| address.parse::<SocketAddr>().unwrap().into());
            let order = interleaved(parsed.collect());
            order.iter().map(|address| address.as_socket().unwrap().to_string()).collect::<Vec<_>>()
        };
        let (six, four) = (["[::1]:1", "[::2]:1", "[::3]:1"], ["1.1.1.1:1", "2.2.2.2:1"]);
        assert_eq!(
            order(&[six, [four[0], four[1], four[1]]].concat()[..5]),
            [six[0], four[0], six[1], four[1], six[2]]
        );
        assert_eq!(order(&[four[0], four[1], six[0]]), [four[0], six[0], four[1]]);
        assert!(order(&[]).is_empty());
    }
}
