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
        "push rbp",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset rbp, -16",
        "mov rbp, rsp",
        ".cfi_def_cfa_register rbp",
        "sub rsp, rdi",
        "mov rdi, rdx",
        "call rsi",
        "mov rsp, rbp",
        "pop rbp",
        ".cfi_def_cfa rsp, 8",
        "ret",
        ".cfi_endproc",
    )
}
