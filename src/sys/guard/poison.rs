//! Guards by poisoned pages: `userfaultfd` and `UFFDIO_POISON` (Linux 6.6).
//!
//! A poisoned page behaves like memory whose hardware failed: every access gives `SIGBUS`, a
//! system call `EFAULT`. The marker lives in the page table, and survives a fork and the closing
//! of the descriptor that made it. `MADV_DONTNEED` over the page removes it, so stacks are
//! discarded above their guard only.
//!
//! # No descriptor is kept
//! A descriptor is opened for each batch of guards and closed after it, which also takes the
//! range out of its registration and lets the kernel's mappings merge again. One that was kept
//! would, after a fork, still name the parent's memory, and the child would poison that.
//! Opening, registering and closing costs some microseconds per batch of up to 1024 guards.
//!
//! The range is registered for missing pages, the one mode that every kernel and architecture
//! has. While it is, a touched page would hang its toucher; nobody touches it, because it is
//! memory of stacks that were never handed out. `UFFD_USER_MODE_ONLY` makes this allowed to any
//! user; what remains are sandboxes that forbid the call.

use core::ffi::c_int;
use core::ptr;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::mm::{UserfaultfdFlags, userfaultfd};

use super::Row;
use crate::sys::mem;
use crate::sys::syscall::syscall6;

/// `UFFD_USER_MODE_ONLY`: faults inside the kernel are not handled but answered `EFAULT`.
const USER_MODE_ONLY: u32 = 1;
const UFFD_API: u64 = 0xAA;
const FEATURE_POISON: u64 = 1 << 14;
const REGISTER_MODE_MISSING: u64 = 1;

/// `_IOWR(0xAA, number, size)`; the same on x86_64 and aarch64.
const fn iowr<T>(number: u32) -> u32 {
    3 << 30 | (size_of::<T>() as u32) << 16 | 0xAA << 8 | number
}
const UFFDIO_API: u32 = iowr::<Api>(0x3F);
const UFFDIO_REGISTER: u32 = iowr::<Register>(0x00);
const UFFDIO_POISON: u32 = iowr::<Poison>(0x08);

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Poison {
    start: u64,
    len: u64,
    mode: u64,
    /// Bytes poisoned, or a negated error.
    updated: i64,
}

/// Poisons a row of guards.
///
/// # Safety
/// As [`super::Guards::install`].
pub(super) unsafe fn install(row: Row) -> Result<(), Errno> {
    // SAFETY: a new descriptor, registered with nothing yet.
    let fd = unsafe {
        userfaultfd(UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::from_bits_retain(USER_MODE_ONLY))
    }?;
    let mut api = Api {
        api: UFFD_API,
        features: FEATURE_POISON,
        ioctls: 0,
    };
    // SAFETY: the request's own structure; EINVAL from a kernel without the feature.
    unsafe { ioctl(&fd, UFFDIO_API, &mut api) }?;
    let mut register = Register {
        start: row.first as u64,
        len: (row.stride * row.count) as u64,
        mode: REGISTER_MODE_MISSING,
        ioctls: 0,
    };
    // SAFETY: the caller owns this memory and promises that nobody touches it meanwhile.
    unsafe { ioctl(&fd, UFFDIO_REGISTER, &mut register) }?;
    let page = rustix::param::page_size();
    for start in row.starts() {
        let mut done = 0;
        while done < row.len {
            let mut poison = Poison {
                start: (start + done) as u64,
                len: (row.len - done) as u64,
                mode: 0,
                updated: 0,
            };
            // SAFETY: the caller owns the guard's range, and nothing in it is used.
            match unsafe { ioctl(&fd, UFFDIO_POISON, &mut poison) } {
                Ok(()) => break,
                // The address space is being changed by another thread; the rest is to be retried.
                Err(Errno::AGAIN) => done += usize::try_from(poison.updated).unwrap_or(0),
                // A marker from a batch that failed half-way; but not a page, which would stay
                // without a guard (memory that mlockall fills at once).
                Err(Errno::EXIST) if mem::resident_bytes(start + done, page) == 0 => done += page,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// # Safety
/// `argument` is the structure that `request` takes, and what it asks for is allowed.
unsafe fn ioctl<T>(fd: &OwnedFd, request: u32, argument: &mut T) -> Result<(), Errno> {
    let fd: c_int = fd.as_raw_fd();
    let argument = ptr::from_mut(argument) as usize;
    let arguments = [fd as usize, request as usize, argument, 0, 0, 0];
    // SAFETY: the caller's promise; `argument` is borrowed for the call.
    unsafe { syscall6(libc::SYS_ioctl, arguments) }.map(drop)
}
