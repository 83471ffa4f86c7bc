//! Links of an [`AsyncResult`](super::AsyncResult): what is to be called when it is set.
//!
//! ```text
//!   link ──► in the list ──set──► a greenlet is spawned ──its turn──► takes the first of the list, and calls it
//!                │                       (a ticket)                        │
//!                └───────── unlink: taken out, and never called ───────────┘
//! ```
//! Tickets are not for particular links: each takes the one that is first when it starts. So links run in the order
//! in which they were added, as long as they run on one hub, and one that was taken back meanwhile is
//! not missed by its ticket, which finds nothing.
//!
//! The list is behind a lock of std, which is never held while a link is called or dropped.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::scheduler::{Builder, LinkId};

type Outcome<T, E> = Result<T, E>;

/// A function of the outcome.
type Call<T, E> = Box<dyn FnOnce(&Outcome<T, E>) + Send>;

/// What spawns tickets: a function that is named where `T` and `E` are known to be `'static`, so that setting
/// a result to which nobody can link does not ask for that.
type Spawn<T, E> = fn(&Arc<Links<T, E>>, Arc<Outcome<T, E>>);

pub(super) struct Links<T, E> {
    list: Mutex<List<T, E>>,
    spawn: Spawn<T, E>,
}

struct List<T, E> {
    links: VecDeque<(LinkId, Call<T, E>)>,
    /// Greenlets that were spawned and have not taken a link yet.
    tickets: usize,
}

impl<T, E> Links<T, E> {
    pub(super) fn new() -> Arc<Self>
    where
        T: Send + Sync + 'static,
        E: Send + Sync + 'static,
    {
        Arc::new(Links {
            list: Mutex::new(List {
                links: VecDeque::new(),
                tickets: 0,
            }),
            spawn: spawn_ticket,
        })
    }

    fn list(&self) -> MutexGuard<'_, List<T, E>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, call: Call<T, E>) -> LinkId {
        let id = LinkId::next();
        self.list().links.push_back((id, call));
        id
    }

    pub(super) fn remove(&self, id: LinkId) -> bool {
        let mut list = self.list();
        let Some(index) = list.links.iter().position(|link| link.0 == id) else {
            return false;
        };
        let link = list.links.remove(index);
        drop(list);
        drop(link);
        true
    }

    /// The outcome is there: spawns as many tickets as lack.
    pub(super) fn announce(self: &Arc<Self>, outcome: &Arc<Outcome<T, E>>) {
        let lacking = {
            let mut list = self.list();
            let lacking = list.links.len().saturating_sub(list.tickets);
            list.tickets += lacking;
            lacking
        };
        for _ in 0..lacking {
            (self.spawn)(self, outcome.clone());
        }
    }
}

/// The right to take one link. If its greenlet is killed before it starts, another may.
struct Ticket<T, E>(Arc<Links<T, E>>);

impl<T, E> Ticket<T, E> {
    fn take(self) -> Option<Call<T, E>> {
        self.0.list().links.pop_front().map(|link| link.1)
    }
}

impl<T, E> Drop for Ticket<T, E> {
    fn drop(&mut self) {
        self.0.list().tickets -= 1;
    }
}

fn spawn_ticket<T, E>(links: &Arc<Links<T, E>>, outcome: Arc<Outcome<T, E>>)
where
    T: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let ticket = Ticket(links.clone());
    let spawned = Builder::new().spawn(move || {
        if let Some(call) = ticket.take() {
            call(&outcome);
        }
    });
    if let Err(error) = spawned {
        tracing::error!(target: "rustlet", %error, "a link is not called");
    }
}

impl<T, E> fmt::Debug for Links<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").finish_non_exhaustive()
    }
}
