//! Atomics, cells, locks that block, and the spin hint, for the protocols between threads that loom checks.
//!
//! The standard library's own, under a name of ours. The crate in `tests/loom` compiles the same files of `src` (by
//! `#[path]`) with another `util::primitive`, which is made of loom's types; so the code that is checked
//! is the code that runs, and there is no `cfg(loom)` in it. A file that `tests/loom` includes takes
//! these from here, and names nothing that the crate there does not have.
//!
//! Rejected: `--cfg loom` for the whole crate (two thirds of it are context switches and system calls, which loom
//! cannot run), and copies of the protocols (they would rot).

pub(crate) use core::cell::Cell;
pub(crate) use core::hint;
pub(crate) use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
