//! What any worker may take: a greenlet that has not started, or a future that is to be polled. One word.
#![allow(unsafe_code)] // Packs a counted pointer.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;

use async_task::Runnable;

use crate::scheduler::task::{Header, TaskRef};

/// Set in the address of a future.
const FUTURE: usize = 1;

/// Owns what it names.
#[derive(Debug)]
pub(in crate::scheduler) struct Fresh(NonNull<()>);

// SAFETY: it is made of a task whose closure is Send, by `Hub::spawn_anywhere`, or of a Runnable, which is Send.
unsafe impl Send for Fresh {}

/// What a [`Fresh`] is.
#[derive(Debug)]
pub(in crate::scheduler) enum Kind {
    Greenlet(TaskRef),
    Future(Runnable),
}

impl Fresh {
    /// # Safety
    /// The task is Pending, belongs to no hub, and its closure and value are Send.
    #[inline(always)]
    pub(in crate::scheduler) unsafe fn greenlet(task: TaskRef) -> Self {
        Fresh(task.into_raw().cast())
    }

    pub(in crate::scheduler) fn future(runnable: Runnable) -> Self {
        let raw = runnable.into_raw();
        debug_assert_eq!(raw.addr().get() & FUTURE, 0);
        Fresh(raw.map_addr(|address| address | FUTURE))
    }

    #[inline(always)]
    pub(in crate::scheduler) fn into_kind(self) -> Kind {
        let this = ManuallyDrop::new(self);
        if this.0.addr().get() & FUTURE == 0 {
            // SAFETY: from `into_raw`; `this` is not dropped, so this happens once.
            Kind::Greenlet(unsafe { TaskRef::from_raw(this.0.cast::<Header>()) })
        } else {
            let raw = this.0.as_ptr().map_addr(|address| address & !FUTURE);
            // SAFETY: as above; the address was not null before the bit was set.
            Kind::Future(unsafe { Runnable::from_raw(NonNull::new_unchecked(raw)) })
        }
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Drops what it names: a future is cancelled, a greenlet's closure is leaked (rule 3 of `task`), so nobody does
        // this to a greenlet but the end of the process.
        drop(Fresh(self.0).into_kind());
    }
}
