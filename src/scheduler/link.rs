//! Links: what is to be done when a greenlet has ended.
//!
//! ```text
//!   link ──► in the task's list ──the end──► a greenlet is spawned for it ──its turn──► taken out, and called
//!                   │                                                        │
//!                   └────── unlink: taken out, and never called ─────────────┘
//! ```
//! Each link is called in a greenlet of its own, on the hub of the one that has ended, so that one that
//! blocks or panics keeps no other waiting. They are queued in the order in which the links were added, before
//! those who wait for the end are woken. A link that does not match the end (a [`When::Value`] of a
//! killed one) gets its greenlet too, which drops it: its destructor may be anything.
//!
//! A link that is added after the end is queued at once, and so after those that came before. If the hub belongs to
//! another thread it goes there through the inbox as a greenlet that has yet to start
//! (through its [`super::inbox`]); if that thread has ended, it runs on the caller's.
//!
//! When a thread ends, its greenlets are killed, which does not spare their links: each is started, and killed
//! where it first waits.
//!
//! # Not chosen
//! gevent's `rawlink`, a callback in the hub itself, which must not block or raise. What it is good for
//! inside a library (waking somebody) is [`super::joiners::Waiter`]; from outside of one it saves a spawn of some
//! fifty nanoseconds.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use std::panic::Location;

use super::ended::Ended;
use super::hub;
use super::task::TaskRef;

/// After which ends a link is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    Value,
    Error,
}

/// One link, until it is called or taken back.
pub(super) struct Link {
    when: When,
    added_at: &'static Location<'static>,
    f: Box<dyn FnOnce(&Ended) + Send>,
}

/// A link as it is announced: its name, and where it was added.
pub(super) type Added = (LinkId, &'static Location<'static>);

/// Names a link, to take it back. No two links of a process have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(u64);

impl LinkId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        LinkId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Link {
    fn call(self, ended: &Ended) {
        let fits = match self.when {
            When::Always => true,
            When::Value => ended.is_successful(),
            When::Error => !ended.is_successful(),
        };
        if fits {
            (self.f)(ended);
        }
    }
}

/// Adds a link to `task`.
#[track_caller]
pub(super) fn link(task: &TaskRef, when: When, f: impl FnOnce(&Ended) + Send + 'static) -> LinkId {
    let added_at = Location::caller();
    let link = Link {
        when,
        added_at,
        f: Box::new(f),
    };
    // Numbered under the list's lock: the list is in the order of the numbers.
    let (id, ended) = task.add_link(LinkId::next, link);
    if ended {
        spawn(task, id, added_at);
    }
    id
}

/// Queues the greenlet that will call link `id` of `task`, which has ended.
fn spawn(task: &TaskRef, id: LinkId, added_at: &'static Location<'static>) {
    let ended = task.clone();
    let caller = move || {
        if let Some(link) = ended.remove_link(id) {
            link.call(&Ended::new(ended));
        }
    };
    hub::get().spawn_for(task, added_at, caller);
}

/// Queues the links of `task`, which has ended just now.
#[cold]
pub(super) fn spawn_all(task: &TaskRef, links: Vec<Added>) {
    for (id, added_at) in links {
        spawn(task, id, added_at);
    }
}

impl Link {
    pub(super) fn added_at(&self) -> &'static Location<'static> {
        self.added_at
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("when", &self.when)
            .field("added_at", &self.added_at)
            .finish_non_exhaustive()
    }
}
