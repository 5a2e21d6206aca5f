//! What a command has brought, and how it is written.

use bytes::Bytes;
use tiderace::codec::{Encoder, Output};
use tiderace::resp::{Reply, ReplyEncoder, RespError};

pub enum Answer<'a> {
    Reply(Reply<'a>),
    Value(Bytes),
    Values(Vec<Option<Bytes>>),
    /// Keys and values: a map.
    Pairs(Vec<(Bytes, Bytes)>),
    /// Names and numbers, in turns.
    Counts(Vec<(Bytes, usize)>),
    /// A cursor and keys.
    Page(u64, Vec<Bytes>),
    /// A text of several lines.
    Text(String),
    /// A word and a sentence, which may repeat what the peer has sent.
    Refusal(String),
    /// Answers that are written already, one behind the other.
    Encoded(Vec<u8>),
}

pub const OK: Answer<'static> = Answer::Reply(Reply::Simple("OK"));
pub const NOTHING: Answer<'static> = Answer::Reply(Reply::Null);
pub const SYNTAX: Answer<'static> = refused("ERR syntax error");
pub const NO_INTEGER: Answer<'static> = refused("ERR value is not an integer or out of range");
pub const OUT_OF_MEMORY: Answer<'static> = refused("OOM command not allowed when used memory > 'maxmemory'.");

pub const fn refused(why: &'static str) -> Answer<'static> {
    Answer::Reply(Reply::Error(why))
}

impl Answer<'_> {
    pub fn is_ok(&self) -> bool {
        matches!(self, Answer::Reply(Reply::Simple(_)))
    }

    pub fn number(number: impl TryInto<i64>) -> Answer<'static> {
        Answer::Reply(Reply::Integer(number.try_into().unwrap_or(i64::MAX)))
    }

    pub fn value(value: Option<Bytes>) -> Answer<'static> {
        value.map_or(NOTHING, Answer::Value)
    }
}

impl Encoder<Answer<'_>> for ReplyEncoder {
    type Error = RespError;

    #[inline(always)]
    fn encode(&mut self, answer: &Answer<'_>, output: &mut Output<'_>) -> Result<(), RespError> {
        match answer {
            Answer::Reply(reply) => self.encode(reply, output),
            Answer::Value(value) => self.encode(&Reply::Bulk(value), output),
            answer => encode_rare(self, answer, output),
        }
    }
}

#[inline(never)]
fn encode_rare(to: &mut ReplyEncoder, answer: &Answer<'_>, output: &mut Output<'_>) -> Result<(), RespError> {
    match answer {
        Answer::Reply(reply) => to.encode(reply, output),
        Answer::Value(value) => to.encode(&Reply::Bulk(value), output),
        Answer::Text(text) => to.encode(&Reply::Verbatim(*b"txt", text), output),
        Answer::Refusal(why) => {
            // An error is a line.
            let line = why.replace(['\r', '\n'], " ");
            to.encode(&Reply::Error(&line), output)
        }
        Answer::Values(values) => {
            let replies: Vec<_> =
                values.iter().map(|value| value.as_deref().map_or(Reply::Null, Reply::Bulk)).collect();
            to.encode(&Reply::Array(&replies), output)
        }
        Answer::Pairs(pairs) => {
            let replies: Vec<_> = pairs.iter().map(|(key, value)| (Reply::Bulk(key), Reply::Bulk(value))).collect();
            to.encode(&Reply::Map(&replies), output)
        }
        Answer::Counts(counts) => {
            let each = counts.iter().flat_map(|(name, count)| [Reply::Bulk(name), Reply::Integer(*count as i64)]);
            to.encode(&Reply::Array(&each.collect::<Vec<_>>()), output)
        }
        Answer::Page(cursor, keys) => {
            let keys: Vec<_> = keys.iter().map(|key| Reply::Bulk(key)).collect();
            let cursor = cursor.to_string();
            to.encode(&Reply::Array(&[Reply::Bulk(cursor.as_bytes()), Reply::Array(&keys)]), output)
        }
        Answer::Encoded(bytes) => {
            output.put_slice(bytes);
            Ok(())
        }
    }
}
