//! The timing wheel, which is an ordinary data structure, against a sorted map.
//!
//! Five bytes are an operation: what, which entry or what distance, how far. Distances are powers of two and a little, since
//! it is the borders between its levels where a wheel can be wrong.
#![no_main]
#![allow(dead_code)] // The wheel has more than this uses.

#[path = "../../src/timer/wheel.rs"]
mod wheel;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use wheel::{Key, Wheel};

const TICK: u64 = Wheel::<usize>::TICK_NS;
/// From here on an entry never fires.
const NEVER: u64 = u64::MAX - 65_534;

/// A distance: a power of two, and up to 16 ticks and some nanoseconds more or less.
fn distance(bytes: &[u8; 4]) -> u64 {
    let power = 1_u64 << (bytes[0] % 64);
    let ticks = u64::from(bytes[1] % 33) * TICK;
    let little = u64::from(u16::from_le_bytes([bytes[2], bytes[3]]));
    power.saturating_add(ticks).saturating_sub(16 * TICK).saturating_add(little)
}

#[derive(Default)]
struct Model {
    /// By deadline and then by number, which grows with each insertion.
    pending: BTreeMap<(u64, usize), Key>,
    keys: Vec<(Key, u64)>,
    now: u64,
}

fn run(bytes: &[u8]) {
    let mut chunks = bytes.chunks_exact(5);
    let start = chunks.next().map_or(0, |chunk| distance(&[chunk[1], chunk[2], chunk[3], chunk[4]]));
    let mut wheel = Wheel::new(start);
    let mut model = Model {
        now: start / TICK * TICK,
        ..Model::default()
    };
    for chunk in chunks {
        let far = distance(&[chunk[1], chunk[2], chunk[3], chunk[4]]);
        match chunk[0] % 8 {
            0..=3 => {
                let deadline = model.now.saturating_add(far);
                let number = model.keys.len();
                let key = wheel.insert(deadline, number);
                assert_eq!(Key::from_bits(key.to_bits()).to_bits(), key.to_bits());
                model.pending.insert((deadline, number), key);
                model.keys.push((key, deadline));
            }
            4 | 5 if !model.keys.is_empty() => {
                // Also of what has gone: a stale key names nothing.
                let number = usize::from(u16::from_le_bytes([chunk[1], chunk[2]])) % model.keys.len();
                let (key, deadline) = model.keys[number];
                let was_there = model.pending.remove(&(deadline, number)).is_some();
                assert_eq!(wheel.cancel(key), was_there.then_some(number));
            }
            6 => {
                if let Some(wake) = wheel.next_wake_ns() {
                    advance(&mut wheel, &mut model, wake);
                }
            }
            _ => {
                let to = model.now.saturating_add(far);
                advance(&mut wheel, &mut model, to);
            }
        }
        check_next(&wheel, &model);
    }
    advance(&mut wheel, &mut model, u64::MAX);
    assert!(model.pending.keys().all(|&(deadline, _)| deadline >= NEVER));
}

fn advance(wheel: &mut Wheel<usize>, model: &mut Model, now: u64) {
    let mut fired = Vec::new();
    let count = wheel.advance(now, |deadline, number| fired.push((deadline, number)));
    assert_eq!(count, fired.len());
    model.now = model.now.max(now / TICK * TICK);
    assert_eq!(wheel.now_ns(), model.now);
    // Never early, none late, in order.
    let due = |&(deadline, _): &(u64, usize)| deadline < NEVER && deadline.div_ceil(TICK) <= model.now / TICK;
    let expected: Vec<_> = model.pending.keys().copied().filter(due).collect();
    assert_eq!(fired, expected);
    for entry in &fired {
        model.pending.remove(entry);
    }
}

/// The wheel asks to be called neither after its first entry nor, but for what it says itself, for nothing.
fn check_next(wheel: &Wheel<usize>, model: &Model) {
    assert_eq!(wheel.is_empty(), model.pending.is_empty());
    let first = model.pending.keys().next().filter(|&&(deadline, _)| deadline < NEVER);
    match (first, wheel.next_wake_ns()) {
        (None, wake) => assert_eq!(wake, None),
        (Some(&(deadline, _)), Some(wake)) => {
            let tick = deadline.div_ceil(TICK) * TICK;
            assert!(wake <= tick.max(model.now), "wake at {wake}, deadline {deadline}");
        }
        (Some(entry), None) => panic!("nobody wakes {entry:?}"),
    }
}

fuzz_target!(|bytes: &[u8]| run(bytes));
