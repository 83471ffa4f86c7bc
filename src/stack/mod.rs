//! Stack memory: where coroutines live.
//!
//! Stacks come in size classes (`StackSize`). Each OS thread has a `Pool` of its own, and in
//! it each class has its own address space, cut into equal slots:
//!
//! ```text
//!  region   PROT_NONE, grows by doubling, a handful per million stacks
//!  ├───────────────── committed (readable, writable) ────────────────┬──── reserved ────┤
//!  ├──────── guards installed ─────────┬──── never used, no guard ───┤
//!  │ slot 0 │ slot 1 │ … │ next fresh  │                             │                  │
//!
//!  slot     aligned to its size
//!  limit                guard_end                                      top           end
//!  ├──── guard ─────────┼──────────────── stack, grows down ◄──────────┼── colour ─────┤
//!    faults               pages appear as they are touched               (slot mod 32) × 64 bytes
//! ```
//!
//! A slot is hot (free, its pages kept, last in first out), trimmed (free, its pages given back),
//! fresh (never used) or live (leased as a `Slot`). Creating a coroutine is two steps, so that
//! `spawn` can report want of memory and still cost nothing until the coroutine first runs:
//! `Pool::promise` obtains address space, mappings and commit charge, `Pool::take` redeems it.
//!
//! ```text
//!   promise ──► take ──► Slot ──► give_back
//!      └──────► withdraw              └──► hot ──above the limit, oldest────► trimmed
//! ```
//!
//! **The invariant** that everything here argues from: every committed slot is in exactly one of
//! the four states, and `live + promised ≤ committed`. So a promise can always be redeemed, and
//! memory that the pool writes, guards or discards belongs to no lease.
//!
//! # Who may call what
//! A pool never leaves its thread: no locks on its paths, and no atomic operation but plain stores. What other
//! threads may know of it is in its `census`. Nothing here suspends, and nothing here may be called from a signal handler.
//!
//! # Rejected
//! - A mapping per stack: ends at 32,754 stacks on a default machine, and each costs 1.4 µs.
//! - One pool for all threads: a lock or an atomic on every spawn. A coroutine stays on the thread
//!   that started it, so its stack can too.
//! - Slots of any size: fragment, and need a search. Unused pages of a slot cost nothing, so
//!   powers of two waste addresses only.
//! - Giving every stack's pages back at once: 1.1 µs and a page fault on the next use, against
//!   a few nanoseconds for a hot slot.
#![allow(unsafe_code)] // Guards, commits, discards and paints memory; see the invariant above.

mod census;
mod checked;
mod class;
mod hot;
mod pool;
mod region;
mod size;
mod slot;
mod stats;
#[cfg(test)]
mod tests;

pub(crate) use census::Census;
pub(crate) use pool::{Pool, thread_pool};
pub use size::StackSize;
pub(crate) use slot::Slot;
pub use stats::StackStats;

pub use crate::sys::guard::GuardKind;

/// The calling thread's stacks. Cheap: reads counters.
///
/// ```
/// rustlet::spawn(|| ()).join().unwrap();
/// let stats = rustlet::stack::stats();
/// assert_eq!((stats.live, stats.pooled), (0, 1));
/// ```
pub fn stats() -> StackStats {
    thread_pool().stats()
}

/// As [`stats()`], with [`StackStats::resident_bytes`] counted. Takes about ten nanoseconds for each
/// page of every stack ever used.
pub fn stats_with_resident() -> StackStats {
    thread_pool().stats_with_resident()
}

/// Sets how many free stacks keep their memory on the calling thread; the default is 4,096. Beyond
/// it those unused the longest are given back to the system, in batches.
pub fn set_hot_limit(stacks: usize) {
    thread_pool().set_hot_limit(stacks);
}

/// Gives the memory of all free stacks of the calling thread back to the system.
///
/// ```
/// rustlet::spawn(|| ()).join().unwrap();
/// rustlet::stack::trim();
/// assert_eq!(rustlet::stack::stats_with_resident().resident_bytes, 0);
/// ```
pub fn trim() {
    thread_pool().trim();
}
