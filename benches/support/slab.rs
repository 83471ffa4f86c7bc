//! Stacks for the floors: as many as wanted in one mapping.
//!
//! corosensei's own `DefaultStack` is a mapping with an mprotected guard each, and ends at some 32,000
//! on a machine with the usual `vm.max_map_count`. So that a floor exists at 100,000, and so that both
//! sides have the same memory under them, the floors run on 256 KiB slots of one mapping, guarded where
//! the kernel can guard without a mapping each (`MADV_GUARD_INSTALL`, Linux 6.13).
//!
//! A slab is *plain* (every stack begins at the same offset of its slot: what one gets without
//! thinking about it) or *coloured* as rustlet's stacks are (`(i % 32) * 64` bytes lower), because
//! equal tops alias in the caches. The first is what a user of corosensei sees; the second is the fairer floor.
#![allow(unsafe_code)] // Maps memory and promises corosensei that it is a stack.

use std::io;
use std::ptr::{self, NonNull};
use std::rc::Rc;

use corosensei::stack::{Stack, StackPointer};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// What rustlet gives a greenlet by default.
const SLOT: usize = 256 * 1024;
const PAGE: usize = 4096;
/// `MADV_GUARD_INSTALL`, which the libc crate does not name on every target.
const GUARD_INSTALL: libc::c_int = 102;

/// Where in its slot a stack begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tops {
    Plain,
    Coloured,
}

/// One mapping, cut into slots.
#[derive(Debug)]
pub(crate) struct Slab {
    base: NonNull<u8>,
    bytes: usize,
}

impl Slab {
    /// `count` stacks, in the order of their addresses.
    pub(crate) fn stacks(count: usize, tops: Tops) -> io::Result<Vec<SlabStack>> {
        let bytes = count * SLOT;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let base = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
            )
        }?;
        let base = NonNull::new(base.cast()).expect("mappings are not at null");
        let slab = Rc::new(Slab { base, bytes });
        let stack = |index: usize| {
            let limit = base.as_ptr() as usize + index * SLOT;
            // SAFETY: the page belongs to the slab, and nothing has used it yet. Kernels that do not
            // know the advice refuse it; then the slot has no guard, which the code on it does
            // not need: a loop around a suspend uses some hundred bytes.
            unsafe { libc::madvise(ptr::with_exposed_provenance_mut(limit), PAGE, GUARD_INSTALL) };
            let colour = match tops {
                Tops::Plain => 0,
                Tops::Coloured => (index % 32) * 64,
            };
            SlabStack {
                base: limit + SLOT - colour,
                limit,
                _slab: slab.clone(),
            }
        };
        base.as_ptr().expose_provenance();
        Ok((0..count).map(stack).collect())
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: the mapping is the slab's, and the last stack in it is gone.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// One slot of a slab.
#[derive(Debug)]
pub(crate) struct SlabStack {
    base: usize,
    limit: usize,
    _slab: Rc<Slab>,
}

// SAFETY: both are 64-aligned addresses of one slot of a mapping that `_slab` keeps alive and that no other
// stack overlaps; between them lie more than 250 KiB.
unsafe impl Stack for SlabStack {
    fn base(&self) -> StackPointer {
        StackPointer::new(self.base).expect("mappings are not at null")
    }

    fn limit(&self) -> StackPointer {
        StackPointer::new(self.limit).expect("mappings are not at null")
    }
}
