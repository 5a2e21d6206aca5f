use super::place::TICK;
use super::wheel::{TimerKey, Wheel};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The slow, obvious wheel: a sorted map.
#[derive(Default)]
struct Model {
    /// By the tick at which it counts and the order of insertion.
    waiting: BTreeMap<(u64, u32), u64>,
    /// The latest moment seen.
    now: u64,
}

impl Model {
    /// The earliest tick, as a time.
    fn earliest(&self) -> Option<u64> {
        self.waiting.keys().next().map(|(tick, _)| tick * TICK)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// This far from now: ahead or back.
    Insert(i64),
    Cancel(prop::sample::Index),
    Replace(prop::sample::Index),
    Advance(u64, usize),
    /// Exactly to `next_deadline`.
    AdvanceToNext(usize),
}

/// Nanoseconds to some twenty years, each magnitude as likely as the others.
fn span() -> impl Strategy<Value = u64> {
    (0..59_u32, any::<u64>()).prop_map(|(magnitude, bits)| (1 << magnitude) | (bits & ((1 << magnitude) - 1)))
}

fn step() -> impl Strategy<Value = Step> {
    let limit = || prop_oneof![1..4_usize, Just(usize::MAX)];
    prop_oneof![
        6 => (span(), 0..8).prop_map(|(span, one_in)| Step::Insert(if one_in == 0 { -(span as i64) } else { span as i64 })),
        1 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        1 => any::<prop::sample::Index>().prop_map(Step::Replace),
        2 => (span(), limit()).prop_map(|(span, limit)| Step::Advance(span, limit)),
        4 => limit().prop_map(Step::AdvanceToNext),
    ]
}

/// Advances both and compares. With a limit, whatever is handed out must be what the model has first.
fn advance(wheel: &mut Wheel<u32>, model: &mut Model, to: u64, limit: usize) -> Result<(), TestCaseError> {
    let mut expired = Vec::new();
    // A limited advance may leave next_deadline behind the clock, which does not go back.
    model.now = model.now.max(to);
    let more = wheel.advance(model.now, limit, &mut expired);
    prop_assert!(expired.len() <= limit);
    let mut last = 0;
    for value in expired {
        let at = model.waiting.iter().find(|((_, id), _)| *id == value).map(|(at, deadline)| (*at, *deadline));
        let ((tick, id), deadline) = at.expect("handed out once, and not after a cancel");
        prop_assert!(deadline <= model.now, "early");
        prop_assert!(last <= tick, "out of order");
        prop_assert_eq!(Some(tick * TICK), model.earliest(), "not the earliest");
        last = tick;
        model.waiting.remove(&(tick, id));
    }
    if !more {
        prop_assert!(model.earliest().is_none_or(|earliest| model.now < earliest), "late by more than a tick");
    }
    Ok(())
}

proptest! {
    #[test]
    fn acts_like_a_sorted_map(steps in prop::collection::vec(step(), 1..200)) {
        let mut wheel = Wheel::new();
        let mut model = Model::default();
        let mut keys: Vec<(TimerKey, u32)> = Vec::new();
        for (id, step) in (0_u32..).zip(steps) {
            match step {
                Step::Insert(span) => {
                    let deadline = model.now.saturating_add_signed(span);
                    keys.push((wheel.insert(deadline, id), id));
                    // What is late already counts as of the tick that time has reached: one that a limited advance may
                    // not have passed on to everybody yet.
                    let tick = deadline.div_ceil(TICK).max(wheel.elapsed());
                    model.waiting.insert((tick, id), deadline);
                }
                Step::Cancel(_) | Step::Replace(_) if keys.is_empty() => {}
                Step::Cancel(at) => {
                    let (key, id) = *at.get(&keys);
                    let waits = model.waiting.keys().find(|(_, other)| *other == id).copied();
                    prop_assert_eq!(wheel.cancel(key), waits.map(|(_, id)| id));
                    waits.map(|at| model.waiting.remove(&at));
                }
                Step::Replace(at) => {
                    let (key, id) = *at.get(&keys);
                    let waits = model.waiting.keys().any(|(_, other)| *other == id);
                    prop_assert_eq!(wheel.get_mut(key).copied(), waits.then_some(id));
                }
                Step::Advance(span, limit) => {
                    let to = model.now.saturating_add(span);
                    advance(&mut wheel, &mut model, to, limit)?;
                }
                Step::AdvanceToNext(limit) => {
                    if let Some(next) = wheel.next_deadline() {
                        advance(&mut wheel, &mut model, next, limit)?;
                    }
                }
            }
            prop_assert_eq!(wheel.len(), model.waiting.len());
            prop_assert_eq!(wheel.next_deadline().is_none(), model.waiting.is_empty());
            if let (Some(next), Some(earliest)) = (wheel.next_deadline(), model.earliest()) {
                prop_assert!(next <= earliest, "{} would wake after {}", next, earliest);
            }
        }
        // To the end by next_deadline alone. Each timer costs at most a wake a level.
        let mut wakes = 8 * wheel.len();
        while let Some(next) = wheel.next_deadline() {
            prop_assert!(wakes > 0, "no progress");
            wakes -= 1;
            advance(&mut wheel, &mut model, next, usize::MAX)?;
        }
        prop_assert!(model.waiting.is_empty());
    }
}

#[test]
fn not_a_nanosecond_early_and_a_tick_late_at_most() {
    for deadline in [1, 2, TICK - 1, TICK, TICK + 1, 64 * TICK, 64 * TICK + 1, 4096 * TICK - 1, 10_000_000_000] {
        let mut wheel = Wheel::new();
        wheel.insert(deadline, ());
        let mut expired = Vec::new();
        wheel.advance(deadline - 1, usize::MAX, &mut expired);
        assert_eq!(expired.len(), 0, "{deadline} early");
        wheel.advance(deadline - 1 + TICK, usize::MAX, &mut expired);
        assert_eq!(expired.len(), 1, "{deadline} late");
    }
}

#[test]
fn many_at_once_come_in_portions() {
    let mut wheel = Wheel::new();
    let deadline = 60_000_000_000;
    for value in 0..100_000 {
        wheel.insert(deadline + value % 1000, value);
    }
    let mut all = Vec::new();
    loop {
        let mut portion = Vec::new();
        let more = wheel.advance(deadline + TICK, 1000, &mut portion);
        assert!(portion.len() <= 1000);
        all.append(&mut portion);
        if !more {
            break;
        }
    }
    all.sort_unstable();
    assert!(all.into_iter().eq(0..100_000));
}

#[test]
fn arming_and_cancelling_takes_no_new_memory() {
    let mut wheel = Wheel::new();
    let armed: Vec<TimerKey> = (0..1000).map(|i| wheel.insert(i * TICK, i)).collect();
    let mut last = armed[0];
    for i in 0..if cfg!(debug_assertions) { 100_000 } else { 10_000_000 } {
        wheel.cancel(last);
        last = wheel.insert(i * 1_000_000, i);
    }
    assert_eq!(wheel.slots(), 1000);
}

#[test]
fn the_ends_of_time() {
    let mut wheel = Wheel::new();
    let mut expired = Vec::new();
    wheel.insert(0, "at the origin");
    wheel.insert(u64::MAX, "never");
    wheel.insert(u64::MAX - TICK, "in 584 years");
    assert_eq!(wheel.next_deadline(), Some(0));
    assert!(!wheel.advance(0, usize::MAX, &mut expired));
    assert_eq!(expired, ["at the origin"]);
    assert!(!wheel.advance(u64::MAX - 1, usize::MAX, &mut expired));
    assert_eq!(expired, ["at the origin", "in 584 years"]);
    assert_eq!((wheel.len(), wheel.next_deadline()), (1, Some(u64::MAX)));
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut wheel = Wheel::new();
    let mut expired = Vec::new();
    wheel.advance(100 * TICK, usize::MAX, &mut expired);
    wheel.insert(101 * TICK, 'a');
    assert!(!wheel.advance(0, usize::MAX, &mut expired));
    assert_eq!((expired.len(), wheel.next_deadline()), (0, Some(101 * TICK)));
}

#[test]
fn a_fresh_wheel_is_small() {
    assert!(size_of::<Wheel<std::task::Waker>>() <= 2 * 1024 + 192);
}
