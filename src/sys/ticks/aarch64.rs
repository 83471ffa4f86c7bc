//! aarch64: the generic timer's virtual counter, readable from user space on Linux.

use core::arch::asm;

/// The counter now.
#[inline(always)]
pub(crate) fn now() -> u64 {
    let ticks: u64;
    // SAFETY: reads a counter that Linux lets user space read (CNTKCTL_EL1.EL0VCTEN).
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

/// Ticks in about 25 µs, from the counter's own frequency register.
#[inline(always)]
pub(crate) fn some_microseconds() -> u64 {
    hertz() / 40_000
}

/// Ticks in a millisecond.
#[inline(always)]
pub(crate) fn one_millisecond() -> u64 {
    hertz() / 1_000
}

fn hertz() -> u64 {
    let hertz: u64;
    // SAFETY: reads a register that says the counter's frequency and never changes.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) hertz, options(nomem, nostack)) };
    hertz
}
