//! riscv64: `ecall`, number in a7, arguments in a0 to a5, answer in a0.
//!
//! The kernel keeps the other integer and floating-point registers, and may lose all vector registers ("Vector ISA
//! extension support for RISC-V Linux", section 3). `clobber_abi` says so; what it gives away beside costs a call's worth of spills.

use core::arch::asm;

/// # Safety
/// As [`super::syscall6`].
#[inline(always)]
pub(super) unsafe fn raw(number: usize, [a, b, c, d, e, f]: [usize; 6]) -> usize {
    let answer;
    // SAFETY: the operands are the kernel's convention; memory is not assumed unchanged; what the
    // call does beyond that is the caller's promise.
    unsafe {
        asm!(
            "ecall",
            in("a7") number,
            inlateout("a0") a => answer,
            in("a1") b,
            in("a2") c,
            in("a3") d,
            in("a4") e,
            in("a5") f,
            clobber_abi("C"),
            options(nostack),
        );
    }
    answer
}
