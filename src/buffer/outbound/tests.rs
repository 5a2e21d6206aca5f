use super::*;
use proptest::prelude::*;
use proptest::sample::Index;

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    PushShared(usize),
    /// Offers the queue and that many bytes more to a socket that takes some.
    Write(usize, Index),
    Advance(Index),
    Truncate(Index),
    Clear,
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0..30_usize,
        4 => SHARED_MIN - 2..SHARED_MIN + 2,
        2 => 0..5000_usize,
        1 => SEGMENT - 10..2 * SEGMENT,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => length().prop_map(Step::Push),
        8 => length().prop_map(Step::PushShared),
        4 => (length(), any::<Index>()).prop_map(|(last, taken)| Step::Write(last, taken)),
        2 => any::<Index>().prop_map(Step::Advance),
        2 => any::<Index>().prop_map(Step::Truncate),
        1 => Just(Step::Clear),
    ]
}

/// What one write is offered, and in how many slices.
fn offered(queue: &Outbound, last: &[u8]) -> (Vec<u8>, usize) {
    queue.with_slices(last, |slices| {
        let full = slices.iter().filter(|slice| !slice.is_empty()).count();
        assert!(full == slices.len() || slices.len() == 1, "an empty slice is wasted");
        (slices.iter().map(|slice| &slice[..]).collect::<Vec<_>>().concat(), full)
    })
}

/// What an empty queue may hold on to: a tail of the largest size, and the list of a few segments.
const MOST_KEPT: usize = SEGMENT + SEGMENTS_KEPT * size_of::<Segment>();

fn kept(queue: &Outbound) -> usize {
    queue.tail.capacity() + queue.segments.capacity() * size_of::<Segment>()
}

fn check_invariants(queue: &Outbound) {
    assert!(queue.segments.iter().all(|segment| !segment.bytes().is_empty()));
    let front = queue.segments.front().map_or(&queue.tail[..queue.end], Segment::bytes);
    assert!(queue.head < front.len() || (queue.head, front.len()) == (0, 0));
    assert_eq!(queue.closed, queue.segments.iter().map(|segment| segment.bytes().len()).sum::<usize>());
    assert!(queue.end <= queue.tail.len());
}

proptest! {
    #[test]
    fn acts_like_a_queue_of_bytes(steps in prop::collection::vec(step(), 1..200)) {
        let mut queue = Outbound::default();
        let mut model: Vec<u8> = Vec::new();
        let pattern: Vec<u8> = (0..=250).cycle().take(3 * SEGMENT).collect();
        let mut count = 0;
        let mut fresh = |n: usize| {
            let start = count % 251;
            count += n;
            pattern[start..start + n].to_vec()
        };
        for step in steps {
            match step {
                Step::Push(n) => {
                    let bytes = fresh(n);
                    queue.push(&bytes);
                    model.extend(bytes);
                }
                Step::PushShared(n) => {
                    let bytes = fresh(n);
                    model.extend(&bytes);
                    queue.push_shared(bytes.into());
                }
                Step::Write(last, taken) => {
                    let last = fresh(last);
                    let (offered, slices) = offered(&queue, &last);
                    let whole = [&model[..], &last].concat();
                    prop_assert!(whole.starts_with(&offered));
                    prop_assert!(offered.len() == whole.len() || slices == SLICES, "as much as one call should take");
                    let taken = taken.index(offered.len() + 1);
                    queue.advance(taken.min(model.len()));
                    queue.push(&last[taken.saturating_sub(model.len())..]);
                    model = whole[taken..].to_vec();
                }
                Step::Advance(n) => {
                    let n = n.index(model.len() + 1);
                    queue.advance(n);
                    model.drain(..n);
                }
                Step::Truncate(to) => {
                    let to = to.index(model.len() + 10);
                    queue.truncate(to);
                    model.truncate(to);
                }
                Step::Clear => {
                    queue.clear();
                    model.clear();
                }
            }
            check_invariants(&queue);
            prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
            prop_assert!(model.starts_with(&offered(&queue, &[]).0));
        }
        while !queue.is_empty() {
            let (offered, _) = offered(&queue, &[]);
            prop_assert!(model.starts_with(&offered));
            queue.advance(offered.len());
            model.drain(..offered.len());
        }
        prop_assert!(model.is_empty());
        prop_assert!(kept(&queue) <= MOST_KEPT);
    }
}

#[test]
fn large_shared_bytes_are_not_copied() {
    let bytes = Bytes::from(vec![7; SHARED_MIN]);
    let mut queue = Outbound::default();
    queue.push(b"header");
    queue.push_shared(bytes.clone());
    queue.push(b"next");
    let places = queue.with_slices(&[], |slices| slices.iter().map(|slice| slice.as_ptr()).collect::<Vec<_>>());
    assert_eq!((places.len(), places[1]), (3, bytes.as_ptr()));
}

#[test]
fn cutting_shared_bytes_copies_nothing() {
    let bytes = Bytes::from(vec![7; SHARED_MIN]);
    let mut queue = Outbound::default();
    queue.push_shared(bytes.clone());
    queue.advance(1);
    queue.push(b"half a message");
    queue.truncate(SHARED_MIN - 10);
    assert_eq!(queue.len(), SHARED_MIN - 10);
    queue.with_slices(&[], |slices| assert_eq!(slices[0].as_ptr(), bytes[1..].as_ptr()));
}

#[test]
fn a_queue_that_held_much_keeps_little() {
    let mut queue = Outbound::default();
    queue.push(&vec![0; 10 * SEGMENT]);
    queue.advance(10 * SEGMENT);
    assert!(kept(&queue) <= MOST_KEPT);
    let bytes = Bytes::from(vec![0; SHARED_MIN]);
    (0..100_000).for_each(|_| queue.push_shared(bytes.clone()));
    queue.clear();
    assert!(kept(&queue) <= MOST_KEPT);
}

#[test]
fn a_tail_that_is_written_and_filled_in_turn_stays_bounded() {
    let mut queue = Outbound::default();
    queue.push(&[0; 100]);
    for _ in 0..100_000 {
        queue.push(&[0; 100]);
        queue.advance(100);
    }
    assert!(queue.segments.len() <= 1 && kept(&queue) <= MOST_KEPT);
}

#[test]
#[should_panic = "more is written than there is"]
fn more_written_than_waits_panics() {
    let mut queue = Outbound::default();
    queue.push(b"ab");
    queue.advance(3);
}

#[test]
fn one_queue_behind_another_is_the_bytes_of_both() {
    for (before, behind) in [(0, 0), (10, 0), (3 * SEGMENT, 5), (7, 2 * SEGMENT)] {
        let (mut first, mut second) = (Outbound::default(), Outbound::default());
        let bytes: Vec<u8> = (0..20 + before + behind).map(|i| (i % 251) as u8).collect();
        let (one, other) = bytes.split_at(before + 10);
        first.push(one);
        second.push_shared(Bytes::copy_from_slice(other));
        // Both have been written in part.
        first.advance(5);
        second.advance(5);
        first.append(second);
        check_invariants(&first);
        let expected = [&one[5..], &other[5..]].concat();
        assert_eq!(first.len(), expected.len());
        first.with_slices(&[], |slices| {
            assert_eq!(slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<_>>(), expected)
        });
    }
}
