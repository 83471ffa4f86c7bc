//! x86_64: `syscall`, number in rax, arguments in rdi rsi rdx r10 r8 r9, answer in rax.
//!
//! The instruction itself overwrites rcx (return address) and r11 (flags); the kernel keeps the
//! rest, and does not touch the red zone.

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
            "syscall",
            inlateout("rax") number => answer,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            in("r8") e,
            in("r9") f,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}
