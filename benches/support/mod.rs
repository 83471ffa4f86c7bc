//! What the benches share: clocks, the floors that rustlet is held against, and its own workloads.
//!
//! | file | one idea |
//! |---|---|
//! | [`arguments`] | what cargo and criterion pass to a bench that is not criterion's |
//! | [`clock`] | CPU time, of a thread, of this process and of another |
//! | [`green`] | workloads on rustlet |
//! | [`peers`] | the same program on rustlet and on its peers, in turns |
//! | [`policy`] | what the kernel is told about the threads of servers and clients |
//! | [`random`] | random numbers that are the same in every run |
//! | [`raw`] | the same work on bare corosensei: the floors |
//! | [`slab`] | stacks for the floors: as many as wanted in one mapping |
//! | [`workload`] | the shape of a workload, and comparing two of them fairly |
#![allow(dead_code)] // Every bench compiles all of this and uses a part.

pub(crate) mod arguments;
pub(crate) mod clock;
pub(crate) mod green;
pub(crate) mod peers;
pub(crate) mod policy;
pub(crate) mod random;
pub(crate) mod raw;
pub(crate) mod slab;
pub(crate) mod workload;
