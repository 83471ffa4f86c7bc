//! Compiled code around a switch: values live in whatever registers and slots the compiler likes.
//!
//! The switch is inlined into Rust code, where an `asm!` block tells the compiler which registers it destroys. A
//! register that is missing there is found by this function or not at all: it has more integers and floats
//! alive across the switch than there are registers of either kind.

use std::hint::black_box;

use crate::workload::{Failure, ensure};

const VALUES: usize = 24;

/// Has `f` called with 24 integers, 24 floats and a sum of each alive.
#[inline(always)]
pub(super) fn alive_across(greenlet: u32, seed: u64, f: impl FnOnce()) -> Result<(), Failure> {
    let source: [u64; VALUES] = std::array::from_fn(|nth| mixed(seed, nth));
    // Read through a `black_box`, so that the compiler cannot know that both readings are equal.
    let read = |nth: usize| black_box(&source)[nth];
    let integers: [u64; VALUES] = std::array::from_fn(read);
    // Exact whatever the rounding is, which may be another one after the switch.
    let floats: [f64; VALUES] = std::array::from_fn(|nth| exact(read(nth)) * 3.0);
    let sum = integers
        .iter()
        .fold(0, |sum: u64, one| sum.wrapping_add(*one));
    let total: f64 = floats.iter().sum();
    f();
    for nth in 0..VALUES {
        let (integer, float) = (read(nth), exact(read(nth)) * 3.0);
        ensure!(
            integers[nth] == integer,
            "greenlet {greenlet}: integer {nth} was {integer:#x} before the switch and is {:#x} after",
            integers[nth]
        );
        ensure!(
            floats[nth].to_bits() == float.to_bits(),
            "greenlet {greenlet}: float {nth} was {float} before the switch and is {} after",
            floats[nth]
        );
    }
    let again = (0..VALUES).fold(0, |sum: u64, nth| sum.wrapping_add(read(nth)));
    ensure!(
        sum == again && total == (0..VALUES).map(|nth| exact(read(nth)) * 3.0).sum::<f64>(),
        "greenlet {greenlet}: the sums kept over the switch are {sum:#x} and {total}, not {again:#x}"
    );
    Ok(())
}

/// A whole number of 24 bits: sums and small multiples of it are exact.
fn exact(bits: u64) -> f64 {
    (bits >> 40) as f64
}

fn mixed(seed: u64, nth: usize) -> u64 {
    let mixed = (seed ^ nth as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}
