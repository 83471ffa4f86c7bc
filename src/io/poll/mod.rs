//! Operations for futures, and the traits of the async world.
//!
//! ```text
//!   futures_io::{AsyncRead, AsyncWrite}   tokio::io::{AsyncRead, AsyncWrite}   hyper::rt::{Read, Write}
//!                        └─────────────────────────┼──────────────────────────────┘
//!                                      PollRead, PollWrite
//!                                 ┌────────────────┴───────────────┐
//!                        sockets (Socket)                        Io<T>
//!                                 └──────── Source::poll_* ────────┘
//! ```
//! A socket reads into memory that nobody has written yet; an [`Io`](super::Io) asks a type of somebody else's to read, which must not be shown
//! such memory.
//!
//! A further type has these traits when it implements `Socket` and is named in `implement`. Time limits that were set on a
//! socket are for those who block; futures have [`crate::Sleep`].
//!
//! Nothing here suspends.

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
mod traits;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use rustix::io::Errno;

use super::source::Source;
use crate::reactor::Interest;

#[cfg(feature = "hyper")]
pub use hyper::{Executor, HyperTimer};

impl<S: AsFd> Source<S> {
    /// Tries `op`; if it says "would block", leaves the context's waker. See
    /// [`Registration::poll_operate`](crate::reactor::Registration::poll_operate).
    pub(super) fn poll_operate<T>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut op: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Poll<io::Result<T>> {
        let fd = self.inner().as_fd();
        self.registration()
            .poll_operate(cx, fd, interest, |_| false, || op(fd))
    }

    /// As [`Source::poll_operate`] for a read or write of `asked` bytes: one that moved fewer has
    /// emptied (or filled) the descriptor.
    #[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
    fn poll_transfer(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        asked: usize,
        mut op: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        let fd = self.inner().as_fd();
        let emptied = |&moved: &usize| 0 < moved && moved < asked;
        self.registration()
            .poll_operate(cx, fd, interest, emptied, || op(fd))
    }
}
