//! The coroutines that run on this thread: a chain from the innermost outwards.
//!
//! One coroutine resumes another on top of itself, so several run at a time, each but the innermost waiting
//! in its `resume`. Scheduled coroutines are resumed by one loop and know it by
//! `below_loop`; others note who was current when they were resumed.

use core::cell::Cell;

use super::head::Head;

/// This thread's chain of running coroutines.
#[derive(Debug)]
pub(crate) struct Chain {
    /// The innermost running coroutine; null on the thread's own stack.
    pub(super) innermost: Cell<*const Head>,
    /// What was current when the loop that resumes scheduled coroutines ([`super::Coroutine::resume_from`]) was
    /// entered.
    pub(super) below_loop: Cell<*const Head>,
}

thread_local! {
    static CHAIN: Chain = const {
        Chain {
            innermost: Cell::new(core::ptr::null()),
            below_loop: Cell::new(core::ptr::null()),
        }
    };
}

/// This OS thread's chain.
///
/// The address is valid on this thread for as long as the thread lives. Not inlined, so that no
/// compiler carries a thread's address across a switch (arch-notes, "Thread-locals").
#[inline(never)]
pub(crate) fn chain() -> *const Chain {
    CHAIN.with(|chain| chain as *const _)
}

/// The innermost running coroutine, or null on the OS thread's own stack.
#[inline(never)]
pub(crate) fn current() -> *const Head {
    CHAIN.with(|chain| chain.innermost.get())
}

/// Visits the running coroutines of this thread from the innermost outwards, until `visit` gives
/// something. Usable in a signal handler if `visit` is.
pub(super) fn find_running<R>(mut visit: impl FnMut(&Head) -> Option<R>) -> Option<R> {
    let mut head = current();
    while !head.is_null() {
        // SAFETY: the chain consists of running coroutines of this thread, whose heads are alive.
        let here = unsafe { &*head };
        if let Some(found) = visit(here) {
            return Some(found);
        }
        head = here.resumer();
    }
    None
}

/// Whose code this is: the number of the innermost scheduled greenlet, 0 for the thread's own code.
/// Raw greenlets count as part of whoever runs them.
pub(crate) fn context() -> u64 {
    find_running(|head| head.context).unwrap_or(0)
}

/// While it lives in a frame of a raw greenlet, that one is not left for another.
///
/// For frames whose nesting somebody relies on: if two raw greenlets had such, they could be left in any order.
#[derive(Debug)]
pub(crate) struct Anchor(*const Head);

/// Anchors the running coroutine.
pub(crate) fn anchor() -> Anchor {
    let head = current();
    // SAFETY: a running coroutine's head is alive.
    if let Some(head) = unsafe { head.as_ref() } {
        head.anchors.set(head.anchors.get() + 1);
    }
    Anchor(head)
}

impl Drop for Anchor {
    fn drop(&mut self) {
        // SAFETY: it is dropped in a frame of that coroutine, whose head outlives its frames.
        if let Some(head) = unsafe { self.0.as_ref() } {
            head.anchors.set(head.anchors.get() - 1);
        }
    }
}

/// Whether the running coroutine `outermost`, or one that runs on top of it, is anchored.
#[inline]
pub(super) fn is_anchored(outermost: &Head) -> bool {
    let mut head = current();
    loop {
        // SAFETY: the chain consists of running coroutines of this thread, whose heads are alive; `outermost` is one of them.
        let here = unsafe { &*head };
        if here.anchors.get() > 0 {
            return true;
        }
        if core::ptr::eq(here, outermost) {
            return false;
        }
        head = here.resumer();
    }
}

/// A stretch of the loop that resumes scheduled coroutines.
pub(crate) struct Loop {
    chain: *const Chain,
    outer: *const Head,
    below: *const Head,
}

impl Loop {
    /// # Safety
    /// `chain` is this thread's.
    pub(crate) unsafe fn enter(chain: *const Chain) -> Self {
        // SAFETY: the caller's promise.
        let here = unsafe { &*chain };
        let outer = here.innermost.get();
        Loop {
            chain,
            outer,
            below: here.below_loop.replace(outer),
        }
    }
}

/// Between two of those that it resumes, the loop itself runs.
///
/// # Safety
/// `chain` is this thread's, a [`Loop`] has been entered, and none of its coroutines runs.
#[inline(always)]
pub(crate) unsafe fn loop_runs(chain: *const Chain) {
    // SAFETY: the caller's promise.
    let here = unsafe { &*chain };
    here.innermost.set(here.below_loop.get());
}

impl Drop for Loop {
    fn drop(&mut self) {
        // SAFETY: `enter`'s promise.
        let here = unsafe { &*self.chain };
        here.innermost.set(self.outer);
        here.below_loop.set(self.below);
    }
}
