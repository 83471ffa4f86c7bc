//! The running code as those see it who will wake it: two words on the stack of the one who waits.
//!
//! A [`TaskRef`] would do, but counting it costs two atomic operations a wait. A [`Sleeper`] is not
//! counted: it is valid as long as the wait that it was made for, which the lock of the queue that
//! holds it must guarantee. To wake code of another thread the count is taken after all, before that
//! lock is given back; code of the same thread cannot run in between and needs none.
#![allow(unsafe_code)] // Points at a control block, whose life the caller knows.

use core::ptr::{self, NonNull};

use super::control::Control;
use super::hub;
use super::inbox::Shared;
use super::park;
use super::task::TaskRef;

/// The code that waits, or is about to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sleeper {
    control: NonNull<Control>,
    shared: &'static Shared,
}

impl Sleeper {
    /// The running code. Makes a hub, if the thread has none.
    #[inline(never)]
    pub(crate) fn current() -> Self {
        let hub = hub::get_inlined();
        Sleeper {
            control: NonNull::from(hub.current()),
            shared: hub.shared,
        }
    }

    /// What [`current_key`] gives the code that this is.
    #[inline(always)]
    pub(crate) fn key(&self) -> u64 {
        self.control.addr().get() as u64
    }

    /// Leaves the token, if this is code of the calling thread; otherwise returns what
    /// [`Remote::unpark`] does the same with.
    ///
    /// # Safety
    /// The wait that this was made for has not ended, and cannot before this returns.
    #[inline(never)]
    pub(crate) unsafe fn unpark(&self) -> Option<Remote> {
        // SAFETY: the caller's promise: the control block of code that waits is alive.
        let control = unsafe { self.control.as_ref() };
        match hub::existing_inlined() {
            Some(hub) if ptr::eq(hub.shared, self.shared) => {
                hub.unpark_control(control);
                None
            }
            _ => Some(Remote(control.task.clone())),
        }
    }
}

/// Code of another thread that is to be woken.
#[derive(Debug)]
#[must_use = "the code waits for it"]
pub(crate) struct Remote(TaskRef);

impl Remote {
    /// Leaves the token, through the other hub's inbox. Best done without holding a lock.
    pub(crate) fn unpark(self) {
        park::unpark(&self.0);
    }
}

/// What names the running code among all that live: the address of its control block; 0 on a thread
/// without a hub.
#[inline(never)]
pub(crate) fn current_key() -> u64 {
    hub::existing_inlined().map_or(0, |hub| ptr::from_ref(hub.current()).addr() as u64)
}
