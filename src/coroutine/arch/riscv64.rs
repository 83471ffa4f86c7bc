//! riscv64: reading the stack pointer and prefetching. See `arch-notes/riscv64.md`.

use core::arch::asm;

/// The stack pointer of the caller, used as a hint for prefetching alone.
#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    let sp: usize;
    // SAFETY: copies a register; no memory, no stack, no flags.
    unsafe { asm!("mv {}, sp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
    sp
}

/// Brings the cache line at `address` closer. Any address is allowed: a prefetch never faults.
#[inline(always)]
pub(crate) fn prefetch(address: usize) {
    // `prefetch.r 0(address)`, spelled as what it is to a processor without Zicbop: an OR into the zero register.
    // SAFETY: a hint, which changes nothing and raises no fault for any address (Zicbop, "Cache-block prefetch").
    unsafe { asm!("ori x0, {}, 1", in(reg) address, options(nostack, preserves_flags, readonly)) };
}
