//! Masking: RFC 6455, section 5.3.

use std::cell::RefCell;

/// Masks that a peer cannot foresee (RFC 6455, section 10.3), so many by one system call.
#[derive(Debug, Default)]
pub(super) struct Masks(RefCell<Vec<[u8; 4]>>);

const MASKS: usize = 64;

impl Masks {
    /// A mask that was not used before; none where the system has no randomness. A frame must not be sent then: a mask that can be
    /// foreseen lets an attacker choose what stands on the wire.
    #[inline]
    pub(super) fn next(&self) -> Option<[u8; 4]> {
        self.next_from(|masks| getrandom::fill(masks).is_ok())
    }

    #[inline]
    fn next_from(&self, fill: impl FnOnce(&mut [u8]) -> bool) -> Option<[u8; 4]> {
        let mut masks = self.0.borrow_mut();
        masks.pop().or_else(|| drawn(&mut masks, fill))
    }
}

#[cold]
fn drawn(masks: &mut Vec<[u8; 4]>, fill: impl FnOnce(&mut [u8]) -> bool) -> Option<[u8; 4]> {
    masks.resize(MASKS, [0; 4]);
    if !fill(masks.as_flattened_mut()) {
        masks.clear();
    }
    masks.pop()
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
    fn mask_is_none_while_the_system_has_no_randomness() {
        let masks = Masks::default();
        for _ in 0..3 {
            assert_eq!(masks.next_from(|_| false), None);
        }
        // What fails half-way has left nothing that could be used.
        let fails = |masks: &mut [u8]| {
            masks[0] = 1;
            false
        };
        assert_eq!(masks.next_from(fails), None);
        for i in 0..3 * MASKS {
            let fresh = |masks: &mut [u8]| {
                masks.fill(7);
                true
            };
            assert_eq!(masks.next_from(fresh), Some([7; 4]), "{i}");
        }
        assert_eq!(masks.next_from(|_| false), None);
    }

    #[test]
    fn masks_are_all_different() {
        let masks = Masks::default();
        let drawn: std::collections::HashSet<_> = (0..1000).map(|_| masks.next().unwrap()).collect();
        // Two of them are the same once in ten thousand runs; ten pairs never.
        assert!(drawn.len() > 990, "{}", drawn.len());
    }

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
