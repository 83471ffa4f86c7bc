//! The memory where AddressSanitizer keeps a coroutine's locals.
//!
//! To see that a local is used after its function has returned, the sanitizer puts locals whose address is taken not on the stack but into
//! memory of its own, a *fake stack* for each stack, where frames are used again as late as possible. corosensei announces every
//! switch, but cannot say which was the last, so that the fake stack of a finished coroutine stays for ever: 32 KiB and two mappings,
//! and 30,000 coroutines are all that a process can have.
//!
//! So the coroutine notes its fake stack at its end, and it is freed later: when so many others have finished
//! that a pointer to a local of a finished greenlet has had its chance to be seen. The sanitizer has no function for that, but
//! frees the fake stack of a fiber that is left for ever. So whoever is at it pretends to be that fiber, for the length of four calls.

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// How many fake stacks of finished coroutines are kept: 16 MiB.
const KEPT: usize = 512;

unsafe extern "C" {
    fn __asan_get_current_fake_stack() -> *mut c_void;
    fn __sanitizer_start_switch_fiber(saved: *mut *mut c_void, bottom: *const c_void, size: usize);
    fn __sanitizer_finish_switch_fiber(
        saved: *mut c_void,
        old_bottom: *mut *const c_void,
        old_size: *mut usize,
    );
}

#[derive(Debug)]
pub(in super::super) struct Fiber {
    locals: Cell<*mut c_void>,
}

impl Fiber {
    #[inline(always)]
    pub(in super::super) fn new() -> Self {
        Fiber {
            locals: Cell::new(ptr::null_mut()),
        }
    }

    #[inline(always)]
    pub(in super::super) fn enter(&self) {}

    #[inline(always)]
    pub(in super::super) fn end(&self) {
        // SAFETY: asks for an address; null if this run does without fake stacks.
        self.locals.set(unsafe { __asan_get_current_fake_stack() });
    }

    pub(in super::super) fn destroy(&self) {
        let locals = self.locals.get();
        if !locals.is_null()
            && let Some(oldest) = keep(locals)
        {
            // SAFETY: noted at the end of a coroutine that has finished since; handed out by `keep` once.
            unsafe { free(oldest) };
        }
    }
}

/// Keeps one, and hands out the oldest if that is one too many.
fn keep(locals: *mut c_void) -> Option<*mut c_void> {
    static FINISHED: Mutex<VecDeque<usize>> = Mutex::new(VecDeque::new());
    let mut finished = FINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    finished.push_back(locals as usize);
    let many = finished.len() > KEPT;
    many.then(|| finished.pop_front())
        .flatten()
        .map(|oldest| oldest as *mut c_void)
}

/// # Safety
/// `locals` is a fake stack in which no frame is alive, and is not used afterwards.
unsafe fn free(locals: *mut c_void) {
    let mut own = ptr::null_mut();
    let mut bottom = ptr::null();
    let mut size = 0;
    // SAFETY: this thread leaves its stack in name, for one that is never used; comes to itself with the fake stack `locals`, and learns the
    // bounds of its stack; leaves that for ever, which frees `locals`; and comes back to its own, with its own bounds. No function is entered that
    // would put locals into either.
    unsafe {
        __sanitizer_start_switch_fiber(&mut own, ptr::null(), 0);
        __sanitizer_finish_switch_fiber(locals, &mut bottom, &mut size);
        __sanitizer_start_switch_fiber(ptr::null_mut(), bottom, size);
        __sanitizer_finish_switch_fiber(own, ptr::null_mut(), ptr::null_mut());
    }
}
