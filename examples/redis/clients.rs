//! All clients that are connected, for `CLIENT LIST` and `CLIENT KILL`.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;
use tiderace::resp::{Commands, Version};
use tiderace::{Conn, Handle};

#[derive(Default)]
pub struct Clients(Mutex<BTreeMap<u64, Row>>);

/// What is shown of a client.
pub struct Row {
    handle: Handle<Commands>,
    pub peer: String,
    pub local: String,
    since: Instant,
    pub name: String,
    pub library: [String; 2],
    pub db: usize,
    pub channels: usize,
    pub patterns: usize,
    pub version: Version,
}

impl Clients {
    pub fn add(&self, conn: &Conn<Commands>) {
        let address = |address: std::io::Result<String>| address.unwrap_or_default();
        let row = Row {
            handle: conn.handle(),
            peer: address(conn.peer_addr().map(ToString::to_string)),
            local: address(conn.local_addr().map(|local| local.to_string())),
            since: Instant::now(),
            name: String::new(),
            library: Default::default(),
            db: 0,
            channels: 0,
            patterns: 0,
            version: Version::Resp2,
        };
        self.0.lock().unwrap().insert(conn.id().as_u64(), row);
    }

    pub fn remove(&self, conn: &Conn<Commands>) {
        self.0.lock().unwrap().remove(&conn.id().as_u64());
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Reads or changes what is shown of a client.
    pub fn with<T: Default>(&self, conn: &Conn<Commands>, act: impl FnOnce(&mut Row) -> T) -> T {
        self.0.lock().unwrap().get_mut(&conn.id().as_u64()).map(act).unwrap_or_default()
    }

    /// A line for each of the clients that are wanted.
    pub fn list(&self, is_wanted: impl Fn(u64, &Row) -> bool) -> String {
        let rows = self.0.lock().unwrap();
        rows.iter().filter(|(id, row)| is_wanted(**id, row)).map(|(id, row)| row.line(*id)).collect()
    }

    /// Closes the clients that are wanted; says how many those are.
    pub fn kill(&self, is_wanted: impl Fn(u64, &Row) -> bool) -> usize {
        let rows = self.0.lock().unwrap();
        rows.iter().filter(|(id, row)| is_wanted(**id, row)).map(|(_, row)| row.handle.close()).count()
    }
}

impl Row {
    pub fn listens(&self) -> bool {
        self.channels + self.patterns > 0
    }

    fn line(&self, id: u64) -> String {
        let Row { peer, local, name, db, channels, patterns, library: [library, its_version], .. } = self;
        let flags = if self.listens() { "P" } else { "N" };
        let version = if self.version == Version::Resp3 { 3 } else { 2 };
        let age = self.since.elapsed().as_secs();
        format!(
            "id={id} addr={peer} laddr={local} name={name} age={age} flags={flags} db={db} sub={channels} psub={patterns} \
             user=default lib-name={library} lib-ver={its_version} resp={version}\n"
        )
    }
}
