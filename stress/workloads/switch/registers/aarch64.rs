//! AAPCS64: a call keeps x19 to x28, x29, and the lower halves of v8 to v15, which are d8 to d15. FPCR is the
//! thread's. There is no direction flag. Compare with x86_64.rs.

use core::arch::naked_asm;
use core::ffi::c_void;
use core::mem::offset_of;

use super::{Call, Frame};

pub(super) const NAMES: [&str; 19] = [
    "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29", "d8", "d9", "d10",
    "d11", "d12", "d13", "d14", "d15",
];
/// What the stack pointer is a multiple of at a call.
pub(super) const ALIGNMENT: usize = 16;
/// FPCR.RMode.
pub(super) const ROUNDING: u64 = 0b11 << 22;
pub(super) const STRAY_FLAGS: u64 = 0;

/// FPCR with one of the four ways of rounding.
pub(super) fn word(rounding: u8) -> u64 {
    u64::from(rounding & 3) << 22
}

/// As on x86_64.
///
/// # Safety
/// `frame` can be written until this returns or unwinds; `call` may be called with `argument`.
#[unsafe(naked)]
pub(super) unsafe extern "C-unwind" fn carry(frame: *mut Frame, call: Call, argument: *mut c_void) {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, #-176]!",
        ".cfi_def_cfa_offset 176",
        ".cfi_offset 29, -176",
        ".cfi_offset 30, -168",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "stp d8, d9, [sp, #96]",
        "stp d10, d11, [sp, #112]",
        "stp d12, d13, [sp, #128]",
        "stp d14, d15, [sp, #144]",
        "str x0, [sp, #160]",
        ".cfi_offset 19, -160",
        ".cfi_offset 20, -152",
        ".cfi_offset 21, -144",
        ".cfi_offset 22, -136",
        ".cfi_offset 23, -128",
        ".cfi_offset 24, -120",
        ".cfi_offset 25, -112",
        ".cfi_offset 26, -104",
        ".cfi_offset 27, -96",
        ".cfi_offset 28, -88",
        // DWARF counts v0 from 64.
        ".cfi_offset 72, -80",
        ".cfi_offset 73, -72",
        ".cfi_offset 74, -64",
        ".cfi_offset 75, -56",
        ".cfi_offset 76, -48",
        ".cfi_offset 77, -40",
        ".cfi_offset 78, -32",
        ".cfi_offset 79, -24",
        "mov x9, sp",
        "str x9, [x0, #{stack_pointer}]",
        "mrs x9, fpcr",
        "str x9, [x0, #{before}]",
        "ldr x9, [x0, #{set}]",
        "msr fpcr, x9",
        "mov x9, x1",
        "mov x10, x2",
        "ldp x19, x20, [x0, #{load}]",
        "ldp x21, x22, [x0, #{load} + 16]",
        "ldp x23, x24, [x0, #{load} + 32]",
        "ldp x25, x26, [x0, #{load} + 48]",
        "ldp x27, x28, [x0, #{load} + 64]",
        "ldr x29, [x0, #{load} + 80]",
        "ldp d8, d9, [x0, #{load} + 88]",
        "ldp d10, d11, [x0, #{load} + 104]",
        "ldp d12, d13, [x0, #{load} + 120]",
        "ldp d14, d15, [x0, #{load} + 136]",
        "mov x0, x10",
        "blr x9",
        "ldr x9, [sp, #160]",
        "stp x19, x20, [x9, #{found}]",
        "stp x21, x22, [x9, #{found} + 16]",
        "stp x23, x24, [x9, #{found} + 32]",
        "stp x25, x26, [x9, #{found} + 48]",
        "stp x27, x28, [x9, #{found} + 64]",
        "str x29, [x9, #{found} + 80]",
        "stp d8, d9, [x9, #{found} + 88]",
        "stp d10, d11, [x9, #{found} + 104]",
        "stp d12, d13, [x9, #{found} + 120]",
        "stp d14, d15, [x9, #{found} + 136]",
        "mrs x10, fpcr",
        "str x10, [x9, #{after}]",
        "ldr x10, [x9, #{before}]",
        "msr fpcr, x10",
        "str xzr, [x9, #{flags}]",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp d8, d9, [sp, #96]",
        "ldp d10, d11, [sp, #112]",
        "ldp d12, d13, [sp, #128]",
        "ldp d14, d15, [sp, #144]",
        "ldp x29, x30, [sp], #176",
        ".cfi_def_cfa_offset 0",
        "ret",
        ".cfi_endproc",
        load = const offset_of!(Frame, load),
        found = const offset_of!(Frame, found),
        stack_pointer = const offset_of!(Frame, stack_pointer),
        flags = const offset_of!(Frame, flags),
        set = const offset_of!(Frame, set),
        before = const offset_of!(Frame, before),
        after = const offset_of!(Frame, after),
    )
}

/// Sets FPCR.
pub(super) fn set_control(word: u64) {
    // SAFETY: the words are such as `word` makes: rounding alone.
    unsafe { core::arch::asm!("msr fpcr, {}", in(reg) word, options(nostack, nomem)) };
}
