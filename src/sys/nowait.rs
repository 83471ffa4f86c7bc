//! Reads and writes that never wait: `preadv2` and `pwritev2` with `RWF_NOWAIT`.
//!
//! A read succeeds with what the page cache has (or a pipe, or a socket), a write with what the cache or the
//! pipe takes; otherwise they say `EAGAIN`. Unlike `O_NONBLOCK` the flag belongs to the call: the open file description, which
//! other processes may share, stays as it is.
//!
//! | answer | meaning |
//! |---|---|
//! | a number | as of read(2) and write(2); less than asked when the rest would have waited |
//! | `EAGAIN` | it would have to wait, for a disk, a lock or a peer |
//! | `EOPNOTSUPP` | this file knows no such thing: terminals, FIFOs by name, most of `/proc`, some file systems |
//! | `ENOSYS` | nor does this kernel (before 4.14), or an emulator |
//!
//! Linux 5.9 and 5.10 have a bug (preadv2(2)): a read may give 0 though the end of the file is not reached. [`zero_is_the_end`]
//! knows them by their version.
//!
//! With `RUSTLET_NOWAIT=none` in the environment ([`super::means`]) all of this is unknown: what comes after it is tried that way on machines
//! whose files know it. Any thread.

use std::io::{self, IoSlice, IoSliceMut};
use std::sync::OnceLock;

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, ReadWriteFlags, preadv2, pwritev2};

use super::means::Means;

/// Not a position: the call takes the file's own, and moves it.
const CURSOR: u64 = u64::MAX;

/// The kernel's form of a position.
///
/// # Errors
/// `EINVAL`, as pread(2) has it, for one that the kernel would take for [`CURSOR`].
fn position(at: Option<u64>) -> Result<u64, Errno> {
    match at {
        Some(CURSOR) => Err(Errno::INVAL),
        at => Ok(at.unwrap_or(CURSOR)),
    }
}

/// Reads what is there, at `at` or at the file's own position.
pub(crate) fn read(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    at: Option<u64>,
) -> Result<usize, Errno> {
    if !is_allowed().unwrap_or(true) {
        return Err(Errno::OPNOTSUPP);
    }
    preadv2(fd, bufs, position(at)?, ReadWriteFlags::NOWAIT)
}

/// Writes what is taken at once, at `at` or at the file's own position.
pub(crate) fn write(
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    at: Option<u64>,
) -> Result<usize, Errno> {
    if !is_allowed().unwrap_or(true) {
        return Err(Errno::OPNOTSUPP);
    }
    pwritev2(fd, bufs, position(at)?, ReadWriteFlags::NOWAIT)
}

/// Whether a call may be made; an error only if the environment has no known value.
pub(crate) fn is_allowed() -> io::Result<bool> {
    static NOWAIT: Means = Means::new("RUSTLET_NOWAIT");
    NOWAIT.is_allowed()
}

/// Whether a [`read`] that gave 0 says that the file ends there.
pub(crate) fn zero_is_the_end() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease");
        release.is_ok_and(|release| is_believed(&release))
    })
}

fn is_believed(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']);
    !matches!(
        (numbers.next(), numbers.next()),
        (Some("5"), Some("9" | "10"))
    )
}

#[cfg(test)]
mod tests {
    use super::is_believed;

    #[test]
    fn two_kernels_are_not_believed() {
        assert!(!is_believed("5.10.0-28-amd64"));
        assert!(!is_believed("5.9.1\n"));
        assert!(is_believed("5.100.1"));
        assert!(is_believed("6.10.9"));
        assert!(is_believed("4.19.0"));
    }
}
