//! The report of a stack overflow.
//!
//! A greenlet that runs past the end of its stack touches its guard and the kernel raises
//! SIGSEGV (guard-installed and mprotect'ed pages) or SIGBUS (poisoned pages). The handler runs on the
//! thread's alternate signal stack, walks the running coroutines of this thread, and if the
//! address lies in one's guard, writes which, how large its stack is and how to raise it, and
//! aborts. Every other fault goes to whoever handled it before.
//!
//! Only the running coroutines are looked at: their guards are the ones that their code can hit by
//! growing the stack. Everything here is called in a signal handler: no allocation, no
//! lock, no panic.
#![allow(unsafe_code)] // Reads the running coroutines' heads in a signal handler.

use core::fmt::{self, Write as _};

use super::Head;
use crate::sys::signal;

/// Makes this OS thread ready to run coroutines: the process's fault handler, and an
/// alternate signal stack of sufficient size for this thread.
pub(crate) fn prepare_thread() {
    signal::on_fault(report_if_overflow);
    signal::ensure_alternate_stack();
}

/// Called with the address of a fault; returns if it is no overflow of a running coroutine.
fn report_if_overflow(address: usize) {
    super::find_running(|head| -> Option<()> {
        if !(head.limit..head.guard_end).contains(&address) {
            return None;
        }
        let mut out = signal::StderrWriter::new();
        let _ = write_report(head, &mut out);
        out.flush();
        signal::abort()
    });
}

fn write_report(head: &Head, out: &mut signal::StderrWriter) -> fmt::Result {
    out.write_str("\nrustlet: stack overflow in ")?;
    // SAFETY: `head` is the head of a live coroutine, and `describe` was stored for its kind.
    unsafe { (head.describe)(head, out) }?;
    writeln!(
        out,
        "\n  its stack has {} KiB, guard included. Give it more with\n  \
         {}::new().stack_size({} * 1024), or find the deep recursion or the large local\n  \
         with a debugger. The process ends here: a stack that overflowed cannot be unwound.",
        head.size / 1024,
        match head.context {
            Some(_) => "rustlet::Builder",
            None => "rustlet::raw::Builder",
        },
        head.size / 512,
    )
}
