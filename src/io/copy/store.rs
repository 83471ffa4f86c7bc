//! `Store`: where bytes are between two descriptors. A pipe, or, where the kernel refuses, a buffer.
//!
//! ```text
//!   fill:  from ──► store      drain:  store ──► to
//! ```
//! It is filled when it is empty, and drained until it is. So "would block" from `fill` is the source's, and from `drain` the
//! sink's, and a pipe, which counts in pages, is never too full for a single byte.

use std::fmt;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use super::spare::{self, Pipe};
use super::{BUFFER, attempt};

/// Bytes asked for at once: what a pipe holds by default.
const PIPE: usize = 64 * 1024;

pub(super) enum Store {
    Pipe {
        /// `None` only while it is given back.
        pipe: Option<Pipe>,
        pending: usize,
    },
    /// Filled up to `end`, drained up to `start`.
    Buffer {
        bytes: Box<[u8]>,
        start: usize,
        end: usize,
    },
}

impl Store {
    pub(super) fn pipe() -> Result<Self, Errno> {
        Ok(Store::Pipe {
            pipe: Some(spare::take()?),
            pending: 0,
        })
    }

    pub(super) fn buffer() -> Self {
        Store::Buffer {
            bytes: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
        }
    }

    pub(super) fn is_pipe(&self) -> bool {
        matches!(self, Store::Pipe { .. })
    }

    /// Bytes that were taken and not delivered.
    pub(super) fn pending(&self) -> usize {
        match self {
            Store::Pipe { pending, .. } => *pending,
            Store::Buffer { start, end, .. } => end - start,
        }
    }

    /// Takes up to `limit` bytes, into an empty store; 0 at the end.
    pub(super) fn fill(&mut self, from: BorrowedFd<'_>, limit: u64) -> Result<usize, Errno> {
        debug_assert_eq!(self.pending(), 0);
        match self {
            Store::Pipe { pipe, pending } => {
                let writer = &pipe.as_ref().expect("taken only by drop").writer;
                let asked = at_most(PIPE, limit);
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                *pending =
                    attempt(|| rustix::pipe::splice(from, None, writer, None, asked, flags))?;
                Ok(*pending)
            }
            Store::Buffer { bytes, start, end } => {
                let asked = at_most(bytes.len(), limit);
                let length = attempt(|| rustix::io::read(from, &mut bytes[..asked]))?;
                (*start, *end) = (0, length);
                Ok(length)
            }
        }
    }

    /// Delivers some of what is pending, which is not nothing.
    pub(super) fn drain(&mut self, to: BorrowedFd<'_>) -> Result<usize, Errno> {
        match self {
            Store::Pipe { pipe, pending } => {
                let reader = &pipe.as_ref().expect("taken only by drop").reader;
                let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
                let moved =
                    attempt(|| rustix::pipe::splice(reader, None, to, None, *pending, flags))?;
                *pending -= moved;
                Ok(moved)
            }
            Store::Buffer { bytes, start, end } => {
                let moved = attempt(|| rustix::io::write(to, &bytes[*start..*end]))?;
                *start += moved;
                Ok(moved)
            }
        }
    }

    /// Moves what is pending to a buffer, for a sink that the kernel does not splice to.
    pub(super) fn spill(&mut self) -> Result<(), Errno> {
        let mut buffer = Store::buffer();
        let left = self.pending();
        if let (Store::Pipe { pipe, pending }, Store::Buffer { bytes, end, .. }) =
            (&mut *self, &mut buffer)
        {
            let reader = &pipe.as_ref().expect("taken only by drop").reader;
            while *end < left {
                // What is pending is there: it neither waits nor ends.
                let length = rustix::io::read(reader, &mut bytes[*end..left])?;
                *end += length;
            }
            *pending = 0;
        }
        *self = buffer;
        Ok(())
    }
}

fn at_most(size: usize, limit: u64) -> usize {
    usize::try_from(limit).map_or(size, |limit| limit.min(size))
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Store::Pipe { pipe, pending: 0 } = self
            && let Some(pipe) = pipe.take()
        {
            spare::give_back(pipe);
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("is_pipe", &self.is_pipe())
            .field("pending", &self.pending())
            .finish()
    }
}
