//! What the stacks of one OS thread cost, in numbers for people.

use super::GuardKind;

/// The stacks of one OS thread: how many there are, and what they cost.
///
/// Counts are stacks, of all sizes together; sizes are bytes. Counted when asked for: nothing is
/// kept up to date for this on the way of a spawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct StackStats {
    /// Stacks in use.
    pub live: usize,
    /// Stacks set aside for greenlets that have not yet started.
    pub promised: usize,
    /// Free stacks that were used before, hot ones included.
    pub pooled: usize,
    /// Free stacks whose memory is kept for the next greenlet.
    pub hot: usize,
    /// Address space set aside, in bytes. It costs nothing but addresses.
    pub reserved_bytes: usize,
    /// The part of it that is readable and writable, in bytes: what the system has promised to
    /// provide, and charges for where `vm.overcommit_memory` is 2.
    pub committed_bytes: usize,
    /// The part of it that is in memory, in bytes; 0 unless asked for.
    ///
    /// Asking walks over the page table of every stack ever used: about ten nanoseconds a page,
    /// so 0.6 s for a million stacks of 256 KiB.
    pub resident_bytes: usize,
    /// How the stacks are guarded; [`GuardKind::None`] also while there has been no stack yet.
    pub guards: GuardKind,
}
