//! x86_64: the time-stamp counter, which ticks at a constant rate on every processor since 2008.

/// The counter now.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: RDTSC reads a counter; every x86_64 processor has it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Ticks in about 25 µs: 65,536, which is 16 µs at 4 GHz and 33 µs at 2 GHz.
#[inline(always)]
pub(crate) fn some_microseconds() -> u64 {
    1 << 16
}

/// Ticks in about a millisecond: 2,097,152, which is 0.5 ms at 4 GHz and 1 ms at 2 GHz.
#[inline(always)]
pub(crate) fn one_millisecond() -> u64 {
    1 << 21
}
