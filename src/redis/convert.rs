//! Replies as Rust's own types.

use super::RedisError;
use crate::resp::Value;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

/// What a reply can become: [`Answer::to`](super::Answer::to), [`Redis::query`](super::Redis::query).
///
/// | type | of |
/// |---|---|
/// | integers | an integer, or digits in a text; out of range is an error |
/// | `f64` | a double, an integer, or a number in a text |
/// | `bool` | a boolean, the integers 0 and 1, or the line `OK` |
/// | `String` | a text in UTF-8, a number |
/// | `Vec<u8>`, [`Bytes`] | a text |
/// | `Option<T>` | null, or a `T` |
/// | `Vec<T>`, sets | an array, a set; null is an error |
/// | maps | a map, or an array of keys and values in turns, as version 2 has it |
/// | tuples | an array of as many values |
/// | `()` | anything but an error |
///
/// An error within an array is the error of the whole, except of a `Result<T, RedisError>`.
pub trait FromReply: Sized {
    /// Makes it of a reply.
    ///
    /// # Errors
    /// [`RedisError::Server`] of an error; [`RedisError::Type`] of a reply of another type, or out of range.
    fn from_reply(value: Value<'_>) -> Result<Self, RedisError>;
}

macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl FromReply for $integer {
            fn from_reply(value: Value<'_>) -> Result<Self, RedisError> {
                let number = match value {
                    Value::Integer(number) => <$integer>::try_from(number).ok(),
                    Value::Boolean(yes) => Some(<$integer>::from(yes)),
                    Value::Error(_) => None,
                    // A sign of plus is none of Redis's.
                    other => other.as_str().filter(|text| !text.starts_with('+')).and_then(|text| text.parse().ok()),
                };
                number.ok_or_else(|| RedisError::wrong_type(concat!("an integer of the type ", stringify!($integer)), value))
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, i128, isize, u16, u32, u64, u128, usize);

impl FromReply for f64 {
    fn from_reply(value: Value<'_>) -> Result<f64, RedisError> {
        let number = match value {
            Value::Double(number) => Some(number),
            Value::Integer(number) => Some(number as f64),
            Value::Error(_) => None,
            other => other.as_str().and_then(|text| text.parse().ok()),
        };
        number.ok_or_else(|| RedisError::wrong_type("a number", value))
    }
}

impl FromReply for bool {
    fn from_reply(value: Value<'_>) -> Result<bool, RedisError> {
        match value {
            Value::Boolean(yes) => Ok(yes),
            Value::Integer(0) => Ok(false),
            Value::Integer(1) | Value::Simple(b"OK") => Ok(true),
            other => Err(RedisError::wrong_type("a boolean, 0 or 1", other)),
        }
    }
}

fn bytes(value: Value<'_>) -> Result<&[u8], RedisError> {
    match value {
        Value::Error(_) => Err(RedisError::wrong_type("a text", value)),
        other => other.as_bytes().ok_or_else(|| RedisError::wrong_type("a text", other)),
    }
}

impl FromReply for String {
    fn from_reply(value: Value<'_>) -> Result<String, RedisError> {
        match value {
            Value::Integer(number) => Ok(number.to_string()),
            Value::Double(number) => Ok(number.to_string()),
            other => match std::str::from_utf8(bytes(other)?) {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(RedisError::Type { expected: "a text in UTF-8", found: "other bytes" }),
            },
        }
    }
}

impl FromReply for Vec<u8> {
    fn from_reply(value: Value<'_>) -> Result<Vec<u8>, RedisError> {
        bytes(value).map(<[u8]>::to_vec)
    }
}

impl FromReply for Bytes {
    fn from_reply(value: Value<'_>) -> Result<Bytes, RedisError> {
        bytes(value).map(Bytes::copy_from_slice)
    }
}

impl FromReply for () {
    fn from_reply(value: Value<'_>) -> Result<(), RedisError> {
        match value {
            Value::Error(_) => Err(RedisError::wrong_type("anything but an error", value)),
            _ => Ok(()),
        }
    }
}

impl<T: FromReply> FromReply for Option<T> {
    fn from_reply(value: Value<'_>) -> Result<Option<T>, RedisError> {
        match value {
            Value::Null => Ok(None),
            other => T::from_reply(other).map(Some),
        }
    }
}

/// What the server has refused in the midst of others is an error of its own.
impl<T: FromReply> FromReply for Result<T, RedisError> {
    fn from_reply(value: Value<'_>) -> Result<Result<T, RedisError>, RedisError> {
        match value {
            Value::Error(_) => Ok(Err(RedisError::wrong_type("a value", value))),
            other => T::from_reply(other).map(Ok),
        }
    }
}

/// The elements of an array or a set.
fn elements<T: FromReply, A: FromIterator<T>>(value: Value<'_>) -> Result<A, RedisError> {
    match value {
        Value::Array(values) | Value::Set(values) | Value::Push(values) => {
            values.into_iter().map(T::from_reply).collect()
        }
        other => Err(RedisError::wrong_type("an array", other)),
    }
}

impl<T: FromReply> FromReply for Vec<T> {
    fn from_reply(value: Value<'_>) -> Result<Vec<T>, RedisError> {
        match value {
            Value::Map(values) => values.into_iter().map(T::from_reply).collect(),
            other => elements(other),
        }
    }
}

impl<T: FromReply + Eq + Hash, S: BuildHasher + Default> FromReply for HashSet<T, S> {
    fn from_reply(value: Value<'_>) -> Result<HashSet<T, S>, RedisError> {
        elements(value)
    }
}

impl<T: FromReply + Ord> FromReply for BTreeSet<T> {
    fn from_reply(value: Value<'_>) -> Result<BTreeSet<T>, RedisError> {
        elements(value)
    }
}

/// The keys and values of a map: version 2 has no such type, and writes them as an array, in turns.
fn pairs<K: FromReply, V: FromReply, A: FromIterator<(K, V)>>(value: Value<'_>) -> Result<A, RedisError> {
    let (Value::Map(values) | Value::Array(values)) = value else {
        return Err(RedisError::wrong_type("a map", value));
    };
    if values.len() % 2 != 0 {
        return Err(RedisError::Type { expected: "keys and values in turns", found: "an odd number of values" });
    }
    let mut values = values.into_iter();
    let pair = || Some((values.next()?, values.next()?));
    std::iter::from_fn(pair).map(|(key, value)| Ok((K::from_reply(key)?, V::from_reply(value)?))).collect()
}

impl<K: FromReply + Eq + Hash, V: FromReply, S: BuildHasher + Default> FromReply for HashMap<K, V, S> {
    fn from_reply(value: Value<'_>) -> Result<HashMap<K, V, S>, RedisError> {
        pairs(value)
    }
}

impl<K: FromReply + Ord, V: FromReply> FromReply for BTreeMap<K, V> {
    fn from_reply(value: Value<'_>) -> Result<BTreeMap<K, V>, RedisError> {
        pairs(value)
    }
}

macro_rules! tuples {
    ($(($count:literal, $($name:ident),+)),*) => {$(
        impl<$($name: FromReply),+> FromReply for ($($name,)+) {
            fn from_reply(value: Value<'_>) -> Result<Self, RedisError> {
                let expected = concat!("an array of ", $count, " values");
                match value {
                    Value::Array(values) | Value::Set(values) | Value::Push(values) if values.len() == $count => {
                        let mut values = values.into_iter();
                        let mut next = || values.next().ok_or(RedisError::Type { expected, found: "fewer" });
                        Ok(($($name::from_reply(next()?)?,)+))
                    }
                    other => Err(RedisError::wrong_type(expected, other)),
                }
            }
        }
    )*};
}

tuples!((1, A), (2, A, B), (3, A, B, C), (4, A, B, C, D));
