//! aarch64: `svc 0`, number in x8, arguments in x0 to x5, answer in x0.
//!
//! The kernel keeps every other register, the condition flags included.

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
            "svc 0",
            in("x8") number,
            inlateout("x0") a => answer,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") e,
            in("x5") f,
            options(nostack),
        );
    }
    answer
}
