//! Descriptors that can be waited for: what the kernel-side copies ask of their two ends.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::PollFlags;

use crate::io::net::{TcpStream, UnixStream};
use crate::io::pipe::{PipeReader, PipeWriter};
use crate::io::process::{ChildStderr, ChildStdin, ChildStdout};
use crate::io::wrapper::Io;
use crate::reactor::Interest;
use crate::sys::thread;

/// A descriptor that greenlets can wait for until it has something to read.
///
/// Its descriptor is non-blocking, or that of a regular file, which never says that it would block.
/// Implement it for types of your own that wrap one of these.
pub trait WaitReadable: AsFd {
    /// Waits until there is something to read, or the end, or an error to be found.
    ///
    /// # Errors
    /// The limit that the type has for a read has passed; it was closed.
    fn wait_readable(&self) -> io::Result<()>;
}

/// A descriptor that greenlets can wait for until it takes something; as [`WaitReadable`].
pub trait WaitWritable: AsFd {
    /// Waits until it takes something to write, or there is an error to be found.
    ///
    /// # Errors
    /// The limit that the type has for a write has passed; it was closed.
    fn wait_writable(&self) -> io::Result<()>;
}

macro_rules! waits {
    ($trait:ident, $method:ident, $interest:expr, $ready:ident: $($type:ty),*) => {
        $(impl $trait for $type {
            fn $method(&self) -> io::Result<()> {
                <$type>::$method(self)
            }
        })*

        impl<T: $trait + ?Sized> $trait for &T {
            fn $method(&self) -> io::Result<()> {
                (**self).$method()
            }
        }

        /// For regular files, and devices that are always ready. Wrap other things that were opened as files in a type
        /// that waits.
        impl $trait for std::fs::File {
            fn $method(&self) -> io::Result<()> {
                always_ready(self.as_fd(), PollFlags::$ready)
            }
        }

        /// As [`std::fs::File`]: on the caller's thread, not on the blocking pool.
        impl $trait for crate::io::fs::File {
            fn $method(&self) -> io::Result<()> {
                always_ready(self.as_fd(), PollFlags::$ready)
            }
        }

        impl<T: AsFd> $trait for Io<T> {
            fn $method(&self) -> io::Result<()> {
                self.wait($interest, None).map(drop)
            }
        }
    };
}

/// A file whose other side would block is asked too ([`super::splice()`] with a pipe).
fn always_ready(file: BorrowedFd<'_>, ready: PollFlags) -> io::Result<()> {
    if thread::wait_fd(file, ready, Some(0))? {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "a file that would block is no regular file, and has to be wrapped in a type that waits",
    ))
}

waits!(WaitReadable, wait_readable, Interest::Read, IN: TcpStream, UnixStream, PipeReader, ChildStdout, ChildStderr);
waits!(WaitWritable, wait_writable, Interest::Write, OUT: TcpStream, UnixStream, PipeWriter, ChildStdin);
