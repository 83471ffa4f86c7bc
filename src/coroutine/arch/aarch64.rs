//! aarch64: reading the stack pointer and prefetching. See `arch-notes/aarch64.md`.

use core::arch::asm;

/// The stack pointer of the caller, used as a hint for prefetching alone.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: copies a register; no memory, no stack, no flags.
    unsafe { asm!("mov {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Brings the cache line at `address` closer. Any address is allowed: a prefetch never faults.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // SAFETY: PRFM is a hint and raises no fault for any address (Arm ARM, PRFM).
    unsafe {
        asm!("prfm pldl1keep, [{}]", in(reg) address, options(nostack, preserves_flags, readonly))
    };
}
