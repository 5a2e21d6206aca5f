use super::*;
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::VecDeque;

#[derive(Clone, Debug)]
enum Step {
    /// Reads into the spare room as a vectored read does.
    Read(Index),
    Extend(usize),
    /// Lends a frame, changes it in place and consumes it.
    Frame(Index),
    Consume(Index),
    Resize(usize),
    Look(Index, Index, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<Index>().prop_map(Step::Read),
        2 => (0..80_usize).prop_map(Step::Extend),
        4 => any::<Index>().prop_map(Step::Frame),
        3 => any::<Index>().prop_map(Step::Consume),
        1 => (0..200_usize).prop_map(Step::Resize),
        4 => (any::<Index>(), any::<Index>(), any::<u8>()).prop_map(|(at, n, byte)| Step::Look(at, n, byte)),
    ]
}

/// What `Input` says about the waiting bytes, from `at` on and a little beyond the end.
fn look(input: Input<'_>, waiting: &[u8], at: usize, n: usize, byte: u8) -> Result<(), TestCaseError> {
    prop_assert_eq!(input.get(at), waiting.get(at).copied());
    let found = (at..waiting.len()).find(|i| waiting[*i] == byte);
    prop_assert_eq!(input.find(byte, at), found);
    let rest = waiting.get(at..).unwrap_or_default();
    let skipped = input.skip(at);
    prop_assert_eq!(skipped.len(), rest.len());
    prop_assert_eq!(skipped.is_empty(), rest.is_empty());
    prop_assert_eq!(skipped.find(byte, 0), found.map(|i| i - at));
    prop_assert_eq!(input.array::<1>(at), rest.first_chunk().copied());
    prop_assert_eq!(input.array::<4>(at), rest.first_chunk().copied());
    prop_assert_eq!(input.array::<14>(at), rest.first_chunk().copied());
    let mut copy = vec![0; n.min(rest.len())];
    skipped.copy_to(&mut copy);
    prop_assert_eq!(&copy[..], &rest[..copy.len()]);
    Ok(())
}

proptest! {
    #[test]
    fn acts_like_a_queue_of_bytes(capacity in 0..70_usize, steps in prop::collection::vec(step(), 1..200)) {
        let mut ring = Ring::with_capacity(capacity);
        let mut model: VecDeque<u8> = VecDeque::new();
        prop_assert!(ring.capacity() >= capacity);
        let mut bytes = (0..=250_u8).cycle();
        for step in steps {
            let room = ring.capacity() - ring.len();
            match step {
                Step::Read(n) => {
                    let n = n.index(room + 1);
                    let (first, second) = ring.spare();
                    prop_assert_eq!(first.len() + second.len(), room);
                    prop_assert!(!first.is_empty() || room == 0);
                    for place in first.iter_mut().chain(second).take(n) {
                        *place = bytes.next().unwrap();
                        model.push_back(*place);
                    }
                    ring.filled(n);
                }
                Step::Extend(n) => {
                    let more: Vec<u8> = bytes.by_ref().take(n).collect();
                    prop_assert_eq!(ring.extend(&more), n.min(room));
                    model.extend(&more[..n.min(room)]);
                }
                Step::Frame(n) => {
                    let n = n.index(ring.len() + 1);
                    let lent = ring.contiguous(n);
                    let expected: Vec<u8> = model.iter().copied().take(lent.len()).collect();
                    prop_assert!(lent.len() >= n);
                    prop_assert_eq!(&lent[..], expected);
                    lent[..n].fill(0xff);
                    let again = ring.contiguous(n);
                    prop_assert!(again[..n].iter().all(|byte| *byte == 0xff), "what a decoder has changed stays changed");
                    model.drain(..n);
                    ring.consume(n);
                }
                Step::Consume(n) => {
                    let n = n.index(ring.len() + 1);
                    model.drain(..n);
                    ring.consume(n);
                }
                Step::Resize(to) => {
                    ring.resize(to);
                    prop_assert!(ring.capacity() >= to.max(model.len()));
                    prop_assert!(ring.capacity() <= (2 * to).max(2 * model.len()).max(1), "no more than asked for");
                }
                Step::Look(at, n, byte) => {
                    let (at, n) = (at.index(model.len() + 2), n.index(model.len() + 1));
                    look(ring.input(), model.make_contiguous(), at, n, byte)?;
                }
            }
            let (first, second) = ring.input().as_slices();
            prop_assert!(!first.is_empty() || second.is_empty());
            prop_assert_eq!(&[first, second].concat()[..], &*model.make_contiguous());
            prop_assert!(ring.capacity().is_power_of_two());
            prop_assert_eq!(ring.len(), model.len());
            prop_assert_eq!(ring.is_empty(), model.is_empty());
            prop_assert_eq!(ring.is_full(), model.len() == ring.capacity());
        }
    }
}

fn kept(ring: &Ring) -> usize {
    size_of::<Ring>() + ring.block.len() + ring.scratch.capacity()
}

/// A full ring of `capacity` bytes whose input wraps after `first` of them.
fn wrapped(capacity: usize, first: usize) -> Ring {
    let mut ring = Ring::with_capacity(capacity);
    ring.filled(capacity);
    ring.consume(capacity - first);
    ring.filled(capacity - first);
    ring
}

#[test]
fn a_giant_that_wrapped_costs_no_memory_afterwards() {
    let mut ring = wrapped(4 * SCRATCH_KEPT, 10);
    ring.contiguous(2 * SCRATCH_KEPT);
    ring.consume(2 * SCRATCH_KEPT);
    assert_eq!(kept(&ring), size_of::<Ring>() + ring.capacity());
}

#[test]
fn a_ring_that_shrinks_takes_no_scratch_along() {
    let mut ring = wrapped(SCRATCH_KEPT, 10);
    ring.contiguous(SCRATCH_KEPT / 2);
    ring.consume(SCRATCH_KEPT);
    assert!(kept(&ring) > SCRATCH_KEPT * 3 / 2, "kept for the next frame that wraps");
    ring.resize(4096);
    assert_eq!(kept(&ring), size_of::<Ring>() + 4096);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic = "a frame of 3 bytes in 2 of input"]
fn a_frame_longer_than_the_input_panics() {
    let mut ring = Ring::with_capacity(8);
    ring.filled(2);
    ring.contiguous(3);
}

#[test]
#[should_panic = "more is consumed than there is"]
fn consuming_more_than_the_input_panics() {
    let mut ring = Ring::with_capacity(8);
    ring.filled(2);
    ring.consume(3);
}

#[test]
#[should_panic = "9 bytes filled into 8 of room"]
fn filling_more_than_the_room_panics() {
    Ring::with_capacity(8).filled(9);
}

#[test]
fn a_part_of_a_frame_that_wraps_can_be_consumed() {
    let mut ring = wrapped(16, 12);
    let before = ring.input().as_slices();
    assert!(!before.1.is_empty());
    let all = [before.0, before.1].concat();
    let frame = ring.contiguous(all.len());
    frame[all.len() - 1] = 99;
    ring.rewrap();
    ring.consume(1);
    let input = ring.input();
    let left = [input.as_slices().0, input.as_slices().1].concat();
    assert_eq!(left[..left.len() - 1], all[1..all.len() - 1]);
    assert_eq!(left.last(), Some(&99), "what was changed in place stays so");
    ring.extend(&[1]);
    let length = ring.len();
    assert_eq!(ring.contiguous(length)[length - 2..], [99, 1]);
}

#[test]
fn what_was_made_contiguous_before_a_move_is_not_lent_after_it() {
    let mut ring = wrapped(16, 12);
    let length = ring.len();
    ring.contiguous(length);
    ring.move_to(&mut Ring::with_capacity(64));
    // Another connection has it now, and a frame that lies where the old one lay.
    ring.rewind();
    ring.extend(&[0; 12]);
    ring.consume(12);
    let innocent = vec![b'i'; length];
    ring.extend(&innocent);
    assert_eq!(ring.contiguous(length), innocent);
}
