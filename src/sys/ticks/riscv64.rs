//! riscv64: the monotonic clock, which is the time register behind a known rate.
//!
//! Not `rdtime`: how fast it counts is in the device tree alone, and the clock reads nothing else (without a
//! system call, where the kernel has a vDSO).

use crate::sys::clock;

/// The counter now, in nanoseconds.
#[inline(always)]
pub(crate) fn now() -> u64 {
    clock::now()
}

/// Ticks in 25 µs.
#[inline(always)]
pub(crate) fn some_microseconds() -> u64 {
    25_000
}

/// Ticks in a millisecond.
#[inline(always)]
pub(crate) fn one_millisecond() -> u64 {
    1_000_000
}
