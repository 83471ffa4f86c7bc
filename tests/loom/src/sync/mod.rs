//! The files of `sync` that are checked.

pub(crate) mod channel_model;
#[path = "../../../../src/sync/mpmc/mod.rs"]
pub(crate) mod mpmc;
#[path = "../../../../src/sync/observers.rs"]
mod observers;
#[path = "../../../../src/sync/permits.rs"]
pub(crate) mod permits;
pub(crate) mod permits_model;
#[path = "../../../../src/sync/queue/mod.rs"]
pub(crate) mod queue;
#[path = "../../../../src/sync/waiter.rs"]
pub(crate) mod waiter;
pub(crate) mod waiter_model;
