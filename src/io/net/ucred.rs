//! `UCred`: who is at the other end of a Unix socket.

use std::io;
use std::os::fd::BorrowedFd;

use crate::sys::socket;

/// The credentials of a process, as they were when it connected, listened, or made a pair of sockets.
///
/// std has this type, not yet stable, under `std::os::unix::net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct UCred {
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
    /// The process; `None` if it has no number that is known here (it lives in another namespace).
    pub pid: Option<i32>,
}

impl UCred {
    /// # Errors
    /// `NotConnected` for a socket that never had a peer.
    pub(super) fn of_peer(fd: BorrowedFd<'_>) -> io::Result<UCred> {
        let found = socket::peer_credentials(fd)?;
        // No process has this user: it is what the kernel says for want of a peer.
        if found.pid == 0 && found.uid == u32::MAX {
            return Err(io::ErrorKind::NotConnected.into());
        }
        Ok(UCred {
            uid: found.uid,
            gid: found.gid,
            pid: (found.pid != 0).then_some(found.pid),
        })
    }
}
