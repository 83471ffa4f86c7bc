//! The way into a hub from another thread: an inbox of tasks, and a doorbell.
//!
//! ```text
//!   any thread:  set IN_INBOX on the task; if it was not set: push it, then ring if asleep
//!   the hub:     take the whole list; for each task: clear IN_INBOX, then wake it
//! ```
//! A task is in the inbox at most once (`IN_INBOX`), so its `inbox_next` link belongs to whoever set
//! the flag. The hub clears the flag *before* it acts: a later wake-up pushes again, and none
//! is lost.
//!
//! # Sleeping
//! Before it blocks, the hub sets `asleep` and then looks into the inbox once more; whoever
//! pushes looks at `asleep` after the push. Both sides use sequentially consistent operations, so at least one of
//! them sees the other (the store-buffer argument): either the hub does not block, or the bell
//! rings. Nobody rings for a hub that is awake, and only the first pusher rings.
//!
//! # Closing
//! At the end of its thread a hub closes its inbox: the list's head becomes [`CLOSED`], and what
//! comes later is refused.
//!
//! A hub's `Shared` is never freed, because tasks point at it from any thread; it is used again by the
//! next hub that is made.
//!
//! This file is checked by loom: `tests/loom`.
#![allow(unsafe_code)] // An intrusive list through counted tasks.

use core::ptr::{self, NonNull};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use super::bell::Bell;
use super::task::{Header, TaskRef};
use crate::sys::clock::Nanos;
use crate::util::primitive::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

/// The part of a hub that other threads may touch.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Tasks that other threads woke, newest first, linked by `Header::inbox_next`.
    head: AtomicPtr<Header>,
    /// Set while the hub blocks or is about to.
    asleep: AtomicBool,
    bell: Bell,
    /// Greenlets with smaller numbers are not of the hub that uses this now.
    first_id: AtomicU64,
    /// Greenlets that code of other hubs has spawned here.
    arrivals: AtomicU64,
    /// Which hub uses this now; no two hubs of a process ever have the same number.
    hub_id: AtomicU64,
}

/// The head of a list that takes nothing more.
const CLOSED: *mut Header = ptr::without_provenance_mut(1);

/// `Shared`s whose hubs have ended.
static UNUSED: Mutex<Vec<&'static Shared>> = Mutex::new(Vec::new());
static NEXT_HUB: AtomicU64 = AtomicU64::new(1);

impl Shared {
    pub(super) const fn new() -> Self {
        Shared {
            head: AtomicPtr::new(ptr::null_mut()),
            asleep: AtomicBool::new(false),
            bell: Bell::new(),
            first_id: AtomicU64::new(0),
            arrivals: AtomicU64::new(0),
            hub_id: AtomicU64::new(0),
        }
    }

    /// A `Shared` for a new hub, whose greenlets will have numbers from `first_id` on.
    pub(super) fn obtain(first_id: u64) -> &'static Shared {
        let unused = UNUSED.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let shared = unused.unwrap_or_else(|| Box::leak(Box::new(Shared::new())));
        shared.first_id.store(first_id, Ordering::Relaxed);
        shared.arrivals.store(0, Ordering::Relaxed);
        shared.head.store(ptr::null_mut(), Ordering::Release);
        shared
            .hub_id
            .store(NEXT_HUB.fetch_add(1, Ordering::Relaxed), Ordering::Release);
        shared
    }

    /// Gives it back after the end of its hub, when nobody means that hub by it any more.
    pub(super) fn release(&'static self) {
        UNUSED
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self);
    }

    /// The number of the hub that uses this.
    pub(crate) fn hub_id(&self) -> u64 {
        self.hub_id.load(Ordering::Acquire)
    }

    /// Whether greenlet `id`, which was given this, is of the hub that uses it now, and not of
    /// one that has ended.
    pub(super) fn is_hub_of(&self, id: u64) -> bool {
        id >= self.first_id.load(Ordering::Relaxed)
    }

    /// [`Shared::push`] of a new greenlet.
    pub(super) fn push_new(&self, task: TaskRef) -> bool {
        self.expect();
        self.push_expected(task)
    }

    /// Counts a greenlet that is about to come by [`Shared::push_expected`]: before its end can be counted.
    pub(super) fn expect(&self) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
    }

    /// [`Shared::push`] of a new greenlet that has been counted.
    pub(super) fn push_expected(&self, task: TaskRef) -> bool {
        let taken = self.push(task);
        if !taken {
            self.arrivals.fetch_sub(1, Ordering::Relaxed);
        }
        taken
    }

    /// How many new greenlets came, or are about to.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals.load(Ordering::Relaxed)
    }

    /// Hands `task`, whose `IN_INBOX` flag the caller has just set, to the hub; false if that has ended.
    pub(super) fn push(&self, task: TaskRef) -> bool {
        let task = task.into_raw();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == CLOSED {
                // SAFETY: made by `into_raw` above, and not handed over.
                drop(unsafe { TaskRef::from_raw(task) });
                return false;
            }
            // SAFETY: the reference that `into_raw` gave up keeps the task alive until the hub takes
            // it out; setting IN_INBOX made the link ours.
            unsafe { task.as_ref().inbox_next.store(head, Ordering::Relaxed) };
            match self.head.compare_exchange_weak(
                head,
                task.as_ptr(),
                Ordering::SeqCst, // pairs with `prepare_sleep`
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        self.ring_if_asleep();
        true
    }

    /// Whether the hub sleeps, and nobody has rung yet. It may have changed by now.
    pub(super) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// Wakes the hub, if it sleeps or is about to.
    pub(super) fn ring_if_asleep(&self) {
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.ring();
        }
    }

    /// Whether there is nothing to take. One relaxed load: asked once a turn.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).addr() <= CLOSED.addr()
    }

    /// Takes everything, oldest first.
    pub(super) fn take(&self, each: impl FnMut(TaskRef)) {
        if !self.is_empty() {
            self.take_and_leave(ptr::null_mut(), each);
        }
    }

    /// Takes everything, and refuses what comes later.
    pub(super) fn close(&self, each: impl FnMut(TaskRef)) {
        self.take_and_leave(CLOSED, each);
    }

    fn take_and_leave(&self, head: *mut Header, mut each: impl FnMut(TaskRef)) {
        let mut list = self.head.swap(head, Ordering::Acquire);
        let mut forward: *mut Header = ptr::null_mut();
        while let Some(task) = NonNull::new(list) {
            // SAFETY: everything in the list is alive by the reference it holds, and its link is
            // ours since the swap.
            unsafe {
                list = task.as_ref().inbox_next.load(Ordering::Relaxed);
                task.as_ref().inbox_next.store(forward, Ordering::Relaxed);
            }
            forward = task.as_ptr();
        }
        while let Some(task) = NonNull::new(forward) {
            // SAFETY: as above; the link is read before the task is handed over. `from_raw` takes
            // back the reference that `push` gave up.
            let task = unsafe {
                forward = task.as_ref().inbox_next.load(Ordering::Relaxed);
                TaskRef::from_raw(task)
            };
            task.leave_inbox();
            each(task);
        }
    }

    /// Announces that the hub is about to block; false if something has arrived, and it must not.
    pub(super) fn prepare_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.head.load(Ordering::SeqCst).is_null() {
            return true;
        }
        self.asleep.store(false, Ordering::SeqCst);
        false
    }

    /// The hub is awake again.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// The bell as a descriptor, made on first use.
    ///
    /// # Errors
    /// No file descriptor is left (`EMFILE`, `ENFILE`), or no memory.
    pub(crate) fn bell(&self) -> io::Result<BorrowedFd<'_>> {
        self.bell.fd()
    }

    /// Blocks the thread until the bell rings, `deadline` has come, or a signal arrived.
    pub(super) fn wait_for_bell(&self, deadline: Option<Nanos>) {
        self.bell.wait(deadline);
    }

    /// Rings the bell: ends the hub's wait, or makes its next one end at once.
    pub(crate) fn ring(&self) {
        self.bell.ring();
    }
}
