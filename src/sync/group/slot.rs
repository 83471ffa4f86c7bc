//! [`PoolSlot`]: a slot that is taken before there is a greenlet for it. For servers, which accept a connection only if they may
//! serve it.
//!
//! [`Pool::add`] would take the slot afterwards, and would have to wait if another thread was faster.

use std::sync::Arc;

use super::crew::{Crew, Place};
use super::pool::{Pool, SPAWNING};
use crate::scheduler::Handle;

/// Given back when it is dropped, mostly by the greenlet that it is for.
#[derive(Debug)]
pub(crate) struct PoolSlot {
    place: Place<Arc<Crew>>,
}

impl Pool {
    /// Takes a slot, when one is free, first come, first served.
    ///
    /// # Panics
    /// As [`Pool::spawn`].
    pub(crate) fn take_slot(&self) -> PoolSlot {
        let key = match self.crew.reserve(None) {
            Ok(key) => key,
            Err(error) => error.panic(SPAWNING),
        };
        let crew = self.crew.clone();
        PoolSlot {
            place: Place { crew, key },
        }
    }
}

impl PoolSlot {
    /// Makes a greenlet the member that has this slot, so that the pool can kill it. A second time it changes nothing.
    pub(crate) fn enter(&self, greenlet: &Handle) {
        let Place { crew, key } = &self.place;
        crew.enter(*key, greenlet.task().clone());
    }
}
