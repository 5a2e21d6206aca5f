//! Times as the protocol has them: milliseconds since 1970, which may be given in seconds or from now on.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time of day. It may be set, and keys end by it, as those of Redis do.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// In what a time is given.
#[derive(Clone, Copy)]
pub struct Unit {
    milliseconds: i64,
    is_relative: bool,
}

impl Unit {
    pub const SECONDS: Unit = Unit { milliseconds: 1000, is_relative: true };
    pub const MILLISECONDS: Unit = Unit { milliseconds: 1, is_relative: true };
    pub const UNIX_SECONDS: Unit = Unit { milliseconds: 1000, is_relative: false };
    pub const UNIX_MILLISECONDS: Unit = Unit { milliseconds: 1, is_relative: false };

    /// The unit of an option of `SET` or `GETEX`, in capitals.
    pub fn of_option(option: &[u8]) -> Option<Unit> {
        match option {
            b"EX" => Some(Unit::SECONDS),
            b"PX" => Some(Unit::MILLISECONDS),
            b"EXAT" => Some(Unit::UNIX_SECONDS),
            b"PXAT" => Some(Unit::UNIX_MILLISECONDS),
            _ => None,
        }
    }

    /// The time that is meant, if it can be told.
    pub fn at(self, number: i64) -> Option<i64> {
        let milliseconds = number.checked_mul(self.milliseconds)?;
        if self.is_relative { now().checked_add(milliseconds) } else { Some(milliseconds) }
    }
}
