//! The System V ABI: a call keeps rbx, rbp and r12 to r15, finds the direction flag clear and leaves it so.
//!
//! The xmm, ymm, zmm and x87 registers are the caller's to save, all of them, so no call keeps any: what compiled
//! code does about it is [`compiled`](super::super::compiled)'s matter. The control words, MXCSR and the x87 one,
//! are the thread's (lib.rs, "What is shared").

use core::arch::naked_asm;
use core::ffi::c_void;
use core::mem::offset_of;

use super::{Call, Frame};

pub(super) const NAMES: [&str; 6] = ["rbx", "rbp", "r12", "r13", "r14", "r15"];
/// What the stack pointer is a multiple of at a call.
pub(super) const ALIGNMENT: usize = 16;
/// Rounding in MXCSR (low half) and in the x87 control word. The other bits stay as the process got them:
/// an unmasked exception would be a signal, and valgrind knows no flush to zero.
pub(super) const ROUNDING: u64 = (0b11 << 13) | (0b11 << (32 + 10));
/// The direction flag.
pub(super) const STRAY_FLAGS: u64 = 1 << 10;

/// Both control words with one of the sixteen ways of rounding.
pub(super) fn word(rounding: u8) -> u64 {
    let [sse, x87] = [u64::from(rounding & 3), u64::from(rounding >> 2 & 3)];
    (0x1f80 | sse << 13) | (0x037f | x87 << 10) << 32
}

/// Loads `frame.load` into the registers and `frame.set` into the control words, calls `call(argument)`, and stores
/// what is in all of them then.
///
/// # Safety
/// `frame` can be written until this returns or unwinds; `call` may be called with `argument`.
#[unsafe(naked)]
pub(super) unsafe extern "C-unwind" fn carry(frame: *mut Frame, call: Call, argument: *mut c_void) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbp, 0",
        "push rbx",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset rbx, 0",
        "push r12",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset r12, 0",
        "push r13",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset r13, 0",
        "push r14",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset r14, 0",
        "push r15",
        ".cfi_adjust_cfa_offset 8",
        ".cfi_rel_offset r15, 0",
        "push rdi",
        ".cfi_adjust_cfa_offset 8",
        "mov [rdi + {stack_pointer}], rsp",
        "stmxcsr [rdi + {before}]",
        "fnstcw [rdi + {before} + 4]",
        "ldmxcsr [rdi + {set}]",
        "fldcw [rdi + {set} + 4]",
        "mov rax, rsi",
        "mov rbx, [rdi + {load}]",
        "mov rbp, [rdi + {load} + 8]",
        "mov r12, [rdi + {load} + 16]",
        "mov r13, [rdi + {load} + 24]",
        "mov r14, [rdi + {load} + 32]",
        "mov r15, [rdi + {load} + 40]",
        "mov rdi, rdx",
        "call rax",
        "mov rax, [rsp]",
        "mov [rax + {found}], rbx",
        "mov [rax + {found} + 8], rbp",
        "mov [rax + {found} + 16], r12",
        "mov [rax + {found} + 24], r13",
        "mov [rax + {found} + 32], r14",
        "mov [rax + {found} + 40], r15",
        "stmxcsr [rax + {after}]",
        "fnstcw [rax + {after} + 4]",
        "ldmxcsr [rax + {before}]",
        "fldcw [rax + {before} + 4]",
        "pushfq",
        ".cfi_adjust_cfa_offset 8",
        "pop rcx",
        ".cfi_adjust_cfa_offset -8",
        "mov [rax + {flags}], rcx",
        "cld",
        "pop rdi",
        ".cfi_adjust_cfa_offset -8",
        "pop r15",
        ".cfi_adjust_cfa_offset -8",
        "pop r14",
        ".cfi_adjust_cfa_offset -8",
        "pop r13",
        ".cfi_adjust_cfa_offset -8",
        "pop r12",
        ".cfi_adjust_cfa_offset -8",
        "pop rbx",
        ".cfi_adjust_cfa_offset -8",
        "pop rbp",
        ".cfi_adjust_cfa_offset -8",
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

/// Sets both control words.
pub(super) fn set_control(word: u64) {
    // SAFETY: reads eight bytes of a local. The words are such as `word` makes: no exception unmasked.
    unsafe {
        core::arch::asm!(
            "ldmxcsr [{word}]",
            "fldcw [{word} + 4]",
            word = in(reg) &raw const word,
            options(nostack, readonly),
        );
    }
}
