//! Messages on their way out.

use crate::codec::Output;
use bytes::Bytes;
use prost::Message;

/// Messages up to this long are written on the stack.
const SHORT: usize = 512;

/// Writes a message whose length is known already.
pub(super) fn put_message(message: &impl Message, length: usize, output: &mut Output<'_>) {
    if length <= SHORT {
        let mut space = [0; SHORT];
        message.encode(&mut &mut space[..length]).expect("a message has the length that it says");
        output.put_slice(&space[..length]);
    } else {
        output.put_bytes(Bytes::from(message.encode_to_vec()));
    }
}
