//! What rustix says of sockets in a way that cannot be used: the credentials of a peer.
//!
//! rustix has `SO_PEERCRED`, but as a struct whose process id is never 0. The kernel writes 0 for
//! a socket without a peer, and for a peer that this process's namespace does not know; a value
//! that its type forbids must not come to be.

use core::ptr::from_mut;

use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::syscall::syscall6;

/// Who was at the other end of a Unix socket when it was connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// 0 if there is none that this process could name.
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The credentials of `fd`'s peer (`SO_PEERCRED`). Does not block.
///
/// # Errors
/// What getsockopt(2) says: `ENOTSOCK`.
pub(crate) fn peer_credentials(fd: BorrowedFd<'_>) -> Result<Credentials, Errno> {
    let mut found = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    let arguments = [
        fd.as_raw_fd() as usize,
        libc::SOL_SOCKET as usize,
        libc::SO_PEERCRED as usize,
        from_mut(&mut found).expose_provenance(),
        from_mut(&mut length).expose_provenance(),
        0,
    ];
    // SAFETY: the kernel writes at most `length` bytes to `found`, which has as many, and to `length`; all of
    // its fields are integers, for which any bytes are a value.
    unsafe { syscall6(libc::SYS_getsockopt, arguments) }?;
    Ok(Credentials {
        pid: found.pid,
        uid: found.uid,
        gid: found.gid,
    })
}
