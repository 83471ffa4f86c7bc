//! [`PollRead`] and [`PollWrite`]: what the three families of traits have in common, for sockets and for [`Io`].
#![allow(unsafe_code)] // Memory that is not initialised yet, of those who read.

use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net;
use std::os::fd::AsFd;
use std::slice;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use crate::io::net::{TcpStream, UnixStream};
use crate::io::source::Source;
use crate::io::wrapper::Io;
use crate::reactor::Interest;

/// What an [`Io`] reads at most at once into memory that it has to clear first.
const CLEARED: usize = 64 * 1024;

/// Reading.
///
/// # Safety
/// [`PollRead::poll_receive`] returns a count no greater than the length of `buf`, and has initialised that many bytes at its
/// beginning. It has written nothing to `buf` but initialised bytes.
pub(super) unsafe trait PollRead {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>>;

    /// As `poll_read`, into memory that need not be initialised; `futures-io` has none of that.
    #[cfg_attr(not(any(feature = "hyper", feature = "tokio")), allow(dead_code))]
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>>;
}

/// Writing.
pub(super) trait PollWrite {
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>;

    fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Nothing more will be written: the peer of a socket sees the end.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A connected stream socket.
pub(in crate::io) trait Socket {
    type Inner: AsFd;

    fn source(&self) -> &Source<Self::Inner>;
}

impl Socket for TcpStream {
    type Inner = net::TcpStream;

    fn source(&self) -> &Source<net::TcpStream> {
        TcpStream::source(self)
    }
}

impl Socket for UnixStream {
    type Inner = std::os::unix::net::UnixStream;

    fn source(&self) -> &Source<Self::Inner> {
        UnixStream::source(self)
    }
}

// The flags of each call: as in `io::net`.

// SAFETY: `recv` returns how many bytes the kernel has written to the beginning of `buf`, and nothing else writes there.
unsafe impl<S: Socket> PollRead for S {
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.source()
            .poll_transfer(cx, Interest::Read, buf.len(), |fd| {
                rustix::net::recv(fd, &mut *buf, RecvFlags::DONTWAIT).map(|(_, bytes)| bytes)
            })
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        self.source()
            .poll_transfer(cx, Interest::Read, buf.len(), |fd| {
                let ((filled, _), _) = rustix::net::recv(fd, &mut *buf, RecvFlags::DONTWAIT)?;
                Ok(filled.len())
            })
    }
}

impl<S: Socket> PollWrite for S {
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.source()
            .poll_transfer(cx, Interest::Write, buf.len(), |fd| {
                rustix::net::send(fd, buf, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
            })
    }

    fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        self.source()
            .poll_transfer(cx, Interest::Write, asked, |fd| {
                let mut control = SendAncillaryBuffer::default();
                let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
                rustix::net::sendmsg(fd, bufs, &mut control, flags)
            })
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shut_down(self.source().inner()))
    }
}

/// Ends the output of a socket; one whose peer has gone is at its end.
fn shut_down(socket: impl AsFd) -> io::Result<()> {
    match rustix::net::shutdown(socket, Shutdown::Write) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

// SAFETY: the buffer is cleared first, and the count is checked.
unsafe impl<T: AsFd> PollRead for Io<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_operate(cx, Interest::Read, |mut inner| inner.read(buf))
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        let len = buf.len().min(CLEARED);
        let buf = &mut buf[..len];
        buf.fill(MaybeUninit::new(0));
        // SAFETY: `len` bytes at that address are ours for as long as `buf` was, and initialised by the line above.
        let buf = unsafe { slice::from_raw_parts_mut(buf.as_mut_ptr().cast::<u8>(), len) };
        let count = std::task::ready!(self.poll_read(cx, buf))?;
        assert!(count <= len, "more was read than there was room for");
        Poll::Ready(Ok(count))
    }
}

impl<T: AsFd> PollWrite for Io<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_operate(cx, Interest::Write, |mut inner| inner.write(buf))
    }

    fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_operate(cx, Interest::Write, |mut inner| inner.write_vectored(bufs))
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_operate(cx, Interest::Write, |mut inner| inner.flush())
    }

    /// What is no socket has no such state: its end is its drop.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(PollWrite::poll_flush(self, cx))?;
        Poll::Ready(match shut_down(self.get_ref()) {
            Err(error) if error.raw_os_error() == Some(Errno::NOTSOCK.raw_os_error()) => Ok(()),
            result => result,
        })
    }
}

/// Implements an async world's traits for each type, and for shared references to it. To be said: the trait to read, its
/// buffer and what it answers, and the function that does it; the trait to write, what it calls the end of output, and what else is
/// in it.
macro_rules! implement {
    (@for $world:tt [$($generics:tt)*] $type:ty, [$($read:tt)*], [$($write:tt)*]) => {
        implement!(@one $world [$($generics)*] $type, $type, [$($read)*], [$($write)*]);
        implement!(@one $world [$($generics)*] &$type, $type, [$($read)*], [$($write)*]);
    };
    (@one {
        $Read:ident($buffer:ty) -> $answer:ty: $receive:expr;
        $Write:ident, $shutdown:ident;
        $($also:tt)*
    } [$($generics:tt)*] $for:ty, $type:ty, [$($read:tt)*], [$($write:tt)*]) => {
        impl<$($generics)*> $Read for $for
        where
            $($read)*
        {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: $buffer,
            ) -> Poll<io::Result<$answer>> {
                let this: &$type = &self;
                $receive(this, cx, buf)
            }
        }

        impl<$($generics)*> $Write for $for
        where
            $($write)*
        {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let this: &$type = &self;
                PollWrite::poll_write(this, cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let this: &$type = &self;
                PollWrite::poll_write_vectored(this, cx, bufs)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this: &$type = &self;
                PollWrite::poll_flush(this, cx)
            }

            fn $shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this: &$type = &self;
                PollWrite::poll_shutdown(this, cx)
            }

            $($also)*
        }
    };
    ($($world:tt)*) => {
        implement!(@for { $($world)* } [] crate::io::net::TcpStream, [], []);
        implement!(@for { $($world)* } [] crate::io::net::UnixStream, [], []);
        implement!(
            @for { $($world)* }
            [T: std::os::fd::AsFd]
            crate::io::wrapper::Io<T>,
            [for<'a> &'a T: std::io::Read],
            [for<'a> &'a T: std::io::Write]
        );
    };
}
pub(super) use implement;
