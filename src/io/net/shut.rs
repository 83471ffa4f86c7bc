//! Whether a socket was shut down for reading, for those of which no system call says so.
//!
//! A Unix listener or datagram socket that was shut down ends the wait of who blocks in accept(2) or recv(2), and
//! sends an edge to who waits with epoll. But asked without blocking, both calls go on to say "would block"; whoever
//! believes that waits for an edge that was the last. poll(2) knows better, and is asked before each wait.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Whether `fd` was shut down for reading. What it has received before can still be read.
pub(super) fn is_shut(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::RDHUP)];
    poll(&mut fds, Some(&NOW)).is_ok() && fds[0].revents().contains(PollFlags::RDHUP)
}
