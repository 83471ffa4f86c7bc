//! [`Count`]: a number with one writer, for anybody to read.
//!
//! Written by one thread, with plain loads and stores, and read by any thread at any time: counting is as cheap as in a
//! `Cell`, and reading costs the writer nothing. Numbers that are read together may be a few nanoseconds apart.
//!
//! Rejected: `fetch_add`, which is an order of magnitude dearer on x86_64 even where nobody else writes.

use core::sync::atomic::{AtomicU64, Ordering};

/// A number with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// By the writer.
    #[inline(always)]
    pub(crate) fn add(&self, some: u64) {
        self.set(self.0.load(Ordering::Relaxed) + some);
    }

    /// By the writer, who has added as much before.
    #[inline(always)]
    pub(crate) fn take(&self, some: u64) {
        self.set(self.0.load(Ordering::Relaxed) - some);
    }

    /// By the writer. What it did before is visible to who reads this.
    #[inline(always)]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
