//! How many handlers may run at a time, and who takes their places.
//!
//! A slot is taken before a connection is, so that a full server leaves its clients in the backlog. On the way
//! from one to the other the acceptor does not suspend; it lets go of the slot before it waits for clients.

use std::sync::Arc;

use crate::scheduler::Handle;
use crate::sync::group::Pool;
use crate::sync::{OwnedPermit, Semaphore};

#[derive(Default)]
pub(super) enum Slots {
    /// As many as there are connections.
    #[default]
    Unlimited,
    /// A permit each.
    Own(Arc<Semaphore>),
    /// Those of a pool, which others may use, too.
    Shared(Arc<Pool>),
}

impl Slots {
    /// Waits until a slot is free, and takes it, if that is a permit. A pool's is taken with [`Slots::enter`].
    pub(super) fn take(&self) -> Option<OwnedPermit> {
        match self {
            Slots::Unlimited => None,
            Slots::Own(permits) => Some(permits.acquire_owned()),
            Slots::Shared(pool) => {
                // Who was woken by a free slot may come to run after it was taken by somebody else.
                while pool.is_full() {
                    pool.wait_available();
                }
                None
            }
        }
    }

    /// Puts the greenlet of a new connection into the pool, if there is one.
    ///
    /// That waits only if a greenlet of another thread has taken the slot just now.
    pub(super) fn enter(&self, connection: &Handle) {
        if let Slots::Shared(pool) = self {
            pool.add(connection);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        match self {
            Slots::Unlimited => false,
            Slots::Own(permits) => permits.available_permits() == 0,
            Slots::Shared(pool) => pool.is_full(),
        }
    }
}
