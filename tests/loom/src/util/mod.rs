//! Twin of `util`.

#[cfg_attr(feature = "threads", path = "../../../../src/util/primitive.rs")]
pub(crate) mod primitive;

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a timed wait that ends, ends because its time is up too. Not loom's: it orders nothing. Ordinary threads ask the clock.
static TIME_IS_UP: AtomicBool = AtomicBool::new(false);

pub(crate) fn time_is_up(is_up: bool) {
    TIME_IS_UP.store(is_up, Ordering::Relaxed);
}

pub(crate) fn is_time_up() -> bool {
    TIME_IS_UP.load(Ordering::Relaxed)
}
