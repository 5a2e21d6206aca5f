//! Which core takes a connection.

use crate::io::Address;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// How the connections of a server are spread over its cores.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Balance {
    /// Each core has a listening socket of its own, and the kernel picks one for each connection by a hash of both
    /// addresses (`SO_REUSEPORT`). Nothing passes between cores. Only Linux spreads TCP connections so; elsewhere, and for
    /// Unix sockets and listeners made elsewhere, unless there are as many for an address as cores, this is
    /// [`RoundRobin`](Balance::RoundRobin).
    #[default]
    Kernel,
    /// One core after the other.
    RoundRobin,
    /// The core with the fewest open connections.
    LeastConnections,
    /// By the host that the connection comes from, or the name of its Unix socket: all those of one host are on one core, and
    /// share what that core's handlers share. Unix sockets of clients mostly have no name: their connections go to one core
    /// after the other.
    SourceHash,
    /// Any core.
    Random,
    /// As a function says; made by [`Balance::custom`].
    Custom(Choose),
}

/// The function of [`Balance::Custom`].
#[derive(Clone)]
pub struct Choose(Arc<ChooseFn>);

type ChooseFn = dyn Fn(&Address, &[usize]) -> usize + Send + Sync;

impl Balance {
    /// The core whose number `choose` returns, which is given the peer's address and how many connections are open on each
    /// core. A number that is too large is taken modulo the number of cores.
    pub fn custom(choose: impl Fn(&Address, &[usize]) -> usize + Send + Sync + 'static) -> Balance {
        Balance::Custom(Choose(Arc::new(choose)))
    }
}

impl fmt::Debug for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Balance::Kernel => "Kernel",
            Balance::RoundRobin => "RoundRobin",
            Balance::LeastConnections => "LeastConnections",
            Balance::SourceHash => "SourceHash",
            Balance::Random => "Random",
            Balance::Custom(_) => "Custom",
        })
    }
}

/// Picks cores for the connections of one listener.
pub(super) struct Picker {
    balance: Balance,
    next: usize,
}

impl Picker {
    pub(super) fn new(balance: Balance) -> Picker {
        Picker::after(balance, 0)
    }

    /// One that has picked core `last` before.
    pub(super) fn after(balance: Balance, last: usize) -> Picker {
        Picker { balance, next: last }
    }

    /// One of the cores whose open connections are given, of which there is at least one.
    pub(super) fn pick(&mut self, peer: &Address, open: &[usize]) -> usize {
        let cores = open.len();
        match &self.balance {
            Balance::Kernel | Balance::RoundRobin => self.next_in_turn(cores),
            Balance::LeastConnections => {
                // Beginning behind the last one, so that equals take turns.
                self.next = (0..cores).map(|i| (self.next + 1 + i) % cores).min_by_key(|i| open[*i]).unwrap_or(0);
                self.next
            }
            // Nothing tells such peers apart, and together they are more than one core's.
            Balance::SourceHash if peer.is_unnamed() => self.next_in_turn(cores),
            Balance::SourceHash => {
                let mut hasher = DefaultHasher::new();
                match peer.ip() {
                    Some(ip) => ip.hash(&mut hasher),
                    None => peer.hash(&mut hasher),
                }
                (hasher.finish() % cores as u64) as usize
            }
            Balance::Random => fastrand::usize(..cores),
            Balance::Custom(Choose(choose)) => choose(peer, open) % cores,
        }
    }

    fn next_in_turn(&mut self, cores: usize) -> usize {
        self.next = (self.next + 1) % cores;
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn picks(balance: Balance, peers: &[&str], open: &[usize]) -> Vec<usize> {
        let mut picker = Picker::new(balance);
        let peers = peers.iter().map(|peer| Address::from(peer.parse::<SocketAddr>().unwrap()));
        peers.map(|peer| picker.pick(&peer, open)).collect()
    }

    #[test]
    fn round_robin_takes_each_in_turn() {
        let picked = picks(Balance::RoundRobin, &["1.1.1.1:1"; 6], &[9, 0, 0]);
        assert_eq!(picked, [1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn least_connections_takes_the_emptiest_and_equals_in_turn() {
        assert_eq!(picks(Balance::LeastConnections, &["1.1.1.1:1"], &[3, 2, 1, 4]), [2]);
        assert_eq!(picks(Balance::LeastConnections, &["1.1.1.1:1"; 4], &[1, 5, 1]), [2, 0, 2, 0]);
    }

    #[test]
    fn a_source_hash_depends_on_the_host_alone() {
        let one = picks(Balance::SourceHash, &["1.1.1.1:1", "1.1.1.1:2", "[::1]:7"], &[0; 64]);
        assert_eq!(one[0], one[1]);
        let hosts: Vec<String> = (0..64).map(|i| format!("10.0.0.{i}:1")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let mut many = picks(Balance::SourceHash, &hosts, &[0; 4]);
        many.sort();
        many.dedup();
        assert_eq!(many, [0, 1, 2, 3], "spread over all");
    }

    #[test]
    fn a_source_hash_spreads_peers_that_have_no_name() {
        let mut picker = Picker::new(Balance::SourceHash);
        let picked: Vec<usize> = (0..4).map(|_| picker.pick(&Address::unnamed(), &[0; 4])).collect();
        assert_eq!(picked, [1, 2, 3, 0]);
    }

    #[test]
    fn random_reaches_every_core() {
        let mut picked = picks(Balance::Random, &["1.1.1.1:1"; 500], &[0; 3]);
        picked.sort();
        picked.dedup();
        assert_eq!(picked, [0, 1, 2]);
    }

    #[test]
    fn a_function_may_choose_and_can_not_miss() {
        let by_port = Balance::custom(|peer, open| usize::from(peer.port().unwrap()) + open[0]);
        assert_eq!(picks(by_port, &["1.1.1.1:1", "1.1.1.1:7"], &[1, 0, 0]), [2, 2]);
    }
}
