//! Transactions: commands that are queued by `MULTI` and done at once by `EXEC`, unless a watched key has changed.

use crate::answer::{Answer, OK, refused};
use crate::client::Client;
use crate::commands::{Call, NOT_NOW, Run, Spec};
use crate::describe::{array, encoder};
use crate::store::Locked;
use bytes::Bytes;
use tiderace::Conn;
use tiderace::codec::{Codec, Decoder, Input, encode_to_vec};
use tiderace::resp::{Command, Commands, Replies, Reply};

/// The bytes that may be queued.
const LONGEST: usize = 64 * 1024 * 1024;
/// Keys that a client may watch.
const MOST_WATCHED: usize = 1024;

#[derive(Default)]
pub struct Transaction {
    /// Commands as they came, one behind the other.
    queued: Vec<u8>,
    count: usize,
    /// A command was refused, so none is done.
    is_broken: bool,
    /// Keys of other databases may be used.
    leaves_database: bool,
}

impl Transaction {
    pub fn break_off(&mut self) {
        self.is_broken = true;
    }

    /// Takes a command for later.
    pub fn queue(&mut self, spec: &Spec, command: Command<'_>) -> Answer<'static> {
        if matches!(spec.run, Run::Connection) {
            self.is_broken = true;
            return NOT_NOW;
        }
        let arguments: Vec<&[u8]> = (0..command.len()).filter_map(|index| command.get(index)).collect();
        let encoded = encode_to_vec(&mut Replies::default(), &arguments[..]).unwrap_or_default();
        if self.queued.len() + encoded.len() > LONGEST {
            self.is_broken = true;
            return refused("ERR the transaction is too long");
        }
        self.queued.extend(encoded);
        self.count += 1;
        self.leaves_database |= spec.name == "select" || matches!(spec.run, Run::Databases(_));
        Answer::Reply(Reply::Simple("QUEUED"))
    }
}

impl Client {
    pub fn multi(&mut self) -> Answer<'static> {
        if self.session.transaction.is_some() {
            return refused("ERR MULTI calls can not be nested");
        }
        self.session.transaction = Some(Box::default());
        OK
    }

    pub fn discard(&mut self) -> Answer<'static> {
        if self.session.transaction.take().is_none() {
            return refused("ERR DISCARD without MULTI");
        }
        self.unwatch();
        OK
    }

    pub fn watch(&mut self, command: Command<'_>) -> Answer<'static> {
        if self.session.transaction.is_some() {
            return refused("ERR WATCH inside MULTI is not allowed");
        }
        let db = self.session.db;
        for key in command.arguments() {
            if self.session.watched.iter().any(|(known_db, known, _)| (*known_db, &**known) == (db, key)) {
                continue;
            }
            if self.session.watched.len() == MOST_WATCHED {
                return refused("ERR too many keys are watched");
            }
            let changes = self.shared.store.lock(db, [key].into_iter()).watch(key);
            self.session.watched.push((db, Bytes::copy_from_slice(key), changes));
        }
        OK
    }

    pub fn unwatch(&mut self) {
        for (db, key, _) in self.session.watched.drain(..) {
            self.shared.store.lock(db, [&*key].into_iter()).unwatch(&key);
        }
    }

    /// Does what was queued, while no other client sees or changes a key.
    pub fn exec(&mut self, conn: &Conn<Commands>) -> Answer<'static> {
        let Some(transaction) = self.session.transaction.take() else { return refused("ERR EXEC without MULTI") };
        if transaction.is_broken {
            self.unwatch();
            return refused("EXECABORT Transaction discarded because of previous errors.");
        }
        let (shared, db) = (self.shared.clone(), self.session.db);
        let elsewhere = transaction.leaves_database || self.session.watched.iter().any(|(watched, ..)| *watched != db);
        let mut keys = shared.store.lock_all(db, elsewhere);
        let mut is_changed = false;
        for (db, key, changes) in self.session.watched.drain(..) {
            keys.db = db;
            is_changed |= keys.unwatch(&key) != changes;
        }
        if is_changed {
            return Answer::Reply(Reply::NullArray);
        }
        Answer::Encoded(self.exec_all(conn, *transaction, &mut keys))
    }

    fn exec_all(&mut self, conn: &Conn<Commands>, transaction: Transaction, keys: &mut Locked<'_>) -> Vec<u8> {
        let (mut to, mut answers) = (encoder(self.session.version), array(transaction.count));
        let codec = Commands::default().max_command(LONGEST).max_arguments(usize::MAX);
        let ((mut from, _), mut queued) = (codec.halves(), transaction.queued);
        let mut rest = &mut queued[..];
        while let Ok(Some(end)) = from.frame_end(Input::from(&*rest)) {
            let (frame, behind) = rest.split_at_mut(end);
            rest = behind;
            let Ok(command) = from.decode(frame) else { break };
            let Ok(Spec { run: Run::Keys(action) | Run::Database(action) | Run::Databases(action), .. }) =
                Spec::of(command)
            else {
                break;
            };
            keys.db = self.session.db;
            let mut call = Call { shared: &self.shared, session: &mut self.session, conn, keys };
            let answer = action(&mut call, command);
            answers.extend(encode_to_vec(&mut to, &answer).unwrap_or_default());
        }
        answers
    }
}
