//! Twin of `scheduler::task`: counted, with the flags and the link that the inbox uses.

use std::ptr::NonNull;

use loom::sync::Arc;

use super::inbox::Shared;
use crate::util::primitive::{AtomicPtr, AtomicU32, Ordering};

const IN_INBOX: u32 = 1 << 3;

#[derive(Debug)]
pub(crate) struct Header {
    state: AtomicU32,
    pub(super) inbox_next: AtomicPtr<Header>,
    shared: &'static Shared,
}

#[derive(Clone, Debug)]
pub(crate) struct TaskRef(Arc<Header>);

impl TaskRef {
    /// A task of the hub of `shared`.
    pub(crate) fn new(shared: &'static Shared) -> Self {
        let header = Header {
            state: AtomicU32::default(),
            inbox_next: AtomicPtr::new(std::ptr::null_mut()),
            shared,
        };
        header.inbox_next.load(Ordering::Relaxed); // touched
        TaskRef(Arc::new(header))
    }

    pub(crate) fn into_raw(self) -> NonNull<Header> {
        NonNull::new(Arc::into_raw(self.0).cast_mut()).expect("allocated")
    }

    /// # Safety
    /// `pointer` came from `into_raw`, once.
    pub(crate) unsafe fn from_raw(pointer: NonNull<Header>) -> Self {
        // SAFETY: the caller's promise.
        TaskRef(unsafe { Arc::from_raw(pointer.as_ptr()) })
    }

    /// As `scheduler::park::send`, word for word.
    pub(crate) fn send(&self) {
        if self.0.state.fetch_or(IN_INBOX, Ordering::AcqRel) & IN_INBOX == 0 {
            let _ = self.0.shared.push(self.clone());
        }
    }

    /// As `scheduler::task::Header::leave_inbox`, word for word.
    pub(super) fn leave_inbox(&self) {
        self.0.state.fetch_and(!IN_INBOX, Ordering::AcqRel);
    }
}
