//! The standard streams of a child that were made with [`Stdio::piped`](std::process::Stdio::piped): pipes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::{self, Stdio};

use crate::io::pipe::{PipeReader, PipeWriter};

/// A child's standard input; see [`std::process::ChildStdin`].
///
/// Dropped, it ends the child's input. A write fails with `BrokenPipe` once the child has closed its end.
pub struct ChildStdin(PipeWriter);

/// A child's standard output; see [`std::process::ChildStdout`].
///
/// It ends when the child, and whoever inherited it from the child, has closed it.
pub struct ChildStdout(PipeReader);

/// A child's standard error; see [`std::process::ChildStderr`], and [`ChildStdout`].
pub struct ChildStderr(PipeReader);

macro_rules! descriptor {
    ($stream:ident, $pipe:ident) => {
        /// Makes the descriptor non-blocking.
        impl From<process::$stream> for $stream {
            fn from(stream: process::$stream) -> Self {
                OwnedFd::from(stream).into()
            }
        }

        /// Makes the descriptor non-blocking.
        impl From<OwnedFd> for $stream {
            fn from(fd: OwnedFd) -> Self {
                $stream(fd.into())
            }
        }

        /// The descriptor stays non-blocking.
        impl From<$stream> for OwnedFd {
            fn from(stream: $stream) -> Self {
                stream.0.into()
            }
        }

        impl From<$stream> for $pipe {
            fn from(stream: $stream) -> Self {
                stream.0
            }
        }

        /// For another child: makes the descriptor blocking, which programs expect of their standard streams.
        impl From<$stream> for Stdio {
            fn from(stream: $stream) -> Self {
                stream.0.into()
            }
        }

        impl AsFd for $stream {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        impl AsRawFd for $stream {
            fn as_raw_fd(&self) -> RawFd {
                self.0.as_raw_fd()
            }
        }

        impl IntoRawFd for $stream {
            fn into_raw_fd(self) -> RawFd {
                self.0.into_raw_fd()
            }
        }

        impl fmt::Debug for $stream {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($stream))
                    .field(&self.as_raw_fd())
                    .finish()
            }
        }
    };
}

macro_rules! readable {
    ($stream:ident) => {
        impl $stream {
            /// Waits until there is something to read, or the end of the stream: see [`PipeReader::wait_readable`].
            pub fn wait_readable(&self) -> io::Result<()> {
                self.0.wait_readable()
            }
        }

        impl Read for &$stream {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                (&self.0).read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&self.0).read_vectored(bufs)
            }
        }

        impl Read for $stream {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.0.read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.0.read_vectored(bufs)
            }
        }
    };
}

descriptor!(ChildStdin, PipeWriter);
descriptor!(ChildStdout, PipeReader);
descriptor!(ChildStderr, PipeReader);
readable!(ChildStdout);
readable!(ChildStderr);

impl ChildStdin {
    /// Waits until there is room for something, or an error to be found: see [`PipeWriter::wait_writable`].
    pub fn wait_writable(&self) -> io::Result<()> {
        self.0.wait_writable()
    }
}

impl Write for &ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&self.0).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ChildStdin {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
