//! Masking: RFC 6455, section 5.3.

use std::cell::RefCell;

/// Masks that nobody can foresee (RFC 6455, section 10.3), so many by one system call.
#[derive(Debug, Default)]
pub(super) struct Masks(RefCell<Vec<[u8; 4]>>);

const MASKS: usize = 64;

impl Masks {
    pub(super) fn next(&self) -> [u8; 4] {
        let mut masks = self.0.borrow_mut();
        if masks.is_empty() {
            masks.resize(MASKS, [0; 4]);
            // It fails only where the system has no randomness at all; a mask is then as good as none, and still right.
            let _ = getrandom::fill(masks.as_flattened_mut());
        }
        masks.pop().unwrap_or_default()
    }
}

/// Masks bytes, or takes their mask off, which is the same. By blocks of a fixed length, which the compiler makes vectors
/// of, then by words.
#[inline]
pub(super) fn apply(key: [u8; 4], bytes: &mut [u8]) {
    let word = u32::from_ne_bytes(key);
    let mask = |bytes: &mut [u8; 4]| *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    let (blocks, rest) = bytes.as_chunks_mut::<64>();
    for block in blocks {
        block.as_chunks_mut::<4>().0.iter_mut().for_each(mask);
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    words.iter_mut().for_each(mask);
    for (byte, key) in rest.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_masked_byte_by_byte() {
        let key = [1, 20, 0x55, 0xff];
        for length in 0..100 {
            let plain: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
            let mut masked = plain.clone();
            apply(key, &mut masked);
            let expected: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            assert_eq!(masked, expected);
            apply(key, &mut masked);
            assert_eq!(masked, plain);
        }
    }
}
