//! Interrupting a greenlet: kills, throws and timeout scopes.
//!
//! All three unwind the target from its suspension point, with `resume_unwind`, so that no panic hook
//! runs. Destructors run on the way.
//!
//! - **Kill** is sticky: code that catches the unwinding is unwound again at its next suspension, until
//!   the greenlet ends.
//! - A **throw** ([`super::throw`]) raises a payload of the caller's, once. It is no business of
//!   ours who catches it, or that it ends the greenlet like a panic.
//! - A **scope** is a frame (of [`crate::timeout`]) with an identity. When it is hit, the unwinding
//!   carries that identity and stops at that frame alone; code inside that catches it is unwound again at
//!   its next suspension; once the frame has returned nothing of it is left.
//!
//! # If several are pending
//! A suspension raises one: **the kill; else the oldest throw; else the innermost scope that was hit.**
//! The kill comes first because nothing after it matters. The others go from the inside
//! outwards, and a throw is the innermost: it is raised at the very call that waits, inside of every
//! scope, and may be caught there. What is left is raised at the suspensions that follow; a scope
//! that a throw unwinds through has ended, and its limit with it.
//!
//! Nothing is raised while the greenlet is unwinding already: it does not suspend then
//! ([`mod@super::park`]), so destructors run to their end.
//!
//! # Whose unwinding it is
//! Locks are poisoned by panics, and by what was thrown, but not by a kill or a timeout: [`unwinding_is_ours`] tells a
//! guard's destructor which it is. [`Control::raising`] says what was raised last. It becomes stale when
//! code of the user's catches the unwinding; a panic that begins later clears it in the panic hook
//! ([`super::report`]), a timeout's own frame where it stops, and anybody who asks while nothing unwinds.
#![allow(unsafe_code)] // Scopes are frames linked by address.

use core::cell::Cell;
use core::fmt;
use core::ptr;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};

use super::control::Control;
use super::hub::{self, Hub};
use super::park;
use super::task::{KILLED, TaskRef};
use crate::coroutine::{self, Anchor};

/// The payload with which a killed greenlet is unwound.
///
/// Code that uses [`std::panic::catch_unwind`] may find it in the caught payload, and should
/// pass it on with [`std::panic::resume_unwind`]: the greenlet is unwound again at its next
/// suspension in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Killed;

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("greenlet was killed")
    }
}

/// The payload that unwinds to a scope.
#[derive(Debug)]
struct ScopeHit(ScopeId);

/// A frame to which its greenlet can be unwound from outside.
///
/// Entered scopes are a list, the innermost first, that begins in the control block. Frames of one stack nest, and a raw greenlet may not be
/// left inside of a scope ([`coroutine::Anchor`]). But one that is unwound by its last handle's drop may catch that, and leave the code
/// that dropped the handle in the middle: so each scope knows what points at it, and leaves the list from wherever it is.
#[derive(Debug)]
pub(crate) struct Scope {
    id: ScopeId,
    hit: Cell<bool>,
    outer: Cell<*const Scope>,
    /// What points at this one while it is entered: the control block's cell, or `outer` of the next. Null when its greenlet has ended.
    link: Cell<*const Cell<*const Scope>>,
}

/// What [`Control::raise`] raised last, until it is known to have stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raising {
    Nothing,
    /// A kill or a scope.
    Interrupt,
    /// Somebody's payload.
    Thrown,
}

/// Names a scope; no two of a process have the same. Stale names are harmless: they are looked up,
/// never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeId(u64);

impl ScopeId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ScopeId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Scope {
    /// Runs `f` inside a new scope. `arm` gets the scope's name before `f` starts, and its guard is
    /// dropped when `f` has returned or unwound, after which the name must not be used.
    ///
    /// Returns `None` if `f` was unwound because the scope was hit.
    pub(crate) fn enter<T, G>(arm: impl FnOnce(ScopeId) -> G, f: impl FnOnce() -> T) -> Option<T> {
        struct Leave<'a> {
            scope: &'a Scope,
            _anchor: Anchor,
        }
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.scope.unlink();
                let control = hub::current_control();
                if control.interrupted() {
                    control.interrupt_is_pending();
                }
            }
        }

        let scope = Scope {
            id: ScopeId::next(),
            hit: Cell::new(false),
            outer: Cell::new(ptr::null()),
            link: Cell::new(ptr::null()),
        };
        let caught = {
            scope.link_at(&hub::current_control().scope);
            let _leave = Leave {
                scope: &scope,
                _anchor: coroutine::anchor(),
            };
            let _armed = arm(scope.id);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(f))
        };
        match caught {
            Ok(value) => Some(value),
            Err(payload) => match payload.downcast_ref::<ScopeHit>() {
                Some(&ScopeHit(id)) if id == scope.id => {
                    hub::current_control().raising.set(Raising::Nothing);
                    None
                }
                _ => resume_unwind(payload),
            },
        }
    }

    /// Puts this scope at the beginning of the list.
    fn link_at(&self, begin: &Cell<*const Scope>) {
        let outer = begin.replace(self);
        self.outer.set(outer);
        self.link.set(begin);
        // SAFETY: the list consists of entered scopes, whose frames live.
        if let Some(outer) = unsafe { outer.as_ref() } {
            outer.link.set(&raw const self.outer);
        }
    }

    /// Leaves the list.
    fn unlink(&self) {
        // SAFETY: what points at an entered scope is the control block of a greenlet that has not ended (`orphan_scopes`) or another
        // entered scope, whose frame lives.
        let Some(link) = (unsafe { self.link.get().as_ref() }) else {
            return;
        };
        let outer = self.outer.get();
        link.set(outer);
        // SAFETY: as in `link_at`.
        if let Some(outer) = unsafe { outer.as_ref() } {
            outer.link.set(link);
        }
    }
}

/// Hits a scope of `task`: its greenlet is unwound to it at its current or next suspension.
///
/// Called on the task's own hub's thread. Does nothing if the scope is not entered any more.
pub(crate) fn hit(task: &TaskRef, id: ScopeId) {
    // SAFETY: on the hub's thread a non-null `control` is that of a live greenlet.
    let Some(control) = (unsafe { task.control.get().as_ref() }) else {
        return;
    };
    let mut scope = control.scope.get();
    while !scope.is_null() {
        // SAFETY: the chain from `scope` consists of entered scopes, whose frames live.
        let here = unsafe { &*scope };
        if here.id == id {
            here.hit.set(true);
            control.set_interrupted(true);
            park::unpark(task);
            return;
        }
        scope = here.outer.get();
    }
}

/// Marks `task` as killed and sees to it that it notices. True if it was not done.
pub(crate) fn kill(task: &TaskRef) -> bool {
    let before = task.state.fetch_or(KILLED, Ordering::AcqRel);
    if before & super::task::DONE != 0 {
        return false;
    }
    tracing::debug!(target: "rustlet", id = task.id, name = task.name(), "kill");
    park::wake_for_kill(task);
    true
}

/// [`kill`] for one of many at the end of their thread. What has yet to tell of an end is let be until
/// it has begun.
pub(super) fn kill_listed(task: &TaskRef) {
    if !task.is_spared() {
        kill(task);
    }
}

/// Whether the current unwinding was begun here, by a kill or a scope.
pub(crate) fn unwinding_is_ours() -> bool {
    let Some(control) = hub::existing().map(Hub::current) else {
        return false;
    };
    if !std::thread::panicking() {
        control.raising.set(Raising::Nothing);
    }
    control.raising.get() == Raising::Interrupt
}

impl Control {
    /// What a suspension point does when it finds `interrupted`.
    #[cold]
    #[inline(never)]
    pub(crate) fn raise(&self) {
        if std::thread::panicking() {
            return;
        }
        if self.task.is_killed() {
            self.raising.set(Raising::Interrupt);
            resume_unwind(Box::new(Killed));
        }
        if self.task.is_thrown_at()
            && let Some(payload) = self.task.take_thrown()
        {
            self.raising.set(Raising::Thrown);
            resume_unwind(payload);
        }
        let mut scope = self.scope.get();
        while !scope.is_null() {
            // SAFETY: the chain from `scope` consists of entered scopes, whose frames live.
            let here = unsafe { &*scope };
            if here.hit.get() {
                self.raising.set(Raising::Interrupt);
                resume_unwind(Box::new(ScopeHit(here.id)));
            }
            scope = here.outer.get();
        }
        self.set_interrupted(false);
    }

    /// Whether something would really be raised now; clears a flag that has become stale.
    #[cold]
    pub(crate) fn interrupt_is_pending(&self) -> bool {
        let mut pending = self.task.is_interrupted();
        let mut scope = self.scope.get();
        while !scope.is_null() && !pending {
            // SAFETY: as in `raise`.
            let here = unsafe { &*scope };
            pending = here.hit.get();
            scope = here.outer.get();
        }
        self.set_interrupted(pending);
        pending
    }

    /// The greenlet has ended, and its control block goes: scopes of raw greenlets that were left inside of one lose their list.
    #[inline(always)]
    pub(super) fn orphan_scopes(&self) {
        if !self.scope.get().is_null() {
            self.orphan_some();
        }
    }

    #[cold]
    #[inline(never)]
    fn orphan_some(&self) {
        let mut scope = self.scope.get();
        while !scope.is_null() {
            // SAFETY: as in `raise`.
            let here = unsafe { &*scope };
            here.link.set(ptr::null());
            scope = here.outer.replace(ptr::null());
        }
    }
}

impl Hub {
    /// The hub learns that a task was killed or thrown at: on its own thread, directly or through
    /// the inbox.
    pub(super) fn note_kill(&self, task: &TaskRef) {
        // SAFETY: on the hub's thread a non-null `control` is that of a live greenlet.
        match unsafe { task.control.get().as_ref() } {
            Some(control) => control.set_interrupted(true),
            None => self.hasten(task.id),
        }
    }
}
