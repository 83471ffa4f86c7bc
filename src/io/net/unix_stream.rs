//! `UnixStream`: the twin of [`std::os::unix::net::UnixStream`].
//!
//! # When a read has emptied the socket
//! A read that fills less than its buffer has mostly taken all there is, and the next one waits at once (see
//! `reactor`). Not so here if descriptors or credentials came along: the kernel ends a read behind them, though
//! more may follow, and no further edge will tell. recvmsg(2) says so, with the flag for control data that had no
//! room; recv(2) does not, so reads go by the former.
//!
//! # Connecting
//! A Unix socket connects at once or not at all. If the listener's backlog is full, a connect that does not block
//! is refused with `EAGAIN`, and nothing tells when there is room again: one tries again, with growing pauses.
//! Not chosen: a connect that blocks a thread of a pool. A kill could not end it, and a server that does not
//! accept would use the pool up.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendFlags,
    SocketFlags, SocketType,
};

use super::convert::converts_with_timeouts;
use super::{UCred, ancillary, unix_addr};
use crate::io::source::Source;
use crate::reactor::Interest;
use crate::timer;

/// Waits between two tries to connect while the backlog of the listener is full.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// A connection between processes of one machine; see [`std::os::unix::net::UnixStream`] for what each method means.
///
/// `&UnixStream` reads and writes too, so two greenlets can share one stream, one for each direction.
///
/// ```
/// use rustlet::net::UnixStream;
/// use std::io::{Read, Write};
/// let (mut here, mut there) = UnixStream::pair()?;
/// rustlet::spawn(move || there.write_all(b"hello"));
/// let mut text = String::new();
/// here.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// ```
pub struct UnixStream {
    pub(super) source: Source<net::UnixStream>,
}

impl UnixStream {
    /// For futures: [`crate::io`]'s traits of the async world.
    #[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
    pub(in crate::io) fn source(&self) -> &Source<net::UnixStream> {
        &self.source
    }

    /// Connects to the socket that listens at `path`.
    ///
    /// While its backlog is full, it waits, as std's does: it tries again, up to 50 ms later.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixStream::connect`]: `NotFound`, `ConnectionRefused`; `InvalidInput` for a path
    /// of 108 bytes or more.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to an address: a path or an abstract name
    /// ([`SocketAddrExt`](std::os::linux::net::SocketAddrExt)).
    ///
    /// ```
    /// use rustlet::net::{UnixListener, UnixStream};
    /// use std::os::linux::net::SocketAddrExt;
    /// use std::os::unix::net::SocketAddr;
    /// let name = format!("rustlet's example {}", std::process::id());
    /// let addr = SocketAddr::from_abstract_name(name)?; // no file, and nothing to remove
    /// let listener = UnixListener::bind_addr(&addr)?;
    /// let stream = UnixStream::connect_addr(&addr)?;
    /// assert!(listener.accept()?.1.is_unnamed());
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// As [`UnixStream::connect`].
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        let addr = unix_addr::to_kernel(addr)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        let mut pause = FIRST_PAUSE;
        loop {
            match rustix::net::connect(&fd, &addr) {
                Ok(()) => return Ok(UnixStream::from_nonblocking(fd)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    timer::sleep(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixStream::pair`].
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::UNIX;
        let (one, other) = rustix::net::socketpair(family, SocketType::STREAM, flags, None)?;
        let [one, other] = [one, other].map(UnixStream::from_nonblocking);
        Ok((one, other))
    }

    /// Takes over a non-blocking socket, just made.
    pub(super) fn from_nonblocking(fd: OwnedFd) -> Self {
        UnixStream::with_source(Source::new(fd.into()))
    }

    fn with_source(source: Source<net::UnixStream>) -> Self {
        UnixStream { source }
    }

    fn inner(&self) -> &net::UnixStream {
        self.source.inner()
    }

    /// A second handle to the same connection, with a descriptor of its own.
    pub fn try_clone(&self) -> io::Result<UnixStream> {
        let clone = self.inner().try_clone()?;
        let options = self.source.options().clone();
        Ok(UnixStream::with_source(Source::with_options(
            clone, options,
        )))
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner().local_addr()
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner().peer_addr()
    }

    /// Who is at the other end: the process that connected, listened, or made the pair (`SO_PEERCRED`).
    /// std has it, not yet stable, under the same name.
    ///
    /// ```
    /// let (here, _there) = rustlet::net::UnixStream::pair()?;
    /// assert_eq!(here.peer_cred()?.pid, Some(std::process::id() as i32));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn peer_cred(&self) -> io::Result<UCred> {
        UCred::of_peer(self.as_fd())
    }

    /// Limits how long a read waits; `None` for ever. A read that ran out of time fails with
    /// `WouldBlock`, as std's.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.options().set_timeout(Interest::Read, timeout)
    }

    /// Limits how long a write waits, as [`UnixStream::set_read_timeout`].
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.options().set_timeout(Interest::Write, timeout)
    }

    /// The read timeout.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.source.options().timeout(Interest::Read))
    }

    /// The write timeout.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(self.source.options().timeout(Interest::Write))
    }

    /// Whether operations fail with `WouldBlock` instead of suspending the greenlet.
    ///
    /// The descriptor itself is non-blocking in any case.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.options().set_nonblocking(nonblocking);
        Ok(())
    }

    /// The socket's pending error, which it clears.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner().take_error()
    }

    /// Shuts down reading, writing or both. Greenlets that wait for the socket see end of file, or
    /// an error when writing.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner().shutdown(how)
    }

    /// Receives without taking the data from the socket. std has it, not yet stable, under the same name.
    ///
    /// # Errors
    /// As reading.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let timeout = self.source.options().timeout(Interest::Read);
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.source.operate(Interest::Read, timeout, |fd| {
            rustix::net::recv(fd, &mut *buf, flags).map(|(_, bytes)| bytes)
        })
    }

    /// Writes, and sends descriptors along with the first byte: the peer gets descriptors of its own for
    /// the same files. Returns how many bytes were written; if these are not all, the rest is to be written without
    /// the descriptors, which have gone.
    ///
    /// ```
    /// use rustlet::net::UnixStream;
    /// use std::io::{IoSlice, IoSliceMut, Read, Write};
    /// use std::os::fd::AsFd;
    /// let (here, there) = UnixStream::pair()?;
    /// let (mut ours, theirs) = UnixStream::pair()?;
    /// here.send_with_fds(&[IoSlice::new(b"take this")], &[theirs.as_fd()])?;
    ///
    /// let (mut text, mut fds) = ([0; 9], Vec::new());
    /// let len = there.recv_with_fds(&mut [IoSliceMut::new(&mut text)], &mut fds, 1)?;
    /// assert_eq!(&text[..len], b"take this");
    /// let mut passed = UnixStream::from(fds.pop().unwrap());
    /// passed.write_all(b"x")?;
    /// ours.read_exact(&mut [0])?;
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for descriptors without a byte, of which a stream would lose track, and for more than 253;
    /// `ETOOMANYREFS` if too many are on their way; otherwise as writing.
    pub fn send_with_fds(&self, bufs: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let asked: usize = bufs.iter().map(|buf| buf.len()).sum();
        if asked == 0 && !fds.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "descriptors travel with at least one byte",
            ));
        }
        self.source
            .transfer(Interest::Write, asked, |fd| ancillary::send(fd, bufs, fds))
    }

    /// Reads, and appends to `fds` the descriptors that came with the bytes; they are close-on-exec. A read ends
    /// behind bytes that descriptors came with, so it never brings those of two sends.
    ///
    /// A plain read closes the descriptors that come with what it reads.
    ///
    /// # Errors
    /// `InvalidData` if more than `limit` descriptors came along, or this process may not open so many. All that came are
    /// closed then, `fds` is as it was, and the bytes have been read. Otherwise as reading.
    pub fn recv_with_fds(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        fds: &mut Vec<OwnedFd>,
        limit: usize,
    ) -> io::Result<usize> {
        let asked: usize = bufs.iter().map(|buf| buf.len()).sum();
        let emptied = |received: &ancillary::Received| {
            0 < received.bytes && received.bytes < asked && !received.stopped
        };
        let timeout = self.source.options().timeout(Interest::Read);
        self.source
            .run(Interest::Read, timeout, emptied, |fd| {
                ancillary::receive(fd, bufs, limit)
            })?
            .hand_over(fds, limit)
    }

    /// Waits until there is something to read, or the end of the stream, or an error; for no longer than the read
    /// timeout. gevent's `wait_read`.
    ///
    /// For system calls that this type does not make; see [`super::TcpStream::wait_readable`].
    ///
    /// # Errors
    /// `WouldBlock` when the timeout has passed; `EBADF` when it was closed.
    pub fn wait_readable(&self) -> io::Result<()> {
        let timeout = self.source.options().timeout(Interest::Read);
        self.source.wait(Interest::Read, timeout)
    }

    /// Waits until it takes something to write, as [`UnixStream::wait_readable`] does for reading. gevent's
    /// `wait_write`.
    ///
    /// # Errors
    /// `WouldBlock` when the timeout has passed; `EBADF` when it was closed.
    pub fn wait_writable(&self) -> io::Result<()> {
        let timeout = self.source.options().timeout(Interest::Write);
        self.source.wait(Interest::Write, timeout)
    }

    /// Closes the connection now, though handles to it remain: greenlets that wait for it are woken with an
    /// error, the peer sees the end of the stream, and later operations fail. As
    /// [`super::TcpStream::close`], for clones, too.
    pub fn close(&self) {
        let _ = self.inner().shutdown(Shutdown::Both);
        self.source.close();
    }

    // DONTWAIT on each call, though the descriptor is non-blocking: a clone that became a std socket has
    // made the socket of both blocking. NOSIGNAL as std: a peer that has gone is an error, not a SIGPIPE.

    fn receive(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let asked: usize = bufs.iter().map(|buf| buf.len()).sum();
        // See the head: without room for control data, all of it counts as truncated.
        let emptied = |&(bytes, stopped): &(usize, bool)| 0 < bytes && bytes < asked && !stopped;
        let timeout = self.source.options().timeout(Interest::Read);
        let (bytes, _) = self.source.run(Interest::Read, timeout, emptied, |fd| {
            let mut control = RecvAncillaryBuffer::default();
            let message = rustix::net::recvmsg(fd, bufs, &mut control, RecvFlags::DONTWAIT)?;
            Ok((message.bytes, message.flags.contains(ReturnFlags::CTRUNC)))
        })?;
        Ok(bytes)
    }

    fn transmit(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.transfer(Interest::Write, buf.len(), |fd| {
            rustix::net::send(fd, buf, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
        })
    }

    fn transmit_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        self.source.transfer(Interest::Write, asked, |fd| {
            let mut control = SendAncillaryBuffer::default();
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            rustix::net::sendmsg(fd, bufs, &mut control, flags)
        })
    }
}

impl Read for &UnixStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(&mut [IoSliceMut::new(buf)])
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.receive(bufs)
    }
}

impl Write for &UnixStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.transmit_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for UnixStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.receive(bufs)
    }
}

impl Write for UnixStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.transmit_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

converts_with_timeouts!(UnixStream, net::UnixStream);
