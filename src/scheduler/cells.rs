//! Memory of tasks, used again: a hub keeps some freed allocations for its next spawns.
//!
//! Spawning and joining is malloc and free once each, a fifth of the whole cost. Small closures
//! all fit one size, so a short list of freed cells saves most of it; larger ones go to the
//! allocator as ever. A task that is freed on another thread goes to that thread's hub, or back
//! to the allocator: cells carry nothing that ties them to a hub.
#![allow(unsafe_code)] // Hands out uninitialised memory.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use std::alloc::{alloc, dealloc, handle_alloc_error};

use super::hub;

/// Every kept cell: a task with a closure and a value of two words or so.
const CELL: Layout = match Layout::from_size_align(128, 16) {
    Ok(layout) => layout,
    Err(_) => panic!("128 bytes aligned to 16 are a layout"),
};
/// Cells that a hub keeps: 128 KiB.
const KEPT: usize = 1024;

/// The freed cells of one hub; its thread alone touches them.
#[derive(Debug, Default)]
pub(super) struct Cells(UnsafeCell<Vec<NonNull<u8>>>);

/// Whether allocations of `layout` are cells.
const fn fits(layout: Layout) -> bool {
    layout.size() <= CELL.size() && layout.align() <= CELL.align()
}

impl Cells {
    /// Uninitialised memory of at least `layout`, to be given back to [`free`] with the same one.
    #[inline(always)]
    pub(super) fn obtain(&self, layout: Layout) -> NonNull<u8> {
        if fits(layout) {
            // SAFETY: one thread, and the borrow ends with the statement.
            if let Some(cell) = unsafe { (*self.0.get()).pop() } {
                return cell;
            }
            from_allocator(CELL)
        } else {
            from_allocator(layout)
        }
    }

    /// Keeps a cell; false if there are enough.
    #[inline(always)]
    fn keep(&self, cell: NonNull<u8>) -> bool {
        // SAFETY: as in `obtain`; pushing may allocate, which comes back to none of this.
        let kept = unsafe { &mut *self.0.get() };
        if kept.len() >= KEPT {
            return false;
        }
        kept.push(cell);
        true
    }
}

#[cold]
#[inline(never)]
fn from_allocator(layout: Layout) -> NonNull<u8> {
    // SAFETY: no task is zero-sized: each has a header.
    NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Gives back what [`Cells::obtain`] gave for `layout`, on any thread.
///
/// # Safety
/// It came from there, with this layout, and is not used any more.
#[inline(always)]
pub(super) unsafe fn free(memory: NonNull<u8>, layout: Layout) {
    if fits(layout) {
        if !hub::existing().is_some_and(|hub| hub.cells.keep(memory)) {
            // SAFETY: the caller's promise; every cell was allocated as one.
            unsafe { dealloc(memory.as_ptr(), CELL) };
        }
    } else {
        // SAFETY: the caller's promise.
        unsafe { dealloc(memory.as_ptr(), layout) };
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        for cell in self.0.get_mut().drain(..) {
            // SAFETY: every cell was allocated as one, and those kept are not in use.
            unsafe { dealloc(cell.as_ptr(), CELL) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_tasks_use_cells_again_and_large_ones_do_not() {
        let cells = Cells::default();
        let small = Layout::new::<[u64; 10]>();
        let first = cells.obtain(small);
        assert!(cells.keep(first));
        assert_eq!(cells.obtain(Layout::new::<[u64; 16]>()), first);
        assert!(cells.keep(first));
        let large = Layout::new::<[u64; 17]>();
        let other = cells.obtain(large);
        assert_ne!(other, first);
        // SAFETY: just obtained, with this layout.
        unsafe { free(other, large) };
        assert_eq!(cells.obtain(small), first);
        assert!(cells.keep(first));
    }
}
