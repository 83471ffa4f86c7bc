//! Twin of `scheduler::task`: counted, with the flags, the hub and the link that the inbox uses. What is done to them is, word
//! for word, what `scheduler::{task, park, interrupt}` do.

use std::ptr::NonNull;

use loom::sync::Arc;

use super::inbox::Shared;
use crate::util::primitive::{AtomicPtr, AtomicU32, Ordering};

const IN_INBOX: u32 = 1 << 3;
const KILLED: u32 = 1 << 4;
const EARLY_TOKEN: u32 = 1 << 5;
const PLACED: u32 = 1 << 11;

#[derive(Debug)]
pub(crate) struct Header {
    state: AtomicU32,
    pub(super) inbox_next: AtomicPtr<Header>,
    home: AtomicPtr<Shared>,
}

#[derive(Clone, Debug)]
pub(crate) struct TaskRef(Arc<Header>);

impl TaskRef {
    /// A task of the hub of `shared`.
    pub(crate) fn new(shared: &'static Shared) -> Self {
        let task = TaskRef::homeless();
        task.settle(shared);
        task
    }

    /// One that any worker may start.
    pub(crate) fn homeless() -> Self {
        let header = Header {
            state: AtomicU32::default(),
            inbox_next: AtomicPtr::new(std::ptr::null_mut()),
            home: AtomicPtr::new(std::ptr::null_mut()),
        };
        header.inbox_next.load(Ordering::Relaxed); // touched
        header.home.load(Ordering::Relaxed);
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

    /// `park::send`.
    pub(crate) fn send(&self) {
        if self.0.state.load(Ordering::Acquire) & PLACED == 0
            && self.0.state.fetch_or(EARLY_TOKEN, Ordering::AcqRel) & PLACED == 0
        {
            return;
        }
        if self.0.state.fetch_or(IN_INBOX, Ordering::AcqRel) & IN_INBOX == 0 {
            let home = self.home().expect("PLACED is set after `home`");
            let _ = home.push(self.clone());
        }
    }

    /// `interrupt::kill`.
    pub(crate) fn kill(&self) {
        self.0.state.fetch_or(KILLED, Ordering::AcqRel);
        self.send();
    }

    /// `Header::settle`.
    pub(crate) fn settle(&self, shared: &'static Shared) {
        let home = std::ptr::from_ref(shared).cast_mut();
        self.0.home.store(home, Ordering::Release);
        self.0.state.fetch_or(PLACED, Ordering::AcqRel);
    }

    /// Of `Hub::start`: whether it is killed, and whether it has its token, before it begins.
    pub(crate) fn begins(&self) -> (bool, bool) {
        let state = self.0.state.load(Ordering::Acquire);
        (state & KILLED != 0, state & EARLY_TOKEN != 0)
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.0.state.load(Ordering::Acquire) & KILLED != 0
    }

    fn home(&self) -> Option<&'static Shared> {
        // SAFETY: null, or from a `&'static Shared`.
        unsafe { self.0.home.load(Ordering::Acquire).as_ref() }
    }

    /// `Header::leave_inbox`.
    pub(super) fn leave_inbox(&self) {
        self.0.state.fetch_and(!IN_INBOX, Ordering::AcqRel);
    }
}
