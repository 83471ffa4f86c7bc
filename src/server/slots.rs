//! How many handlers may run at a time, and who takes their places.
//!
//! A slot is taken before a connection is, so that a full server leaves its clients in the backlog, and so that
//! acceptors on several workers do not accept more together than there are slots. On the way from one to the other the acceptor
//! does not suspend; it lets go of the slot before it waits for clients.

use std::sync::Arc;

use crate::scheduler::Handle;
use crate::sync::group::{Pool, PoolSlot};
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

/// The right to run one handler; given back when it is dropped.
pub(super) enum Slot {
    Unlimited,
    /// Held for its destructor.
    Own {
        _permit: OwnedPermit,
    },
    Shared(PoolSlot),
}

impl Slots {
    /// Waits until a slot is free, and takes it.
    pub(super) fn take(&self) -> Slot {
        match self {
            Slots::Unlimited => Slot::Unlimited,
            Slots::Own(permits) => Slot::Own {
                _permit: permits.acquire_owned(),
            },
            Slots::Shared(pool) => Slot::Shared(pool.take_slot()),
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

impl Slot {
    /// Tells the pool, if there is one, whose the slot is.
    pub(super) fn enter(&self, connection: &Handle) {
        if let Slot::Shared(slot) = self {
            slot.enter(connection);
        }
    }
}
