//! Closures of greenlets that got no stack: dropped as soon as there is one.
//!
//! ```text
//!   no stack ──► those who join are told ──► the closure is kept ──► between turns, each 10 ms
//!                                               ▲                              │
//!                                               └── no stack for it either ◄───┴──► a greenlet drops all that are kept
//! ```
//! A closure has what the greenlet was to work with: a connection, whose client waits. Its destructors are the program's and may block, so they
//! need a stack, as those of a greenlet that was killed before it began. There may be none until another greenlet ends.
//! Who joins does not wait for that: it may be the one whose end it takes. What is to be called after a greenlet's end (links, groups) and gets no
//! stack goes the same way, and is called instead of dropped: at that moment the stack of the one that ends is not free yet.
//!
//! While closures are kept, a hub that has nothing to do looks every 100 ms whether there is memory again. At the end
//! of the thread its greenlets end, and there are stacks; what is left even then is leaked.

use core::cell::{Cell, RefCell};
use core::mem;
use core::panic::Location;
use core::sync::atomic::Ordering;
use std::collections::VecDeque;

use super::Hub;
use crate::scheduler::driver::Wait;
use crate::scheduler::task::{SPARED, TaskRef};
use crate::scheduler::typed::Unrun;
use crate::sys::{clock, ticks};

/// Milliseconds between two tries of a hub that has other things to do.
const BETWEEN_TRIES: u64 = 10;
/// How long an idle hub waits before it tries again.
const RETRY: clock::Nanos = 100_000_000;

#[derive(Default)]
pub(super) struct Closures {
    kept: RefCell<VecDeque<Box<dyn Unrun>>>,
    /// There are some, and no greenlet is about to drop them.
    waiting: Cell<bool>,
    /// The numbers of the greenlets that drop them: one, unless it is held up.
    droppers: RefCell<Vec<u64>>,
    /// When a stack was last asked for, in ticks.
    asked: Cell<u64>,
}

impl core::fmt::Debug for Closures {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Closures")
            .field("kept", &self.kept.borrow().len())
            .finish_non_exhaustive()
    }
}

impl Closures {
    /// A greenlet has ended; whether it was one that drops closures.
    fn no_longer_drops(&self, id: u64) -> bool {
        let mut droppers = self.droppers.borrow_mut();
        let place = droppers.iter().position(|&dropper| dropper == id);
        place.map(|place| droppers.swap_remove(place)).is_some()
    }
}

impl Hub {
    /// Keeps the closure of a greenlet that got no stack.
    #[cold]
    pub(super) fn keep_unrun(&self, task: &TaskRef, closure: Box<dyn Unrun>) {
        self.unrun.waiting.set(true);
        if self.unrun.no_longer_drops(task.id) {
            return; // whose closure has nothing
        }
        self.keep(closure);
    }

    /// Has `f` called where closures are dropped.
    #[cold]
    pub(super) fn keep_to_be_called(&self, f: impl FnOnce() + 'static) {
        struct CalledWhenDropped<F: FnOnce()>(Option<F>);
        impl<F: FnOnce()> Drop for CalledWhenDropped<F> {
            fn drop(&mut self) {
                if let Some(f) = self.0.take() {
                    f();
                }
            }
        }
        self.unrun.waiting.set(true);
        self.keep(Box::new(CalledWhenDropped(Some(f))));
    }

    fn keep(&self, closure: Box<dyn Unrun>) {
        let mut kept = self.unrun.kept.borrow_mut();
        match kept.try_reserve(1) {
            Ok(()) => kept.push_back(closure),
            Err(_) => mem::forget(closure),
        }
    }

    /// Between turns, now and then: has kept closures dropped, if there is a stack again.
    #[inline]
    pub(super) fn drop_kept(&self) {
        if self.unrun.waiting.get() {
            self.try_to_drop_kept();
        }
    }

    #[cold]
    fn try_to_drop_kept(&self) {
        let now = ticks::now();
        if now.wrapping_sub(self.unrun.asked.get()) >= BETWEEN_TRIES * ticks::one_millisecond() {
            self.unrun.asked.set(now);
            self.spawn_dropper();
        }
    }

    fn spawn_dropper(&self) {
        let name = Some("closures that got no stack".into());
        if let Ok(task) = self.spawn_own(name, Location::caller(), drop_all) {
            task.state.fetch_or(SPARED, Ordering::Relaxed);
            self.unrun.droppers.borrow_mut().push(task.id);
            self.unrun.waiting.set(false);
            task.detach();
        }
    }

    /// Whether the running greenlet drops closures.
    pub(in crate::scheduler) fn drops_unrun(&self) -> bool {
        let droppers = self.unrun.droppers.borrow();
        !droppers.is_empty() && droppers.contains(&self.current().task.id)
    }

    /// A hub's wait, not longer than until the next try.
    pub(super) fn until_next_try(&self, wait: Option<Wait>) -> Option<Wait> {
        match self.unrun.waiting.get() {
            false => wait,
            true => Some(wait.unwrap_or(Wait::Forever).no_later(clock::now() + RETRY)),
        }
    }

    /// At the end of the thread, when greenlets end and give back their stacks.
    pub(super) fn drop_kept_at_once(&self) {
        if self.unrun.waiting.get() {
            self.spawn_dropper();
        }
    }

    /// At the very end.
    pub(super) fn leak_kept(&self) {
        mem::forget(self.unrun.kept.take());
    }
}

/// The greenlet that drops closures, the oldest first. Should one of them unwind, another greenlet does the rest.
fn drop_all() {
    struct End(&'static Hub);
    impl Drop for End {
        fn drop(&mut self) {
            let unrun = &self.0.unrun;
            unrun.no_longer_drops(self.0.current().task.id);
            unrun.waiting.set(!unrun.kept.borrow().is_empty());
        }
    }
    let hub = super::get();
    let _end = End(hub);
    loop {
        let Some(closure) = hub.unrun.kept.borrow_mut().pop_front() else {
            return;
        };
        // Should this one wait, another greenlet does the rest.
        let rest = !hub.unrun.kept.borrow().is_empty();
        hub.unrun.waiting.set(rest);
        drop(closure);
    }
}
