//! Calls in each other, with values in their frames that must be there again on the way back.

use std::hint::black_box;

use super::run::Frame;
use super::world::World;

/// `calls` nested calls, then `f`. Each has values in its frame, and looks at them on the way back, whether it
/// returns or unwinds.
#[inline(never)]
pub(super) fn descend(frame: &Frame<'_, '_>, calls: u8, f: &mut dyn FnMut(&Frame<'_, '_>)) {
    struct Locals<'a> {
        world: &'a World,
        seed: u64,
        whole: [u64; 24],
        real: [f64; 8],
    }
    impl Locals<'_> {
        fn at(seed: u64, index: usize) -> u64 {
            (seed ^ index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        }
    }
    impl Drop for Locals<'_> {
        fn drop(&mut self) {
            let seed = black_box(self.seed);
            let whole = self
                .whole
                .iter()
                .enumerate()
                .all(|(index, &value)| value == Self::at(seed, index));
            let real = self
                .real
                .iter()
                .enumerate()
                .all(|(index, &value)| value == (seed as f64) * 0.5 + index as f64);
            if !whole || !real {
                self.world.broken(|| {
                    format!(
                        "the values in a frame have changed: {:x?} {:?}, seed {seed:x}",
                        self.whole, self.real
                    )
                });
            }
        }
    }

    let seed = frame.me as u64 * 1000 + u64::from(calls);
    let locals = black_box(Locals {
        world: frame.world,
        seed,
        whole: std::array::from_fn(|index| Locals::at(seed, index)),
        real: std::array::from_fn(|index| (seed as f64) * 0.5 + index as f64),
    });
    // In registers, as far as the compiler likes.
    let sum = black_box(seed).wrapping_mul(3);
    match calls {
        0 => f(&frame.inner()),
        _ => descend(frame, calls - 1, f),
    }
    if sum != black_box(locals.seed).wrapping_mul(3) {
        frame
            .world
            .broken(|| format!("a value in a register has changed: {sum:x}"));
    }
}
