//! Pipes: the twins of [`std::io::pipe`], [`std::io::PipeReader`] and [`std::io::PipeWriter`].
//!
//! ```text
//!   PipeWriter ──► the kernel's buffer, 64 KiB by default ──► PipeReader
//!      waits while it is full                                   waits while it is empty
//! ```
//! Each end is a non-blocking descriptor behind an [`End`], which also is what a child process's standard
//! streams are made of ([`super::process`]).
//!
//! # Ends that somebody else has made blocking
//! Whether a descriptor blocks belongs to the open file that all its duplicates share. A child expects its standard streams to
//! block, so an end that becomes a [`Stdio`] is made so, and a clone of it that stays here would block this thread.
//! Clones therefore share a flag that says it, and then look before they act: poll(2) first, and no more than
//! [`ATOMIC`] bytes a write, for which a writable pipe has room. Only a reader or writer elsewhere that is
//! faster between the two can make the thread wait after all.
//!
//! `preadv2(RWF_NOWAIT)` would say it without the look, but pipes know it since Linux 6.4 only.

mod raw_fd;

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

use super::source::Source;
use crate::reactor::Interest;
use crate::sys::thread;

/// What a writable pipe takes at once: `PIPE_BUF` of Linux (pipe(7)).
const ATOMIC: usize = 4096;

/// A descriptor that is read or written as a stream, with read(2) and write(2).
#[derive(Debug)]
struct End {
    source: Source<OwnedFd>,
    /// Shared by clones: the open file blocks. See the head of this file.
    blocks: Arc<AtomicBool>,
}

impl End {
    /// Takes over a descriptor that is non-blocking already.
    fn of_nonblocking(fd: OwnedFd) -> Self {
        End {
            source: Source::new(fd),
            blocks: Arc::default(),
        }
    }

    /// Takes over a descriptor and makes it non-blocking.
    fn new(fd: OwnedFd) -> Self {
        // It can only fail for what is no descriptor at all; reads will say so then.
        let _ = rustix::io::ioctl_fionbio(&fd, true);
        End::of_nonblocking(fd)
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(End {
            source: Source::new(self.source.inner().try_clone()?),
            blocks: self.blocks.clone(),
        })
    }

    fn into_fd(self) -> OwnedFd {
        self.source.into_inner()
    }

    fn into_blocking(self) -> OwnedFd {
        // Before the file blocks, so that no clone is caught in between.
        self.blocks.store(true, Ordering::SeqCst);
        let fd = self.into_fd();
        let _ = rustix::io::ioctl_fionbio(&fd, false);
        fd
    }

    /// Says "would block" if the file itself would not say so.
    fn look(&self, fd: BorrowedFd<'_>, interest: PollFlags) -> Result<(), Errno> {
        match thread::wait_fd(fd, interest, Some(0))? {
            true => Ok(()),
            false => Err(Errno::AGAIN),
        }
    }

    fn blocks(&self) -> bool {
        self.blocks.load(Ordering::SeqCst)
    }

    // Not `transfer`: a short read ends at a line of a terminal, or at a packet of a pipe whose writer has chosen them (O_DIRECT), and there may be
    // more.

    #[inline]
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.operate(Interest::Read, None, |fd| {
            if self.blocks() {
                self.look(fd, PollFlags::IN)?;
            }
            rustix::io::read(fd, &mut *buf)
        })
    }

    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.source.operate(Interest::Read, None, |fd| {
            if self.blocks() {
                self.look(fd, PollFlags::IN)?;
            }
            rustix::io::readv(fd, &mut *bufs)
        })
    }

    // Not `transfer`: a write that was cut short here has not filled the pipe, so no edge would follow it.

    #[inline]
    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.operate(Interest::Write, None, |fd| {
            let mut buf = buf;
            if self.blocks() {
                self.look(fd, PollFlags::OUT)?;
                buf = &buf[..buf.len().min(ATOMIC)];
            }
            rustix::io::write(fd, buf)
        })
    }

    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.source.operate(Interest::Write, None, |fd| {
            if self.blocks() {
                self.look(fd, PollFlags::OUT)?;
                let first = bufs.iter().find(|buf| !buf.is_empty());
                let first = first.map_or(&[][..], |buf| buf);
                return rustix::io::write(fd, &first[..first.len().min(ATOMIC)]);
            }
            rustix::io::writev(fd, bufs)
        })
    }
}

/// Makes a pipe: what is written to the second can be read from the first.
///
/// The twin of [`std::io::pipe`]. Both descriptors are closed in programs that this one executes, unless they
/// are passed on as [`Stdio`].
///
/// ```
/// use std::io::{Read, Write};
/// let (mut reader, mut writer) = rustlet::io::pipe()?;
/// let greeter = rustlet::spawn(move || writer.write_all(b"hello")); // dropped: the end of the stream
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// greeter.join().unwrap()?;
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// No descriptor is left (`EMFILE`, `ENFILE`).
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok((
        PipeReader {
            end: End::of_nonblocking(reader),
        },
        PipeWriter {
            end: End::of_nonblocking(writer),
        },
    ))
}

/// The end of a [`pipe`] that is read; see [`std::io::PipeReader`].
///
/// A read waits until there is something, and gives 0 when all writers have been dropped and nothing is left. `&PipeReader`
/// reads too; of several greenlets that wait, each byte goes to one.
pub struct PipeReader {
    end: End,
}

/// The end of a [`pipe`] that is written; see [`std::io::PipeWriter`].
///
/// A write waits while the pipe is full. When all readers have been dropped it fails with `BrokenPipe`: Rust programs ignore
/// `SIGPIPE`. Up to 4096 bytes are written as one, not mixed with what others write; a longer
/// write that is killed or timed out may have written a part.
pub struct PipeWriter {
    end: End,
}

impl PipeReader {
    /// A second handle to the same end, with a descriptor of its own.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<PipeReader> {
        Ok(PipeReader {
            end: self.end.try_clone()?,
        })
    }

    /// Waits until there is something to read, or the end of the stream. For system calls that this type does not
    /// make, which are tried on [`AsFd`]'s descriptor and say that they would block.
    ///
    /// # Errors
    /// `EBADF` when it was closed.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.end.source.wait(Interest::Read, None)
    }

    /// Wakes greenlets that wait for this handle with an error; later operations on it fail too.
    ///
    /// std has no such method, because dropping is enough there; with greenlets another one may be waiting. The
    /// kernel's pipe knows no shutdown: writers see that it is closed when the handle is dropped.
    pub fn close(&self) {
        self.end.source.close();
    }
}

impl PipeWriter {
    /// A second handle to the same end, with a descriptor of its own.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<PipeWriter> {
        Ok(PipeWriter {
            end: self.end.try_clone()?,
        })
    }

    /// Waits until there is room for 4096 bytes, or an error to be found, as [`PipeReader::wait_readable`].
    ///
    /// # Errors
    /// `EBADF` when it was closed.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.end.source.wait(Interest::Write, None)
    }

    /// Wakes greenlets that wait for this handle with an error, as [`PipeReader::close`]. Readers see the end of the
    /// stream when the handle is dropped.
    pub fn close(&self) {
        self.end.source.close();
    }
}

impl Read for &PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.end.read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.end.read_vectored(bufs)
    }
}

impl Read for PipeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.end.read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.end.read_vectored(bufs)
    }
}

impl Write for &PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.end.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.end.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for PipeWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.end.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.end.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What both ends have: conversions and traits of descriptors.
macro_rules! descriptor {
    ($end:ident) => {
        /// Makes the descriptor non-blocking. It need not be a pipe: whatever is a stream and can be waited for.
        impl From<OwnedFd> for $end {
            fn from(fd: OwnedFd) -> Self {
                $end { end: End::new(fd) }
            }
        }

        /// The descriptor stays non-blocking.
        impl From<$end> for OwnedFd {
            fn from(end: $end) -> Self {
                end.end.into_fd()
            }
        }

        /// Makes the descriptor non-blocking, for its clones too.
        impl From<io::$end> for $end {
            fn from(end: io::$end) -> Self {
                OwnedFd::from(end).into()
            }
        }

        /// Makes the descriptor blocking again. Clones that remain of it still wait without blocking the thread, unless
        /// somebody else reads or writes at the same time.
        impl From<$end> for io::$end {
            fn from(end: $end) -> Self {
                end.end.into_blocking().into()
            }
        }

        /// For a child process: makes the descriptor blocking, which programs expect of their standard streams. Clones
        /// that remain still wait without blocking the thread, unless somebody else reads or writes at the same
        /// time.
        impl From<$end> for Stdio {
            fn from(end: $end) -> Self {
                end.end.into_blocking().into()
            }
        }

        impl AsFd for $end {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.end.source.inner().as_fd()
            }
        }

        impl AsRawFd for $end {
            fn as_raw_fd(&self) -> RawFd {
                self.as_fd().as_raw_fd()
            }
        }

        impl IntoRawFd for $end {
            fn into_raw_fd(self) -> RawFd {
                OwnedFd::from(self).into_raw_fd()
            }
        }

        impl fmt::Debug for $end {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($end))
                    .field(&self.as_raw_fd())
                    .finish()
            }
        }
    };
}

descriptor!(PipeReader);
descriptor!(PipeWriter);
