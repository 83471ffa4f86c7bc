//! Kernel mappings: using them up, and counting what may be had.
#![allow(unsafe_code)] // maps memory that nobody looks at

use std::ptr;

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use crate::workload::{Failure, ensure};

/// `vm.max_map_count`.
pub(super) fn allowed() -> usize {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    text.trim().parse().unwrap_or(65_530)
}

/// Whether so much address space can be had now.
pub(super) fn is_to_be_had(bytes: usize) -> bool {
    map(bytes).map(|start| unmap(start, bytes)).is_ok()
}

fn map(bytes: usize) -> Result<usize, Errno> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new mapping, where the kernel likes; it changes nothing that exists.
    let start = unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::empty(), flags) }?;
    Ok(start as usize)
}

fn unmap(start: usize, bytes: usize) {
    // SAFETY: what `map` returned, of which nobody else knows.
    unsafe { munmap(start as *mut _, bytes) }.expect("a whole mapping can always be unmapped");
}

/// All mappings that the process may have, but for a few, until it is dropped.
pub(super) struct Mappings {
    start: usize,
    bytes: usize,
}

impl Mappings {
    /// One reservation, of which every other page is made different from its neighbours.
    pub(super) fn use_up(left: usize) -> Result<Mappings, Failure> {
        let page = rustix::param::page_size();
        let bytes = (allowed() + 2) * page;
        let taken = Mappings {
            start: map(bytes)?,
            bytes,
        };
        let set = |nth: usize, access| {
            let address = (taken.start + nth * page) as *mut _;
            // SAFETY: a page of the reservation, which nobody uses.
            unsafe { mprotect(address, page, access) }
        };
        let mut nth = 1;
        while nth < bytes / page && set(nth, MprotectFlags::READ).is_ok() {
            nth += 2;
        }
        ensure!(
            nth < bytes / page,
            "{} mappings are allowed, and more were made",
            allowed()
        );
        // Each that is like its neighbours again gives two back.
        for _ in 0..left.div_ceil(2) {
            nth -= 2;
            set(nth, MprotectFlags::empty())?;
        }
        Ok(taken)
    }
}

impl Drop for Mappings {
    fn drop(&mut self) {
        unmap(self.start, self.bytes);
    }
}
