//! What a memory checker is told of stacks. Nothing, unless the library is built for one.
//!
//! A checker knows what an allocator gave out. A pool has its memory from the kernel and uses it again and again, so to a
//! checker all of it is valid for ever, and a pointer into the stack of a greenlet that has finished goes unseen. So a
//! slot is declared out of bounds while it is free:
//!
//! ```text
//!   Pool::take ─► lend: may be used ─── lease ─── take_back: whoever touches it is reported ─► free
//!                                         └─ reveal: the pool itself reads it (high-water marks)
//! ```
//! | built with | checker | free memory is | besides |
//! |---|---|---|---|
//! | `--cfg rustlet_asan` (ci/asan.sh) | AddressSanitizer | poisoned | `lend` also removes the red zones of frames that were not left by returning |
//! | `--cfg rustlet_valgrind` (ci/valgrind.sh) | memcheck | not accessible | a lease is registered as a stack, so that a switch is no huge push or pop |
//!
//! Guards are left out: they fault by themselves. Memory that was never handed out is left out too; nobody has a pointer
//! to it. Otherwise [`Lent`] has no bytes and these functions no code.
//!
//! Rejected: Cargo features, which another crate could turn on for a program that is not built for the checker;
//! `cfg(sanitize)`, which stable compilers do not have.
#![allow(unused_variables)] // Which arguments are used depends on the build.

use core::ops::Range;

#[cfg(all(rustlet_valgrind, not(target_arch = "x86_64")))]
compile_error!("rustlet_valgrind is written for x86_64 (src/stack/checked.rs)");
#[cfg(all(rustlet_asan, rustlet_valgrind))]
compile_error!(
    "rustlet_asan and rustlet_valgrind are two builds: valgrind cannot run a program with AddressSanitizer"
);

/// The part of a slot above its guard, on lease.
#[derive(Debug)]
pub(super) struct Lent {
    /// memcheck's number for the stack.
    #[cfg(rustlet_valgrind)]
    stack: usize,
}

/// Lets the memory of a new lease be used; what it holds counts as not initialised.
#[inline(always)]
pub(super) fn lend(memory: Range<usize>) -> Lent {
    // What was never handed out is not poisoned; to say so again would touch the sanitizer's notes, 32 KiB for a stack of 256.
    #[cfg(rustlet_asan)]
    if asan::is_poisoned(memory.start) {
        asan::unpoison(memory);
    }
    #[cfg(rustlet_valgrind)]
    memcheck::undefined(&memory);
    Lent {
        #[cfg(rustlet_valgrind)]
        stack: memcheck::register(&memory),
    }
}

/// Declares memory out of bounds whose lease has ended.
#[inline(always)]
pub(super) fn take_back(lent: Lent, memory: Range<usize>) {
    #[cfg(rustlet_asan)]
    asan::poison(memory);
    #[cfg(rustlet_valgrind)]
    {
        memcheck::deregister(lent.stack);
        memcheck::no_access(&memory);
    }
}

/// Lets memory on lease be read of which parts are no frame's any more.
#[inline(always)]
pub(super) fn reveal(memory: Range<usize>) {
    #[cfg(rustlet_asan)]
    asan::unpoison(memory);
    #[cfg(rustlet_valgrind)]
    memcheck::defined(&memory);
}

/// Clears what was declared of memory that goes back to the system, where somebody else may get it.
#[inline(always)]
pub(super) fn forget(memory: Range<usize>) {
    // memcheck sees the system call itself.
    #[cfg(rustlet_asan)]
    asan::unpoison(memory);
}

#[cfg(rustlet_asan)]
mod asan {
    use core::ffi::{c_int, c_void};
    use core::ops::Range;

    unsafe extern "C" {
        fn __asan_poison_memory_region(start: *const c_void, len: usize);
        fn __asan_unpoison_memory_region(start: *const c_void, len: usize);
        fn __asan_address_is_poisoned(address: *const c_void) -> c_int;
    }

    pub(super) fn is_poisoned(address: usize) -> bool {
        // SAFETY: asks what the sanitizer believes of an address.
        unsafe { __asan_address_is_poisoned(address as *const c_void) != 0 }
    }

    pub(super) fn poison(memory: Range<usize>) {
        // SAFETY: changes what the sanitizer believes of our own memory, not the memory.
        unsafe { __asan_poison_memory_region(memory.start as *const c_void, memory.len()) };
    }

    pub(super) fn unpoison(memory: Range<usize>) {
        // SAFETY: as above.
        unsafe { __asan_unpoison_memory_region(memory.start as *const c_void, memory.len()) };
    }
}

#[cfg(rustlet_valgrind)]
mod memcheck {
    //! Client requests: instructions that do nothing on a processor and that valgrind recognises (`valgrind.h`).

    use core::ops::Range;

    const STACK_REGISTER: usize = 0x1501;
    const STACK_DEREGISTER: usize = 0x1502;
    /// memcheck's own begin with its letters (`VG_USERREQ_TOOL_BASE('M', 'C')`).
    const MAKE_NO_ACCESS: usize = 0x4d43_0000;
    const MAKE_UNDEFINED: usize = 0x4d43_0001;
    const MAKE_DEFINED: usize = 0x4d43_0002;

    pub(super) fn register(memory: &Range<usize>) -> usize {
        // Both ends are addresses of bytes that belong to the stack.
        request(STACK_REGISTER, memory.start, memory.end - 1)
    }

    pub(super) fn deregister(stack: usize) {
        request(STACK_DEREGISTER, stack, 0);
    }

    pub(super) fn no_access(memory: &Range<usize>) {
        request(MAKE_NO_ACCESS, memory.start, memory.len());
    }

    pub(super) fn undefined(memory: &Range<usize>) {
        request(MAKE_UNDEFINED, memory.start, memory.len());
    }

    pub(super) fn defined(memory: &Range<usize>) {
        request(MAKE_DEFINED, memory.start, memory.len());
    }

    fn request(code: usize, first: usize, second: usize) -> usize {
        let arguments = [code, first, second, 0, 0, 0];
        let mut answer = 0_usize;
        // SAFETY: rotates a register by 128 bits in all and exchanges one with itself, so a processor does nothing;
        // valgrind reads the six words behind rax and answers in rdx. Nothing else changes.
        unsafe {
            core::arch::asm!(
                "rol rdi, 3",
                "rol rdi, 13",
                "rol rdi, 61",
                "rol rdi, 51",
                "xchg rbx, rbx",
                inout("rdx") answer,
                in("rax") arguments.as_ptr(),
                options(nostack),
            );
        }
        answer
    }
}
