//! Waiting in a queue: what every lock, event, queue and channel of this module is made of.
//!
//! A [`Waiter`] lies on the stack of the code that waits, linked into the [`WaitQueue`] of what it waits for.
//! The queue lies behind the object's [`ShortLock`](crate::sys::short_lock::ShortLock), under which all of this happens:
//!
//! ```text
//!   waits:     push ──► wait ─────────────────────────────► granted
//!   another:           pop, hand over, grant ──(unlock)──► unpark
//!   or:                wait ends otherwise ──► cancel: still linked? unlink, nothing has happened
//!                                                      not linked?  it was granted: success
//! ```
//!
//! # Nothing is lost
//! A kill, a timeout and a grant are decided under the lock, once: either the waiter is still in the
//! queue and leaves it with nothing done, or it has been granted what it waited for, and its wait
//! succeeds; the kill is raised at its next suspension then. No item, permit or wake-up is ever given to
//! a waiter that does not take it.
//!
//! # Waiting for several at once
//! A waiter may be one of several that stand for one wait ([`Choice`]). Who pops one must then
//! [claim](WaitQueue::pop) the choice; the first wins, the others are skipped.
//!
//! # Who may call what
//! Any thread, any greenlet. The wait itself is inlined up to the public function: each call between the
//! user's code and the suspend costs a mispredicted return, some 17 ns.
#![allow(unsafe_code)] // Intrusive queues of frames that wait.

use core::fmt;
use core::ptr;
use std::time::Duration;

use crate::scheduler::Deadlock;
use crate::scheduler::park::{self, Obstacle, WaitReason, park_quietly};
use crate::scheduler::sleeper::{Remote, Sleeper};
use crate::sys::clock;
use crate::timer::Deadline;
use crate::util::primitive::{AtomicU32, AtomicUsize, Cell, Ordering};

/// One wait, or one of the several things that one wait is for.
///
/// `repr(C)` types that begin with a `Waiter` may be linked too, and found again from it by a cast.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Links and `linked` belong to the lock of the queue.
    next: Cell<*const Waiter>,
    previous: Cell<*const Waiter>,
    linked: Cell<bool>,
    sleeper: Sleeper,
    /// 0 until it is granted; then what the granter said.
    granted: AtomicU32,
    choice: *const Choice,
    /// Its number among those of the choice; without one, whatever its queue's owner means by it.
    index: usize,
}

/// One wait for several things: which of them came first.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// 0 while open, the chosen waiter's index + 1, or [`Choice::CLOSED`].
    chosen: AtomicUsize,
}

impl Choice {
    const CLOSED: usize = usize::MAX;

    /// Makes waiter `index` the one; false if there was one already.
    pub(crate) fn claim(&self, index: usize) -> bool {
        // AcqRel: the claimer sees what was done before the choice was opened, and the waiting code what
        // the claimer did.
        self.chosen
            .compare_exchange(0, index + 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Ends the choice with nothing chosen; false if something was.
    pub(crate) fn close(&self) -> bool {
        self.claim(Self::CLOSED - 1)
    }

    /// The waiter that was chosen, if one was.
    pub(crate) fn chosen(&self) -> Option<usize> {
        match self.chosen.load(Ordering::Acquire) {
            0 | Self::CLOSED => None,
            index => Some(index - 1),
        }
    }
}

/// Why a wait was not granted.
#[derive(Debug)]
pub(crate) enum NotGranted {
    TimedOut,
    Deadlock(Deadlock),
    Unwinding,
}

impl NotGranted {
    /// For operations whose errors cannot say it. `operation` is what was tried: "locking a mutex".
    #[cold]
    #[inline(never)]
    #[track_caller]
    pub(crate) fn panic(self, operation: &str) -> ! {
        match self {
            NotGranted::TimedOut => unreachable!("{operation}: timed out without a time limit"),
            NotGranted::Deadlock(report) => panic!("{operation}: {report}"),
            NotGranted::Unwinding => panic!(
                "{operation} would have to wait, but this code runs because of a panic or a kill, or was called by the \
                 scheduler itself (a waker, a hook), when a greenlet cannot be suspended; use what does not wait there"
            ),
        }
    }

    /// For operations with a time limit: returns if it was that.
    #[track_caller]
    pub(crate) fn timed_out_or_panic(self, operation: &str) {
        match self {
            NotGranted::TimedOut => {}
            other => other.panic(operation),
        }
    }
}

/// The deadline for a wait of at most `limit`.
pub(crate) fn deadline_in(limit: Duration) -> Deadline {
    Deadline::new(Some(clock::after(limit)))
}

impl Waiter {
    /// A waiter for the running code.
    #[inline]
    pub(crate) fn new() -> Self {
        Waiter::of(Sleeper::current(), ptr::null(), 0)
    }

    /// As [`Waiter::new`], with a word for those who serve its queue.
    #[inline]
    pub(crate) fn tagged(tag: usize) -> Self {
        Waiter::of(Sleeper::current(), ptr::null(), tag)
    }

    /// What it was [tagged](Waiter::tagged) with.
    #[inline(always)]
    pub(crate) fn tag(&self) -> usize {
        debug_assert!(self.choice.is_null());
        self.index
    }

    /// Number `index` of the waiters of `choice`, which must outlive its stay in any queue.
    pub(crate) fn one_of(choice: &Choice, index: usize, sleeper: Sleeper) -> Self {
        Waiter::of(sleeper, choice, index)
    }

    #[inline(always)]
    fn of(sleeper: Sleeper, choice: *const Choice, index: usize) -> Self {
        Waiter {
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            linked: Cell::new(false),
            sleeper,
            granted: AtomicU32::default(), // not `new`, for loom: it is made here and now
            choice,
            index,
        }
    }

    /// What names its code ([`Sleeper::key`]).
    #[inline(always)]
    pub(crate) fn key(&self) -> u64 {
        self.sleeper.key()
    }

    /// What it was granted, if it was.
    #[inline(always)]
    pub(crate) fn granted(&self) -> Option<u32> {
        // Acquire pairs with `Popped::grant`: what was handed over is visible.
        match self.granted.load(Ordering::Acquire) {
            0 => None,
            value => Some(value),
        }
    }

    /// Whether it is in the queue. Under the queue's lock.
    pub(crate) fn is_linked(&self) -> bool {
        self.linked.get()
    }

    /// Waits until it is granted.
    ///
    /// `cancel` takes it out of its queue, under the lock, and says whether it was there. If it was and
    /// a kill or a scope ended the wait, this unwinds. Whatever else `cancel` has to undo it
    /// does too.
    #[inline(always)]
    pub(crate) fn wait(
        &self,
        reason: &WaitReason,
        deadline: Option<&Deadline>,
        cancel: impl FnOnce() -> bool,
    ) -> Result<u32, NotGranted> {
        wait_until(
            reason,
            deadline,
            || self.granted(),
            || {
                if cancel() { None } else { self.granted() }
            },
        )
    }
}

/// Waits until `check` gives something: it is asked after each wake-up.
///
/// If the wait ends otherwise, `cancel` is asked once more, which undoes what the wait has left behind, unless it
/// too gives something. Unwinds then, if it was a kill or a scope.
#[inline(always)]
pub(crate) fn wait_until<R>(
    reason: &WaitReason,
    deadline: Option<&Deadline>,
    mut check: impl FnMut() -> Option<R>,
    cancel: impl FnOnce() -> Option<R>,
) -> Result<R, NotGranted> {
    let obstacle = loop {
        // Before the first wait too: a limit of zero does not wait.
        if deadline.is_some_and(Deadline::has_come) {
            break None;
        }
        match park_quietly(reason) {
            Ok(()) => {
                if let Some(result) = check() {
                    return Ok(result);
                }
            }
            Err(obstacle) => break Some(obstacle),
        }
    };
    if let Some(result) = cancel() {
        return Ok(result);
    }
    Err(match obstacle {
        None => NotGranted::TimedOut,
        Some(Obstacle::Interrupted) => park::raise(),
        Some(Obstacle::Deadlock(report)) => NotGranted::Deadlock(report),
        Some(Obstacle::Unwinding) => NotGranted::Unwinding,
    })
}

/// Waiters, first in, first out. Lies behind the lock of what they wait for.
#[derive(Default)]
pub(crate) struct WaitQueue {
    first: Option<ptr::NonNull<Waiter>>,
    last: Option<ptr::NonNull<Waiter>>,
}

// SAFETY: the waiters it points at are touched under the lock that the queue lies behind, but for
// `granted`, which is atomic, and `sleeper` and `choice`, which do not change.
unsafe impl Send for WaitQueue {}

impl WaitQueue {
    pub(crate) const fn new() -> Self {
        WaitQueue {
            first: None,
            last: None,
        }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// How many wait. Walks the queue.
    pub(crate) fn len(&self) -> usize {
        let mut count = 0;
        let mut waiter = self.first();
        while let Some(here) = waiter {
            count += 1;
            // SAFETY: what is linked is alive (`push`).
            waiter = unsafe { here.next.get().as_ref() };
        }
        count
    }

    /// Who is next.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<&Waiter> {
        // SAFETY: what is linked is alive (`push`), and cannot leave while the lock is held.
        self.first.map(|first| unsafe { first.as_ref() })
    }

    /// Appends `waiter`.
    ///
    /// # Safety
    /// The waiter is in no queue. It stays where it is and alive until it has left this one: it was
    /// popped *and granted*, or removed. Its code must then come to a [`Waiter::wait`] with a `cancel`
    /// that removes it, or remove it itself.
    #[inline(always)]
    pub(crate) unsafe fn push(&mut self, waiter: &Waiter) {
        debug_assert!(!waiter.linked.get());
        let here = ptr::NonNull::from(waiter);
        waiter.linked.set(true);
        waiter.next.set(ptr::null());
        match self.last.replace(here) {
            None => {
                waiter.previous.set(ptr::null());
                self.first = Some(here);
            }
            Some(last) => {
                waiter.previous.set(last.as_ptr());
                // SAFETY: what is linked is alive (`push`).
                unsafe { last.as_ref() }.next.set(waiter);
            }
        }
    }

    /// Removes `waiter`, which is in this queue or in none; false if it is in none.
    #[inline]
    pub(crate) fn remove(&mut self, waiter: &Waiter) -> bool {
        if !waiter.linked.replace(false) {
            return false;
        }
        let next = ptr::NonNull::new(waiter.next.get().cast_mut());
        let previous = ptr::NonNull::new(waiter.previous.get().cast_mut());
        match previous {
            None => self.first = next,
            // SAFETY: what is linked is alive (`push`).
            Some(previous) => unsafe { previous.as_ref() }.next.set(waiter.next.get()),
        }
        match next {
            None => self.last = previous,
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.previous.set(waiter.previous.get()),
        }
        true
    }

    /// Takes the first waiter whose wait is not over, to be granted before the lock is given back.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Popped<'_>> {
        loop {
            let first = self.first?;
            // SAFETY: what is linked is alive (`push`). A waiter that was popped stays so until it is
            // granted, or, if the claim failed, until its code has asked this lock whether it is linked.
            let first = unsafe { first.as_ref() };
            self.remove(first);
            // SAFETY: a choice outlives its waiters' stay in queues.
            match unsafe { first.choice.as_ref() } {
                Some(choice) if !choice.claim(first.index) => {}
                _ => return Some(Popped(first)),
            }
        }
    }

    /// Grants `value` to all who wait now, and wakes them.
    pub(crate) fn grant_all(&mut self, value: u32) -> usize {
        let mut count = 0;
        while let Some(waiter) = self.pop() {
            // Under the lock, because another wake-up may empty the queue of nobody but these. Across
            // threads it is a push and at most one system call a hub.
            waiter.grant(value).send();
            count += 1;
        }
        count
    }
}

impl fmt::Debug for WaitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitQueue")
            .field("empty", &self.is_empty())
            .finish()
    }
}

/// A waiter that has left its queue and is the caller's to serve, under the lock.
#[derive(Debug)]
#[must_use = "a waiter that was popped must be granted"]
pub(crate) struct Popped<'a>(&'a Waiter);

impl Popped<'_> {
    /// The waiter, to hand something over.
    #[inline(always)]
    pub(crate) fn waiter(&self) -> &Waiter {
        self.0
    }

    /// Ends its wait with `value`, which is not 0. The waiter must not be touched afterwards. Send
    /// the wake-up when the lock has been given back.
    #[inline(always)]
    pub(crate) fn grant(self, value: u32) -> WakeUp {
        debug_assert_ne!(value, 0);
        // SAFETY: its wait ends with the store below.
        let remote = unsafe { self.0.sleeper.unpark() };
        // Release: what was handed over is visible to the waiter.
        self.0.granted.store(value, Ordering::Release);
        WakeUp(remote)
    }
}

impl Waiter {
    /// Wakes its code without granting anything, to have it look for itself. Under the lock, while it is
    /// linked.
    pub(crate) fn nudge(&self) -> WakeUp {
        debug_assert!(self.linked.get());
        // SAFETY: it is linked, so its wait has not ended and cannot before the lock is given back.
        WakeUp(unsafe { self.sleeper.unpark() })
    }
}

/// A wake-up that is still to be sent, if the waiter is another thread's.
#[derive(Debug)]
#[must_use = "the waiter waits for it"]
pub(crate) struct WakeUp(Option<Remote>);

impl WakeUp {
    pub(crate) const NONE: Self = WakeUp(None);

    #[inline(always)]
    pub(crate) fn send(self) {
        if let Some(remote) = self.0 {
            remote.unpark();
        }
    }
}
