//! See the module.

use core::arch::naked_asm;
use core::ffi::c_void;

use super::Call;

/// # Safety
/// The stack has `bytes`, a multiple of 16, and what `call` needs; `call` may be called with `argument`.
#[unsafe(naked)]
pub(super) unsafe extern "C-unwind" fn leap(bytes: usize, call: Call, argument: *mut c_void) {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset 29, -16",
        ".cfi_offset 30, -8",
        "mov x29, sp",
        ".cfi_def_cfa 29, 16",
        "sub sp, sp, x0",
        "mov x0, x2",
        "blr x1",
        "mov sp, x29",
        "ldp x29, x30, [sp], #16",
        ".cfi_def_cfa 31, 0",
        "ret",
        ".cfi_endproc",
    )
}
