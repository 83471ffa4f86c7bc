//! What ThreadSanitizer is told of switches.
//!
//! It keeps a record for each thread: its clock, and a copy of its call stack. A switch that it does not know of mixes those of two
//! coroutines, and it crashes. So each coroutine has a record of its own, and each switch names the one that
//! goes on, just before it happens. The sanitizer takes a switch for a synchronisation (flag 0), which it is: both sides run on one thread.
//!
//! ```text
//!   resume:  outside = the current record;  go on as `inside`  (the own one, at first)
//!   suspend: inside  = the current record;  go on as `outside`
//! ```
//! `inside` is not always the coroutine's own: with one that it has resumed on top of it, it is suspended as a chain, and
//! goes on where that was ([`Head::inner`](super::super::Head::inner) is the same for the current coroutine).
//!
//! What is built for the sanitizer must leave out the events of function entry and exit (`-tsan-instrument-func-entry-exit=0`): a switch
//! leaves one function and comes back in another.

use core::cell::Cell;
use core::ffi::{c_uint, c_void};

type Record = *mut c_void;

unsafe extern "C" {
    fn __tsan_get_current_fiber() -> Record;
    fn __tsan_create_fiber(flags: c_uint) -> Record;
    fn __tsan_destroy_fiber(fiber: Record);
    fn __tsan_switch_to_fiber(fiber: Record, flags: c_uint);
}

#[derive(Debug)]
pub(in super::super) struct Fiber {
    own: Record,
    inside: Cell<Record>,
    outside: Cell<Record>,
}

impl Fiber {
    pub(in super::super) fn new() -> Self {
        // SAFETY: makes a record; it is destroyed once, by `destroy`.
        let own = unsafe { __tsan_create_fiber(0) };
        Fiber {
            own,
            inside: Cell::new(own),
            outside: Cell::new(core::ptr::null_mut()),
        }
    }

    #[inline(always)]
    pub(in super::super) fn enter(&self) {
        // SAFETY: `inside` is the record of this coroutine or of one on top of it, which is suspended with it and so has not
        // finished; the switch follows at once.
        unsafe {
            self.outside.set(__tsan_get_current_fiber());
            __tsan_switch_to_fiber(self.inside.get(), 0);
        }
    }

    /// Called just before the switch out of the coroutine.
    #[inline(always)]
    pub(in super::super) fn leave(&self) {
        // SAFETY: `outside` is the record of who resumed this coroutine and waits for it; the switch follows at once.
        unsafe {
            self.inside.set(__tsan_get_current_fiber());
            __tsan_switch_to_fiber(self.outside.get(), 0);
        }
    }

    #[inline(always)]
    pub(in super::super) fn end(&self) {
        self.leave();
    }

    pub(in super::super) fn destroy(&self) {
        // SAFETY: the coroutine has finished, and has left its record for that of its resumer.
        unsafe { __tsan_destroy_fiber(self.own) };
    }
}
