//! Address space and memory: reserve, commit, discard, measure.
//!
//! ```text
//!   reserve              commit                    (touch)               discard
//!   PROT_NONE ─────────► readable, writable ─────► has pages ──────────► as after commit
//!   costs addresses      charged where the         costs memory          reads as zero
//!                        system charges at all
//!        ◄──────────────────────────── unmap ─────────────────────────────────┘
//! ```
//!
//! Reserving first and committing in chunks is the only order that works in all three modes of
//! `vm.overcommit_memory`: in mode 2 a large writable mapping is refused even with
//! `MAP_NORESERVE`, and in mode 0 one is refused if it alone exceeds the machine's memory.
//! Neighbouring committed chunks merge to one kernel mapping (VMA), of which a process may have
//! only `vm.max_map_count`.
//!
//! All functions take page-aligned addresses and lengths; all but [`reserve`] and
//! [`resident_bytes`] are unsafe because they change memory that could be someone's. Any thread.
//!
//! # Rejected
//! - `MAP_GROWSDOWN`: creating mappings is then quadratic (1.2 ms each at thirty thousand).
//! - Mapping anew (`MAP_FIXED`) to discard: splits VMAs.
//! - `MADV_FREE` to discard: cheaper, but the resident size does not fall until there is memory
//!   pressure, so nobody can see that memory was given back.
//! - A file descriptor for this process (`pidfd_open`) to let `process_madvise` work on the few
//!   kernels that allow discarding oneself but do not yet know `PIDFD_SELF`: it would have to be
//!   kept, and after a fork it names the parent.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use super::syscall::syscall6;

/// What `process_madvise` takes for "this process" (`PIDFD_SELF_THREAD_GROUP`, Linux 6.14).
const PIDFD_SELF: isize = -10001;
/// The most ranges that one `process_madvise` takes (`UIO_MAXIOV`).
const MAX_RANGES: usize = 1024;

/// A range of this process's memory, laid out as the kernel's `struct iovec`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Range {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// Reserves `len` bytes of address space at a multiple of `align` (a power of two); not accessible.
///
/// # Errors
/// `ENOMEM` if there is no such piece of address space, or `RLIMIT_AS` or `vm.max_map_count` is
/// reached.
pub(crate) fn reserve(len: usize, align: usize) -> Result<usize, Errno> {
    let page = page_size();
    // A mapping is page-aligned already; the rest is cut off at both ends below.
    let slack = align.saturating_sub(page);
    let total = len.checked_add(slack).ok_or(Errno::NOMEM)?;
    // SAFETY: a new mapping at an address that the kernel chooses changes no memory that exists.
    let start = unsafe {
        mmap_anonymous(
            ptr::null_mut(),
            total,
            ProtFlags::empty(),
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }? as usize;
    let aligned = start.next_multiple_of(align);
    for (cut, end) in [(start, aligned), (aligned + len, start + total)] {
        if end > cut {
            // SAFETY: a part of the mapping made above, which nobody else knows.
            // An error (the VMA limit) leaves unused address space behind, and that is all.
            let _ = unsafe { unmap(cut, end - cut) };
        }
    }
    Ok(aligned)
}

/// Makes a part of a reservation readable and writable; it reads as zero.
///
/// # Errors
/// `ENOMEM` if the system refuses to promise the memory, or for want of a VMA.
///
/// # Safety
/// The range is part of a reservation of the caller's.
pub(crate) unsafe fn commit(start: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: more access to the caller's own memory invalidates nothing.
    unsafe {
        mprotect(
            start as *mut c_void,
            len,
            MprotectFlags::READ | MprotectFlags::WRITE,
        )
    }
}

/// Makes a part of a reservation inaccessible: a guard that costs a VMA at each of its ends.
///
/// # Safety
/// The range is part of a reservation of the caller's, and nothing in it will be used.
pub(crate) unsafe fn forbid(start: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller promises that nothing there is used.
    unsafe { mprotect(start as *mut c_void, len, MprotectFlags::empty()) }
}

/// Returns address space, and what is in it, to the system.
///
/// # Safety
/// The range is the caller's own, and nothing in it will be used.
pub(crate) unsafe fn unmap(start: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller promises that nothing there is used.
    unsafe { munmap(start as *mut c_void, len) }
}

/// Whether so much address space can be had now, and so many kernel mappings. Nothing is kept.
pub(crate) fn is_room_for(bytes: usize, mappings: usize) -> bool {
    let page = page_size();
    let bytes = bytes.next_multiple_of(page).max((mappings + 1) * page);
    let Ok(start) = reserve(bytes, page) else {
        return false;
    };
    // Every other page unlike its neighbours: each is a mapping, and divides one.
    let all = (1..mappings).step_by(2).all(|nth| {
        // SAFETY: a page of the reservation above, which nobody else knows.
        unsafe {
            mprotect(
                (start + nth * page) as *mut c_void,
                page,
                MprotectFlags::READ,
            )
        }
        .is_ok()
    });
    // SAFETY: the same. A whole reservation can always be unmapped.
    let _ = unsafe { unmap(start, bytes) };
    all
}

/// Bytes of a page of this machine's memory. A load, after the first call.
#[inline]
pub(crate) fn page_size() -> usize {
    static SIZE: AtomicUsize = AtomicUsize::new(0);
    match SIZE.load(Ordering::Relaxed) {
        0 => {
            let size = rustix::param::page_size();
            SIZE.store(size, Ordering::Relaxed);
            size
        }
        known => known,
    }
}

/// Applies `advice` to every range; up to 1024 in one system call where the kernel can do that.
///
/// Stops at the first range that fails.
///
/// # Safety
/// The ranges are the caller's own, and `advice` does nothing to them that the caller does not
/// expect.
pub(crate) unsafe fn advise_all(ranges: &[Range], advice: libc::c_int) -> Result<(), Errno> {
    for batch in ranges.chunks(MAX_RANGES) {
        let mut rest = batch;
        if batch.len() > 1 {
            let arguments = [
                PIDFD_SELF as usize,
                batch.as_ptr() as usize,
                batch.len(),
                advice as usize,
                0,
                0,
            ];
            // SAFETY: `Range` is laid out as `iovec`, the slice outlives the call, and the advice
            // is the caller's promise. The answer is the number of bytes advised, short if a
            // range failed; any error means that nothing was done, and what this kernel or this
            // sandbox refuses in a batch it may allow one by one. That is tried anew each time: a
            // refusal costs a tenth of a microsecond per batch, and remembering it would let one
            // unlucky range slow down all later ones.
            let mut done =
                unsafe { syscall6(libc::SYS_process_madvise, arguments) }.unwrap_or_default();
            while let Some((first, others)) = rest.split_first() {
                if done < first.len {
                    break;
                }
                done -= first.len;
                rest = others;
            }
        }
        for range in rest {
            // SAFETY: the caller's promise.
            unsafe { advise(range.start, range.len, advice) }?;
        }
    }
    Ok(())
}

/// `madvise` with any advice, known to rustix or not.
///
/// # Safety
/// As [`advise_all`].
pub(crate) unsafe fn advise(start: usize, len: usize, advice: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { syscall6(libc::SYS_madvise, [start, len, advice as usize, 0, 0, 0]) }.map(drop)
}

/// Gives back the memory behind the ranges; they read as zero afterwards.
///
/// Best effort: locked memory (`mlock`) is not given back and keeps its contents.
///
/// # Safety
/// The ranges are the caller's own, and nothing that they hold will be used.
pub(crate) unsafe fn discard(ranges: &[Range]) {
    // SAFETY: the caller's promise. An error leaves memory as it is, which is within the contract.
    let _ = unsafe { advise_all(ranges, libc::MADV_DONTNEED) };
}

/// Provides memory for the ranges, as if every page had been written to (its contents stay).
///
/// Best effort: a kernel before 5.14 refuses, and pages then come as they are touched.
///
/// # Safety
/// The ranges are the caller's own, and writable.
pub(crate) unsafe fn populate(ranges: &[Range]) {
    // SAFETY: changes what is in memory, not what can be read there.
    let _ = unsafe { advise_all(ranges, libc::MADV_POPULATE_WRITE) };
}

/// Asks that the range be backed by small pages only; best effort.
///
/// Otherwise one touched page of a stack may cost 64 KiB or 2 MiB where the machine's policy says
/// "always".
///
/// # Safety
/// The range is the caller's own.
pub(crate) unsafe fn no_hugepage(start: usize, len: usize) {
    // SAFETY: changes how memory is backed, not what is in it. EINVAL: a kernel without huge pages.
    let _ = unsafe { advise(start, len, libc::MADV_NOHUGEPAGE) };
}

/// Bytes of the range that are in memory, by asking for every page (`mincore`).
///
/// Walks the range: some ten nanoseconds a page where there are page tables. Pages that are swapped
/// out do not count. An error (the range is not mapped) counts as nothing resident.
pub(crate) fn resident_bytes(start: usize, len: usize) -> usize {
    /// Pages per call, so that the buffer stays small however large the range is.
    const PAGES: usize = 64 * 1024;
    let page = page_size();
    let mut marks = vec![0_u8; PAGES.min(len.div_ceil(page))];
    let mut pages = 0;
    let mut offset = 0;
    while offset < len {
        let part = (len - offset).min(PAGES * page);
        let marks = &mut marks[..part.div_ceil(page)];
        let arguments = [start + offset, part, marks.as_mut_ptr() as usize, 0, 0, 0];
        // SAFETY: writes one byte per page of `part` into `marks`, which has as many.
        if unsafe { syscall6(libc::SYS_mincore, arguments) }.is_ok() {
            pages += marks.iter().filter(|&&mark| mark & 1 != 0).count();
        }
        offset += part;
    }
    pages * page
}

/// Whether a write to `address` would fault, found out by letting the kernel try.
///
/// No signal is raised: the kernel answers `EFAULT`. If it does not fault, the 16 bytes at
/// `address` are overwritten.
///
/// # Safety
/// The 16 bytes at `address` are the caller's own to overwrite, if they can be written at all.
pub(crate) unsafe fn write_faults(address: usize) -> bool {
    // Chosen because every sandbox allows it, and it needs no descriptor. Called as a system call,
    // so that the kernel's own check decides, and not the vDSO's store.
    let arguments = [libc::CLOCK_MONOTONIC as usize, address, 0, 0, 0, 0];
    // SAFETY: writes a timespec (16 bytes) to `address`, or nothing.
    let answer = unsafe { syscall6(libc::SYS_clock_gettime, arguments) };
    answer == Err(Errno::FAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> usize {
        page_size()
    }

    #[test]
    fn reserve_is_aligned_commit_is_zero_discard_gives_back() {
        let (align, len) = (1 << 20, 1 << 22);
        let start = reserve(len, align).expect("address space");
        assert_eq!(start % align, 0);
        // SAFETY: all of this is inside the reservation just made, which nobody else knows.
        unsafe {
            assert!(write_faults(start), "reserved memory is not accessible");
            commit(start, len).expect("commits");
            assert_eq!(resident_bytes(start, len), 0);
            let ranges: Vec<Range> = (0..4)
                .map(|i| Range {
                    start: start + i * align,
                    len: page(),
                })
                .collect();
            for range in &ranges {
                (range.start as *mut u64).write(7);
            }
            assert_eq!(resident_bytes(start, len), 4 * page());
            discard(&ranges[..3]);
            assert_eq!(resident_bytes(start, len), page());
            assert_eq!((ranges[0].start as *const u64).read(), 0);
            assert_eq!((ranges[3].start as *const u64).read(), 7);
            forbid(start, page()).expect("forbids");
            assert!(write_faults(start));
            assert!(!write_faults(start + page()));
            unmap(start, len).expect("unmaps");
        }
        assert_eq!(resident_bytes(start, len), 0);
    }

    #[test]
    fn a_failing_range_stops_a_batch_where_it_stands() {
        let start = reserve(4 * page(), page()).expect("address space");
        // SAFETY: as above.
        unsafe {
            commit(start, 4 * page()).expect("commits");
            for i in 0..4 {
                ((start + i * page()) as *mut u8).write(1);
            }
            let mut ranges: Vec<Range> = (0..4)
                .map(|i| Range {
                    start: start + i * page(),
                    len: page(),
                })
                .collect();
            ranges[2].start += 1; // Not page-aligned.
            assert_eq!(advise_all(&ranges, libc::MADV_DONTNEED), Err(Errno::INVAL));
            assert_eq!(resident_bytes(start, 4 * page()), 2 * page());
            unmap(start, 4 * page()).expect("unmaps");
        }
    }

    #[test]
    fn more_than_one_batch() {
        let count = 2 * MAX_RANGES + 3;
        let start = reserve(count * page(), page()).expect("address space");
        // SAFETY: as above.
        unsafe {
            commit(start, count * page()).expect("commits");
            no_hugepage(start, count * page());
            let ranges: Vec<Range> = (0..count)
                .map(|i| Range {
                    start: start + i * page(),
                    len: page(),
                })
                .collect();
            for range in &ranges {
                (range.start as *mut u8).write(1);
            }
            assert_eq!(resident_bytes(start, count * page()), count * page());
            discard(&ranges);
            assert_eq!(resident_bytes(start, count * page()), 0);
            unmap(start, count * page()).expect("unmaps");
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert_eq!(reserve(usize::MAX - 1, 1 << 20), Err(Errno::NOMEM));
        assert_eq!(reserve(1 << 60, 1 << 20), Err(Errno::NOMEM));
    }
}
