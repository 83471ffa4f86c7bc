//! What a raw greenlet is: the node that its handles share, and how its coroutine is entered.
//!
//! ```text
//!            handles, children (as parent), the loop that runs it: Rc
//!                       │
//!                       ▼
//!   Node ── body ──► coroutine on its slot ── data ──► Node (not counted)
//!
//!   Created ──start──► Running ◄──resume──── Suspended
//!      │                  │  └─────leave────────►│
//!      └──cancel──► Dead ◄┴──closure returned or unwound
//! ```
//!
//! `Running` means resumed and not suspended *itself*: a greenlet whose stack carries a suspended
//! greenlet of another family's root is `Running` too, and may not be resumed from elsewhere.
//!
//! # Why the node outlives its coroutine
//! The coroutine points back at its node without counting. That is sound because a node whose
//! coroutine is suspended is never freed: the last handle unwinds the coroutine first, and if that
//! fails the node is leaked ([`super::reap`]); one whose coroutine runs is held by the loop that
//! resumed it.
#![allow(unsafe_code)] // Follows a coroutine's pointer to its node.

use core::cell::Cell;
use core::fmt;
use core::ptr::{self, NonNull};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::drive::Run;
use super::error::GreenletExit;
use super::greenlet::{Counted, Greenlet};
use super::transfer::Parcel;
use crate::coroutine::{self, Body, Coroutine, Head, Kind};
use crate::stack::{Pool, StackSize, thread_pool};

pub(super) type Entry<V> = Box<dyn FnOnce(V) -> V>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Created,
    Running,
    Suspended,
    Dead,
}

pub(super) struct Node<V: 'static> {
    /// Unique on its thread, and never 0.
    pub(super) id: u64,
    /// [`coroutine::context`] of the code that it belongs to.
    pub(super) context: Cell<u64>,
    pub(super) phase: Cell<Phase>,
    /// Its coroutine while it is `Running` or `Suspended`.
    pub(super) body: Cell<Option<NonNull<Body<Raw<V>>>>>,
    /// The loop that resumed it; valid while it is `Running`.
    pub(super) run: Cell<*const Run<V>>,
    /// Its closure while it is `Created`.
    entry: Cell<Option<Entry<V>>>,
    /// `None` only in the middle of [`Node::parent`].
    parent: Cell<Option<Greenlet<V>>>,
    /// What it returns if the [`GreenletExit`] that was raised in it is not caught.
    pub(super) exit_value: Cell<Option<V>>,
    size: StackSize,
    /// Where the stack was promised and comes back to: not asked for again, because a thread that
    /// is ending has a new pool each time.
    pool: Rc<Pool>,
}

/// The data of a raw greenlet's coroutine.
pub(super) struct Raw<V: 'static> {
    node: NonNull<Node<V>>,
}

/// A number for a new greenlet of this thread.
#[inline(never)]
fn next_id() -> u64 {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    LAST.with(|last| {
        last.set(last.get() + 1);
        last.get()
    })
}

/// The innermost running greenlet of the family of `V`, or `None` for code outside of it.
#[inline(never)]
pub(super) fn here<V: 'static>() -> Option<NonNull<Node<V>>> {
    let mut at = coroutine::current();
    while let Some(head) = NonNull::new(at.cast_mut()) {
        // SAFETY: the chain from `current` consists of running coroutines of this thread.
        unsafe {
            if let Some(body) = Head::body::<Raw<V>>(head) {
                return Some(body.as_ref().data.node);
            }
            if head.as_ref().context().is_some() {
                return None;
            }
            at = head.as_ref().resumer();
        }
    }
    None
}

impl<V: 'static> Node<V> {
    /// A greenlet that has not started, with the promise of a stack.
    pub(super) fn create(
        size: StackSize,
        parent: Greenlet<V>,
        entry: Entry<V>,
    ) -> io::Result<Counted<V>> {
        let pool = thread_pool();
        pool.promise(size)?;
        let node = Rc::new(Node {
            id: next_id(),
            context: Cell::new(parent.context()),
            phase: Cell::new(Phase::Created),
            body: Cell::new(None),
            run: Cell::new(ptr::null()),
            entry: Cell::new(Some(entry)),
            parent: Cell::new(Some(parent)),
            exit_value: Cell::new(None),
            size,
            pool,
        });
        Ok(Counted(node))
    }

    /// A handle to the greenlet of a node that [`here`] found.
    pub(super) fn handle(running: NonNull<Self>) -> Counted<V> {
        // SAFETY: it is running, so it is alive, and lives in an `Rc` as all nodes do.
        unsafe {
            Rc::increment_strong_count(running.as_ptr());
            Counted(Rc::from_raw(running.as_ptr()))
        }
    }

    pub(super) fn parent(&self) -> Greenlet<V> {
        let parent = self.parent.take().expect("every node has a parent");
        self.parent.set(Some(parent.clone()));
        parent
    }

    /// Sets the parent and returns the one before, which the caller drops when it is ready to: that
    /// may unwind a greenlet.
    pub(super) fn replace_parent(&self, parent: Greenlet<V>) -> Greenlet<V> {
        let before = self.parent.replace(Some(parent));
        before.expect("every node has a parent")
    }

    /// Gives a created greenlet its stack.
    ///
    /// # Errors
    /// The guards of new stacks cannot be installed. The greenlet is still created.
    pub(super) fn start(self: &Rc<Self>) -> io::Result<()> {
        debug_assert_eq!(self.phase.get(), Phase::Created);
        coroutine::prepare_thread();
        let slot = self.pool.take(self.size)?;
        // From the `Rc`, so that a handle can be made of it.
        let node = NonNull::new(Rc::as_ptr(self).cast_mut()).expect("an Rc is not null");
        let data = Raw { node };
        self.body.set(Some(Coroutine::create(slot, data).body()));
        self.phase.set(Phase::Suspended);
        Ok(())
    }

    /// Ends a created greenlet without running it: drops its closure.
    pub(super) fn cancel(&self) {
        debug_assert_eq!(self.phase.get(), Phase::Created);
        self.phase.set(Phase::Dead);
        self.pool.withdraw(self.size);
        drop(self.entry.take());
    }

    /// Buries a greenlet whose coroutine has finished: gives back its stack.
    ///
    /// # Safety
    /// `resume` has just returned that its coroutine finished.
    pub(super) unsafe fn bury(&self) {
        let body = self.body.take().expect("what finished had a coroutine");
        self.phase.set(Phase::Dead);
        // SAFETY: it has finished, by the precondition; `body` was the only way to reach it.
        let slot = unsafe { Coroutine::from_body(body).finish() };
        self.pool.give_back(slot);
    }

    /// What the unwinding `payload` of this greenlet means for its parent.
    fn outcome(&self, payload: Box<dyn core::any::Any + Send>) -> Parcel<V> {
        let exits = payload
            .downcast_ref::<GreenletExit>()
            .is_some_and(|exit| exit.greenlet == self.id);
        // Left alone if it is not wanted: its destructor is the user's, and may unwind.
        match exits.then(|| self.exit_value.take()).flatten() {
            Some(value) => Parcel::Value(value),
            // With no exit value its last handle was dropped, and `reap` waits for the payload.
            None => Parcel::Panic(payload),
        }
    }
}

impl<V: 'static> Kind for Raw<V> {
    fn enter(body: &Body<Self>) {
        // SAFETY: the node outlives its coroutine (module head).
        let node = unsafe { body.data.node.as_ref() };
        // What is dropped in here belongs to the closure, so nothing can unwind out of `enter`.
        let result = catch_unwind(AssertUnwindSafe(|| {
            let entry = node.entry.take().expect("a greenlet is entered once");
            match super::transfer::arrive(node) {
                Parcel::Value(first) => entry(first),
                _ => unreachable!("an unstarted greenlet is started with a value alone"),
            }
        }));
        let outcome = match result {
            Ok(value) => Parcel::Value(value),
            Err(payload) => node.outcome(payload),
        };
        // SAFETY: it is running, so the loop that resumed it last waits for it.
        unsafe { &*node.run.get() }.put(outcome);
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        // SAFETY: as in `enter`; the number never changes.
        write!(out, "raw greenlet #{}", unsafe { self.node.as_ref() }.id)
    }

    fn context(&self) -> Option<u64> {
        None
    }
}

impl<V: 'static> Drop for Node<V> {
    fn drop(&mut self) {
        debug_assert!(self.body.get().is_none(), "a live coroutine's node is kept");
        if self.phase.get() == Phase::Created {
            self.pool.withdraw(self.size);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::next_id;
    use crate::coroutine::wander::sees_the_present_thread;

    #[test]
    fn numbers_are_those_of_the_present_thread() {
        // Each thread's are in a hundred of their own.
        let own_hundred = |thread: usize| {
            while next_id() < thread as u64 * 100 {}
            thread
        };
        sees_the_present_thread(own_hundred, || next_id() as usize / 100);
    }
}
