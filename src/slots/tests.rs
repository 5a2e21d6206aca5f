use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Clone, Debug)]
enum Step {
    Insert(u32),
    /// Of the keys ever given out, stale ones included.
    Get(prop::sample::Index),
    Change(prop::sample::Index, u32),
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u32>().prop_map(Step::Insert),
        1 => any::<prop::sample::Index>().prop_map(Step::Get),
        1 => (any::<prop::sample::Index>(), any::<u32>()).prop_map(|(at, value)| Step::Change(at, value)),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

proptest! {
    #[test]
    fn acts_like_a_map_whose_keys_are_never_given_out_twice(steps in prop::collection::vec(step(), 1..300)) {
        let mut slots = Slots::new();
        let mut model = HashMap::new();
        let mut keys: Vec<Key> = Vec::new();
        for step in steps {
            match step {
                Step::Insert(value) => {
                    let key = slots.insert(value);
                    prop_assert!(!keys.contains(&key));
                    prop_assert_eq!((slots.key_of_raw(key.raw()), Key::from_number(key.number())), (key, key));
                    model.insert(key, value);
                    keys.push(key);
                }
                _ if keys.is_empty() => {}
                Step::Get(at) => prop_assert_eq!(slots.get(*at.get(&keys)), model.get(at.get(&keys))),
                Step::Change(at, to) => {
                    let (ours, theirs) = (slots.get_mut(*at.get(&keys)), model.get_mut(at.get(&keys)));
                    prop_assert_eq!(&ours, &theirs);
                    if let (Some(ours), Some(theirs)) = (ours, theirs) {
                        (*ours, *theirs) = (to, to);
                    }
                }
                Step::Remove(at) => prop_assert_eq!(slots.remove(*at.get(&keys)), model.remove(at.get(&keys))),
            }
            prop_assert_eq!(slots.len(), model.len());
        }
        let all: HashMap<Key, u32> = slots.iter().map(|(key, value)| (key, *value)).collect();
        prop_assert_eq!(all, model);
    }

    #[test]
    fn an_arbitrary_number_as_a_key_does_no_harm(raw in any::<usize>(), taken in 0..3000_usize) {
        let mut slots = Slots::new();
        let keys: Vec<Key> = (0..taken).map(|value| slots.insert(value)).collect();
        for key in keys {
            slots.remove(key);
        }
        prop_assert_eq!(slots.get(slots.key_of_raw(raw)), None);
        prop_assert_eq!(slots.remove(slots.key_of_raw(raw)), None);
    }
}

#[test]
fn growth_moves_nothing_beyond_the_first_chunk() {
    let mut slots = Slots::new();
    let keys: Vec<Key> = (0..10 * CHUNK).map(|value| slots.insert(value)).collect();
    let before: Vec<*const usize> = keys.iter().map(|key| std::ptr::from_ref(slots.get(*key).unwrap())).collect();
    for value in 0..100 * CHUNK {
        slots.insert(value);
    }
    let after: Vec<*const usize> = keys.iter().map(|key| std::ptr::from_ref(slots.get(*key).unwrap())).collect();
    assert_eq!(before, after);
}

#[test]
fn reuse_keeps_the_table_as_small_as_it_was() {
    let mut slots = Slots::new();
    let mut last = slots.insert(0);
    for value in 1..100_000 {
        slots.remove(last);
        let key = slots.insert(value);
        assert_eq!((key.index(), slots.get(last)), (0, None));
        last = key;
    }
    assert_eq!(slots.slots(), 1);
}

#[test]
fn a_generation_wraps_within_its_bits() {
    let mut slots = Slots::new();
    let key = slots.insert('a');
    slots.chunks[0][0].generation = u32::MAX;
    assert_eq!(slots.get(key), None);
    let key = Key::new(0, u32::MAX);
    assert_eq!(slots.key_of_raw(key.raw()), key);
    assert_ne!(Key::new(NONE - 1, u32::MAX).raw(), usize::MAX);
    assert_ne!(Key::new(NONE - 1, u32::MAX).number(), u64::MAX);
    assert_eq!(slots.remove(key), Some('a'));
    assert_eq!(slots.insert('b'), Key::new(0, 0));
}

/// As many as a raw key can tell apart where pointers have 32 bits, and one more.
#[test]
fn a_stale_key_finds_nothing_however_often_its_slot_was_reused() {
    let mut slots = Slots::new();
    let stale = slots.insert(0);
    let mut last = stale;
    for value in 1..=1 << 12 {
        slots.remove(last);
        last = slots.insert(value);
        assert_eq!((last.index(), slots.get(stale)), (stale.index(), None));
        assert_eq!(slots.key_of_raw(last.raw()), last);
    }
}

#[test]
fn a_value_knows_its_key_and_a_panic_inserts_nothing() {
    let mut slots = Slots::new();
    let key = slots.insert_with(|key| key);
    assert_eq!(slots.get(key), Some(&key));
    let panicked =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| slots.insert_with(|_| panic!("on purpose"))));
    assert!(panicked.is_err());
    assert_eq!(slots.len(), 1);
    assert_eq!(slots.insert_with(|key| key).index(), 1);
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_slot_costs_eight_bytes_beside_its_value() {
    assert_eq!(size_of::<Slot<std::rc::Rc<dyn std::any::Any>>>(), 24);
}
