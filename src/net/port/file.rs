//! Sending a part of a file, past the write queue.

use super::{Port, WriteEvent};
use crate::io::{FileError, FilePart};
use crate::net::Flag;
use crate::runtime::yield_now;
use std::future::poll_fn;
use std::io;
use std::ops::RangeBounds;
use std::os::fd::BorrowedFd;
use std::task::Poll;

impl Port {
    /// Sends a part of a file behind what is queued, and says how many bytes that was. What is queued meanwhile stands behind
    /// it. A failure of the socket is the connection's, too.
    pub(crate) async fn send_file(
        &self,
        file: BorrowedFd<'_>,
        range: &impl RangeBounds<u64>,
    ) -> Result<u64, FileError> {
        let mut part = FilePart::new(file, range).map_err(FileError::File)?;
        let length = part.left();
        poll_fn(|cx| self.poll_flushed(cx)).await.map_err(FileError::Socket)?;
        if self.has(Flag::SHUT) {
            return Err(FileError::Socket(io::ErrorKind::BrokenPipe.into()));
        }
        let _held = Held::new(self);
        while part.left() > 0 {
            match part.send(&self.socket) {
                Poll::Ready(Ok(written)) => {
                    self.has_sent_past_queue(written);
                    // Others have their turns, too, also where the peer takes all of it at once.
                    yield_now().await;
                }
                Poll::Ready(Err(error)) => {
                    if let FileError::Socket(error) = &error {
                        self.fail(error);
                    }
                    return Err(error);
                }
                Poll::Pending => {
                    self.block();
                    poll_fn(|cx| self.poll_writable(cx)).await;
                }
            }
            if let Some(error) = self.failure() {
                return Err(FileError::Socket(error));
            }
        }
        Ok(length)
    }

    fn has_sent_past_queue(&self, written: usize) {
        self.core.meter.written(written);
        if self.has(Flag::TIMED) {
            self.touch();
        }
        if self.has(Flag::WATCHED) {
            self.tell_watcher(WriteEvent::After { written, queued: self.queued() });
        }
    }
}

/// Keeps the queue from being written.
struct Held<'a>(&'a Port);

impl Held<'_> {
    fn new(port: &Port) -> Held<'_> {
        port.state.set(Flag::HELD);
        Held(port)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.state.clear(Flag::HELD);
        self.0.wake_writers();
        self.0.flush_later();
    }
}
