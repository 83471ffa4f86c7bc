//! x86_64: reading the stack pointer and prefetching. See `arch-notes/x86_64.md`.

use core::arch::{asm, x86_64::_MM_HINT_T0, x86_64::_mm_prefetch};

/// The stack pointer of the caller, used as a hint for prefetching alone.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: copies a register; no memory, no stack, no flags.
    unsafe { asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Brings the cache line at `address` closer. Any address is allowed: a prefetch never faults.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // SAFETY: PREFETCHT0 is a hint and raises no fault for any address (Intel SDM, PREFETCHh).
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address as *const i8) };
}
