//! The date as HTTP writes it, which changes once a second.

use super::current::with_current;
use crate::io::wall_time;
use std::cell::RefCell;

const LENGTH: usize = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n".len();
const SECOND: u64 = 1_000_000_000;

/// What a core has written last, and in which second of its own.
#[derive(Default)]
pub(super) struct HttpDate(RefCell<Option<(u64, [u8; LENGTH])>>);

/// The second of its own that this core is in; always the first outside of a core.
#[cfg(feature = "websocket")]
pub(crate) fn coarse_seconds() -> u32 {
    with_current(|core| (core.now.get() / SECOND) as u32).unwrap_or(0)
}

/// The field of the date (RFC 9110, section 6.6.1), line end included. On a core it may be a second late.
pub(crate) fn http_date() -> [u8; LENGTH] {
    let known = with_current(|core| {
        let second = core.now.get() / SECOND;
        let mut last = core.http_date.0.borrow_mut();
        let (written, date) = last.get_or_insert_with(|| (second, format()));
        if *written != second {
            (*written, *date) = (second, format());
        }
        *date
    });
    known.unwrap_or_else(format)
}

#[cold]
fn format() -> [u8; LENGTH] {
    let mut date = [0; LENGTH];
    let line = format!("Date: {}\r\n", httpdate::fmt_http_date(wall_time()));
    date.copy_from_slice(line.as_bytes());
    date
}
