//! Twin of `scheduler::sleeper`: names a thread that waits, and is not counted either.

use super::park::{self, Parker};

/// The thread that waits, or is about to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sleeper(&'static Parker);

impl Sleeper {
    pub(crate) fn current() -> Self {
        // Not counted, and so leaked: some bytes an execution.
        Sleeper(Box::leak(Box::new(park::current())))
    }

    pub(crate) fn key(&self) -> u64 {
        current_key()
    }

    /// # Safety
    /// The wait that this was made for has not ended, and cannot before this returns. Loom checks it:
    /// [`park::wait_is_over`].
    pub(crate) unsafe fn unpark(&self) -> Option<Remote> {
        if self.0.key() == park::current().key() {
            self.0.leave_token();
            return None;
        }
        self.0.touch_wait();
        Some(Remote(self.0.clone()))
    }
}

/// A thread that is to be woken.
#[derive(Debug)]
pub(crate) struct Remote(Parker);

impl Remote {
    pub(crate) fn unpark(self) {
        self.0.leave_token();
    }
}

pub(crate) fn current_key() -> u64 {
    1
}
