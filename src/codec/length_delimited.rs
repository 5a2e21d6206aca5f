use super::{Decoder, Encoder, Error, Input, Output};
use crate::limits;
use bytes::Bytes;

/// The length of the field in the plain case.
const PLAIN_HEADER: usize = 4;

/// Messages behind a length field, as `&[u8]`.
///
/// ```text
///   | offset bytes | length field | payload ... |
///                   field's value + adjustment = bytes of payload
/// ```
///
/// The default is a field of four bytes in network order that counts the payload, which is what most such protocols use,
/// and 64 KiB at most.
///
/// The bytes before the field (see [`offset`](LengthDelimited::offset)) are received with the message and are sent as its
/// first bytes: a message then is header and payload without the length field.
///
/// ```
/// use tiderace::codec::{Decoder, Input, LengthDelimited};
///
/// let mut frames = LengthDelimited::default();
/// assert_eq!(frames.frame_end(Input::from(&[0, 0, 0, 2, 7, 7, 0][..])), Ok(Some(6)));
/// assert_eq!(frames.decode(&mut [0, 0, 0, 2, 7, 7]), Ok(&[7, 7][..]));
///
/// // Two bytes, little-endian, that count themselves too.
/// let mut frames = LengthDelimited::default().width(2).little_endian().adjustment(-2);
/// assert_eq!(frames.frame_end(Input::from(&[4, 0, 7, 7][..])), Ok(Some(4)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthDelimited {
    adjustment: i64,
    max: usize,
    offset: u32,
    width: u8,
    little_endian: bool,
    /// All of the above but the maximum are the default, which has a path of its own, and the maximum fits the field.
    plain: bool,
}

impl Default for LengthDelimited {
    fn default() -> LengthDelimited {
        LengthDelimited { adjustment: 0, max: limits::FRAME, offset: 0, width: 4, little_endian: false, plain: true }
    }
}

impl LengthDelimited {
    /// The width of the length field: 1 to 8 bytes. Default: 4.
    ///
    /// # Panics
    /// If it is something else.
    pub fn width(mut self, bytes: u8) -> Self {
        assert!((1..=8).contains(&bytes), "a length field has 1 to 8 bytes, not {bytes}");
        self.width = bytes;
        self.with_path()
    }

    /// The least significant byte of the field comes first. Default: the most significant one does.
    pub fn little_endian(mut self) -> Self {
        self.little_endian = true;
        self.with_path()
    }

    /// How many bytes stand before the length field. Default: 0.
    pub fn offset(mut self, bytes: u32) -> Self {
        self.offset = bytes;
        self.with_path()
    }

    /// What to add to the field's value for the length of the payload: negative where the field counts itself or other
    /// bytes before the payload. Default: 0.
    pub fn adjustment(mut self, bytes: i64) -> Self {
        self.adjustment = bytes;
        self.with_path()
    }

    /// The longest payload that is taken or sent, in bytes. Default: 64 KiB. A longer one ends the connection as soon as
    /// it is announced; nothing is allocated for it.
    pub fn max(mut self, bytes: usize) -> Self {
        self.max = bytes;
        self.with_path()
    }

    /// Bytes before the payload.
    fn header(&self) -> usize {
        self.offset as usize + usize::from(self.width)
    }

    fn with_path(mut self) -> Self {
        let usual = self.width == 4 && !self.little_endian && self.offset == 0 && self.adjustment == 0;
        self.plain = usual && u32::try_from(self.max).is_ok();
        self
    }

    fn field(&self, input: Input<'_>) -> Option<u64> {
        let width = usize::from(self.width);
        if input.len() < self.header() {
            return None;
        }
        let mut bytes = [0; 8];
        let field = input.skip(self.offset as usize);
        Some(if self.little_endian {
            field.copy_to(&mut bytes[..width]);
            u64::from_le_bytes(bytes)
        } else {
            field.copy_to(&mut bytes[8 - width..]);
            u64::from_be_bytes(bytes)
        })
    }

    /// The payload that a field's value announces.
    fn payload(&self, field: u64) -> Result<u64, Error> {
        let length = i128::from(field) + i128::from(self.adjustment);
        u64::try_from(length).map_err(|_| match length < 0 {
            true => Error::TooShort { min: self.adjustment.unsigned_abs(), length: field },
            false => self.too_long(u64::MAX),
        })
    }

    /// Takes the input's slices, not the [`Input`], which can so stay in registers on the plain path.
    #[cold]
    fn any_frame_end(&self, first: &[u8], second: &[u8]) -> Result<Option<usize>, Error> {
        let input = Input::new(first, second);
        let Some(field) = self.field(input) else { return Ok(None) };
        let payload = self.payload(field)?;
        if payload > self.max as u64 {
            return Err(self.too_long(payload));
        }
        // At most `max`, so it fits.
        let end = self.header().saturating_add(payload as usize);
        Ok((end <= input.len()).then_some(end))
    }

    /// The frame without its length field: what stands before that closes up to what stands behind it.
    fn without_field<'a>(&self, frame: &'a mut [u8]) -> &'a [u8] {
        let (offset, width) = (self.offset as usize, usize::from(self.width));
        frame.copy_within(..offset, width);
        &frame[width..]
    }

    #[cold]
    fn too_long(&self, length: u64) -> Error {
        Error::TooLong { max: self.max, length }
    }

    /// Whether bytes stand before the field.
    #[cfg(feature = "protobuf")]
    pub(crate) fn has_offset(&self) -> bool {
        self.offset > 0
    }

    /// Writes the field for a payload.
    pub(crate) fn put_field(&self, payload: usize, output: &mut Output<'_>) -> Result<(), Error> {
        if payload > self.max {
            return Err(self.too_long(payload as u64));
        }
        let width = usize::from(self.width);
        let max = u64::MAX >> (64 - 8 * width);
        let length = payload as i128 - i128::from(self.adjustment);
        let field = u64::try_from(length).ok().filter(|field| *field <= max);
        let field = field.ok_or(Error::Unrepresentable { max, length })?;
        if self.little_endian {
            output.put_slice(&field.to_le_bytes()[..width]);
        } else {
            output.put_slice(&field.to_be_bytes()[8 - width..]);
        }
        Ok(())
    }

    /// The bytes before the field, with which a message begins.
    fn before_field<'m>(&self, message: &'m [u8]) -> Result<&'m [u8], Error> {
        let offset = self.offset as usize;
        message.get(..offset).ok_or(Error::WrongLength { expected: offset, length: message.len() })
    }
}

impl Decoder for LengthDelimited {
    type Item<'a> = &'a [u8];
    type Error = Error;

    #[inline]
    fn frame_end(&mut self, input: Input<'_>) -> Result<Option<usize>, Error> {
        if !self.plain {
            let (first, second) = input.as_slices();
            return self.any_frame_end(first, second);
        }
        let Some(field) = input.array(0) else { return Ok(None) };
        let payload = u32::from_be_bytes(field) as usize;
        if payload > self.max {
            return Err(self.too_long(payload as u64));
        }
        let end = PLAIN_HEADER + payload;
        if end <= input.len() { Ok(Some(end)) } else { Ok(None) }
    }

    #[inline]
    fn decode<'a>(&'a mut self, frame: &'a mut [u8]) -> Result<&'a [u8], Error> {
        let payload = if self.plain { frame.get(PLAIN_HEADER..) } else { Some(self.without_field(frame)) };
        Ok(payload.unwrap_or_default())
    }

    fn max_buffered(&self) -> usize {
        self.max.saturating_add(self.header())
    }
}

impl Encoder<[u8]> for LengthDelimited {
    type Error = Error;

    #[inline]
    fn encode(&mut self, message: &[u8], output: &mut Output<'_>) -> Result<(), Error> {
        if self.plain && message.len() <= self.max {
            output.put_prefixed((message.len() as u32).to_be_bytes(), message);
            return Ok(());
        }
        let before = self.before_field(message)?;
        output.put_slice(before);
        self.put_field(message.len() - before.len(), output)?;
        output.put_slice(&message[before.len()..]);
        Ok(())
    }
}

impl Encoder<Bytes> for LengthDelimited {
    type Error = Error;

    fn encode(&mut self, message: &Bytes, output: &mut Output<'_>) -> Result<(), Error> {
        let before = self.before_field(message)?;
        output.put_slice(before);
        self.put_field(message.len() - before.len(), output)?;
        output.put_bytes(message.slice(before.len()..));
        Ok(())
    }

    fn size_hint(message: &Bytes) -> usize {
        message.len()
    }
}

impl Encoder<str> for LengthDelimited {
    type Error = Error;

    fn encode(&mut self, message: &str, output: &mut Output<'_>) -> Result<(), Error> {
        Encoder::<[u8]>::encode(self, message.as_bytes(), output)
    }
}
