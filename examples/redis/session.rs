//! What the server knows of one client, besides the channels that it listens to.

use crate::transaction::Transaction;
use bytes::Bytes;
use tiderace::resp::Version;

pub struct Session {
    pub version: Version,
    /// The database that it has selected.
    pub db: usize,
    /// Whether it has given the password, if one is wanted.
    pub is_authenticated: bool,
    /// Between `MULTI` and `EXEC`.
    pub transaction: Option<Box<Transaction>>,
    /// Keys that it watches: of which database, and how often they had changed.
    pub watched: Vec<(usize, Bytes, u64)>,
}

impl Session {
    pub fn new(is_authenticated: bool) -> Session {
        Session { version: Version::Resp2, db: 0, is_authenticated, transaction: None, watched: Vec::new() }
    }

    /// Whether every command is done at once.
    pub fn is_plain(&self) -> bool {
        self.is_authenticated && self.transaction.is_none()
    }
}
