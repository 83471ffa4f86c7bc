//! The files of `io` that are checked: of the pools of threads.

#[path = "../../../../src/io/offload/limits.rs"]
mod limits;
pub(crate) mod offload_model;
#[path = "../../../../src/io/offload/pool.rs"]
mod pool;
#[path = "../../../../src/io/offload/slot.rs"]
mod slot;
