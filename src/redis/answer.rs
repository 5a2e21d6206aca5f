//! Replies that have come, with bytes of their own.

use super::{FromReply, RedisError, ServerError};
use crate::resp::{Value, read_value};
use std::fmt;

/// Replies of so many bytes are kept without an allocation: lines, numbers, short strings.
const SHORT: usize = 38;

/// A reply. Its bytes were copied once, out of the connection's buffer; what is read of it is lent from there.
#[derive(Clone)]
pub struct Answer(Kept);

#[derive(Clone)]
enum Kept {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

impl Answer {
    #[inline]
    pub(super) fn new(frame: &[u8]) -> Answer {
        if frame.len() > SHORT {
            return Answer(Kept::Long(frame.into()));
        }
        let mut bytes = [0; SHORT];
        bytes[..frame.len()].copy_from_slice(frame);
        Answer(Kept::Short { length: frame.len() as u8, bytes })
    }

    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Short { length, bytes } => &bytes[..usize::from(*length)],
            Kept::Long(bytes) => bytes,
        }
    }

    /// What the server has sent, lent.
    pub fn value(&self) -> Value<'_> {
        // It was read when it came.
        read_value(self.bytes(), false).map_or(Value::Null, |(value, _)| value)
    }

    /// The reply as a type of Rust's.
    ///
    /// # Errors
    /// [`RedisError::Type`] when it is of another.
    pub fn to<T: FromReply>(&self) -> Result<T, RedisError> {
        T::from_reply(self.value())
    }

    /// An error of the server as that.
    #[inline]
    pub(super) fn checked(self) -> Result<Answer, RedisError> {
        // Attributes stand in front of values, and no server is known to send them with an error.
        if matches!(self.bytes().first(), Some(b'-' | b'!')) { Err(self.refused()) } else { Ok(self) }
    }

    #[cold]
    fn refused(&self) -> RedisError {
        RedisError::Server(ServerError::new(self.value().as_bytes().unwrap_or_default()))
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

/// The replies to the commands of a [`Pipeline`](super::Pipeline), in their order.
#[derive(Clone)]
pub struct Answers {
    bytes: Vec<u8>,
    from: usize,
    count: usize,
}

impl Answers {
    pub(super) fn new(bytes: Vec<u8>, count: usize) -> Answers {
        Answers { bytes, from: 0, count }
    }

    /// The replies within that of EXEC, which is the last of `count + 2`; those before say only that the commands were queued.
    pub(super) fn of_transaction(bytes: Vec<u8>, count: usize) -> Result<Answers, RedisError> {
        let all = Answers { bytes, from: 0, count: count + 2 };
        let mut from = 0;
        let mut refused = None;
        for _ in 0..=count {
            let (value, length) = all.at(from);
            if let (Value::Error(line), None) = (value, &refused) {
                refused = Some(ServerError::new(line));
            }
            from += length;
        }
        let (executed, _) = all.at(from);
        match (refused, executed) {
            (Some(error), _) => Err(RedisError::Server(error)),
            (None, Value::Array(values)) if values.len() == count => {
                // Behind the line of the array; attributes before it were passed over.
                let line = all.bytes[from..].iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                Ok(Answers { from: from + line, count, ..all })
            }
            (None, other) => Err(RedisError::wrong_type("an array of the transaction's replies", other)),
        }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn at(&self, from: usize) -> (Value<'_>, usize) {
        read_value(&self.bytes[from..], false).unwrap_or((Value::Null, 0))
    }

    /// What the server has sent, lent. An error is a [`Value::Error`].
    pub fn iter(&self) -> impl Iterator<Item = Value<'_>> {
        let mut from = self.from;
        (0..self.count).map(move |_| {
            let (value, length) = self.at(from);
            from += length;
            value
        })
    }

    /// The reply to the command at `index`, as a type of Rust's. It reads those before it.
    ///
    /// # Errors
    /// [`RedisError::Server`] when the server has refused that command, [`RedisError::Type`] when its reply is of another type.
    ///
    /// # Panics
    /// If there were not so many commands.
    #[track_caller]
    pub fn get<T: FromReply>(&self, index: usize) -> Result<T, RedisError> {
        let value = self.iter().nth(index);
        T::from_reply(value.unwrap_or_else(|| panic!("reply {index} of a pipeline of {}", self.count)))
    }

    /// All replies as a type of Rust's each.
    ///
    /// # Errors
    /// The first one's, as [`get`](Answers::get) has it.
    pub fn all<T: FromReply>(&self) -> Result<Vec<T>, RedisError> {
        self.iter().map(T::from_reply).collect()
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
