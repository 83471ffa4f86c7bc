//! Descriptors that travel with the bytes of a Unix socket (`SCM_RIGHTS`, unix(7)).
//!
//! # What comes in is owned at once
//! The kernel installs descriptors in this process before the call returns. From then on they are `OwnedFd`s, so
//! whatever goes wrong afterwards closes them: a descriptor that nobody knows is a leak, and one that stays open
//! keeps the peer waiting.
//!
//! # Truncation
//! The kernel drops descriptors for which there is no room, or no number (`RLIMIT_NOFILE`), and says `MSG_CTRUNC`.
//! It also hands over more than were asked for, if the alignment of the buffer leaves room. Both end the same: an
//! error, and all that arrived is closed. A message of which a part is missing is of no use.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// The kernel's `SCM_MAX_FD`: no message carries more.
pub(super) const MOST: usize = 253;

/// Sends bytes, and descriptors with the first of them. Does not block.
///
/// # Errors
/// sendmsg(2)'s; `EINVAL` for too many descriptors.
pub(super) fn send(
    fd: BorrowedFd<'_>,
    bufs: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(fd, bufs, &mut control, flags)
}

/// What one recvmsg(2) brought.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) bytes: usize,
    /// What came with the bytes ended the read, not the end of what there is to read.
    pub(super) stopped: bool,
    fds: Vec<OwnedFd>,
    truncated: bool,
}

impl Received {
    /// Hands the descriptors over.
    ///
    /// # Errors
    /// `InvalidData` if they are not all there, or more than `limit`.
    pub(super) fn hand_over(mut self, fds: &mut Vec<OwnedFd>, limit: usize) -> io::Result<usize> {
        if self.truncated || self.fds.len() > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "file descriptors were lost: more than {limit} came with the data, \
                     or this process may open no more (RLIMIT_NOFILE)"
                ),
            ));
        }
        fds.append(&mut self.fds);
        Ok(self.bytes)
    }
}

/// Receives bytes, and up to `limit` descriptors (or a few more) that came with them. Does not block.
///
/// # Errors
/// recvmsg(2)'s.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    bufs: &mut [IoSliceMut<'_>],
    limit: usize,
) -> Result<Received, Errno> {
    // Room for credentials, too: a socket that was told to receive them brings them first.
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST), ScmCredentials(1))];
    let room = match limit {
        0 => 0,
        _ => cmsg_space!(ScmRights(limit.min(MOST)), ScmCredentials(1)),
    };
    let mut control = RecvAncillaryBuffer::new(&mut space[..room]);
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let message = rustix::net::recvmsg(fd, bufs, &mut control, flags)?;
    let truncated = message.flags.contains(ReturnFlags::CTRUNC);
    let mut stopped = truncated;
    let mut fds = Vec::new();
    for message in control.drain() {
        stopped = true;
        if let RecvAncillaryMessage::ScmRights(arrived) = message {
            fds.extend(arrived);
        }
    }
    Ok(Received {
        bytes: message.bytes,
        stopped,
        fds,
        truncated,
    })
}
