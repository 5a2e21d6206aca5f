//! How much of the chat one address may take.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

/// Rooms that were opened from one address and are not empty.
const ROOMS: usize = 20;

/// Where connections come from: a host, as far as addresses tell one from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    V4([u8; 4]),
    /// A site has at least 64 bits of addresses to choose from, so the other 64 say which one it is.
    V6([u8; 8]),
    /// A Unix socket.
    Local,
}

impl Source {
    pub fn of(ip: Option<IpAddr>) -> Source {
        match ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => Source::V4(ip.octets()),
            Some(IpAddr::V6(ip)) => Source::V6(*ip.octets().first_chunk().expect("16 bytes have 8")),
            None => Source::Local,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Connection,
    Room,
}

pub struct Sources {
    connections: usize,
    used: Mutex<HashMap<Source, Used>>,
}

#[derive(Default)]
struct Used {
    connections: usize,
    rooms: usize,
}

impl Used {
    fn of(&mut self, what: What) -> &mut usize {
        match what {
            What::Connection => &mut self.connections,
            What::Room => &mut self.rooms,
        }
    }
}

impl Sources {
    /// With so many connections for each address.
    pub fn new(connections: usize) -> Arc<Sources> {
        Arc::new(Sources { connections, used: Mutex::default() })
    }

    /// A share for one more, unless the address has as many as it may.
    pub fn take(self: &Arc<Sources>, source: Source, what: What) -> Option<Share> {
        let limit = if what == What::Room { ROOMS } else { self.connections };
        let mut used = self.used.lock().unwrap();
        let count = used.entry(source).or_default().of(what);
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(Share { sources: self.clone(), source, what })
    }
}

/// What an address has taken. Dropped, it is given back.
pub struct Share {
    sources: Arc<Sources>,
    source: Source,
    what: What,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut sources = self.sources.used.lock().unwrap();
        let Some(used) = sources.get_mut(&self.source) else { return };
        *used.of(self.what) -= 1;
        if used.connections == 0 && used.rooms == 0 {
            sources.remove(&self.source);
        }
    }
}
