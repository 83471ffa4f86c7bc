//! `UnixDatagram`: the twin of [`std::os::unix::net::UnixDatagram`].
//!
//! # Waiting for a receiver
//! Unix datagrams are not dropped: a send waits while the receiver's queue is full (`net.unix.max_dgram_qlen`). For a
//! socket that is connected to the receiver, epoll knows of that. For `send_to` it does not: the sender's own
//! buffer has room, so it counts as writable all the while, and each try that fails makes an event by itself; whoever
//! waits for that tries in a circle. So the wait is for another socket, made for it, which is connected to the
//! receiver and becomes writable when the queue has room. There is always a connection to be had: the kernel has
//! no limit for a receiver that is itself connected to the sender.
//!
//! A socket that is connected to one receiver and sends to another counts as writable only when the former has
//! room, too; if its own buffer is full at the same time, it waits for both.
//!
//! # A read that was shut down
//! See `shut`: it is the end, which std reports as 0 bytes.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketAddrUnix, SocketFlags, SocketType,
};

use super::convert::converts_with_timeouts;
use super::{ancillary, shut, unix_addr};
use crate::io::source::Source;
use crate::reactor::Interest;
use crate::sys::{clock, thread};

/// A Unix datagram socket; see [`std::os::unix::net::UnixDatagram`] for what each method means.
///
/// ```
/// use rustlet::net::UnixDatagram;
/// let (here, there) = UnixDatagram::pair()?;
/// let sender = rustlet::spawn(move || there.send(b"hello"));
/// let mut buf = [0; 16];
/// let len = here.recv(&mut buf)?; // waits
/// assert_eq!(&buf[..len], b"hello");
/// # assert_eq!(sender.join().unwrap()?, 5);
/// # std::io::Result::Ok(())
/// ```
pub struct UnixDatagram {
    source: Source<net::UnixDatagram>,
}

impl UnixDatagram {
    /// A socket bound to `path`, where it makes a file, which must not be there yet.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::bind`]: `AddrInUse`; `InvalidInput` for a path of 108 bytes or more.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// A socket bound to an address: a path or an abstract name
    /// ([`SocketAddrExt`](std::os::linux::net::SocketAddrExt)).
    ///
    /// # Errors
    /// As [`UnixDatagram::bind`].
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixDatagram> {
        let socket = net::UnixDatagram::bind_addr(socket_addr)?;
        socket.set_nonblocking(true)?;
        Ok(UnixDatagram::with_source(Source::new(socket)))
    }

    /// A socket without an address: it can send, and nobody can answer.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::unbound`].
    pub fn unbound() -> io::Result<UnixDatagram> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        Ok(UnixDatagram::from_nonblocking(fd))
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::pair`].
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::UNIX;
        let (one, other) = rustix::net::socketpair(family, SocketType::DGRAM, flags, None)?;
        let [one, other] = [one, other].map(UnixDatagram::from_nonblocking);
        Ok((one, other))
    }

    fn from_nonblocking(fd: OwnedFd) -> Self {
        UnixDatagram::with_source(Source::new(fd.into()))
    }

    fn with_source(source: Source<net::UnixDatagram>) -> Self {
        UnixDatagram { source }
    }

    fn inner(&self) -> &net::UnixDatagram {
        self.source.inner()
    }

    /// Has [`send`](UnixDatagram::send) go to the socket at `path`, and [`recv`](UnixDatagram::recv) take
    /// from there alone. Does not wait.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::connect`].
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// As [`UnixDatagram::connect`], for any address.
    ///
    /// # Errors
    /// As [`UnixDatagram::connect`].
    pub fn connect_addr(&self, socket_addr: &SocketAddr) -> io::Result<()> {
        let addr = unix_addr::to_kernel(socket_addr)?;
        Ok(rustix::net::connect(self, &addr)?)
    }

    /// A second handle to the same socket, with a descriptor of its own.
    pub fn try_clone(&self) -> io::Result<UnixDatagram> {
        let clone = self.inner().try_clone()?;
        let options = self.source.options().clone();
        Ok(UnixDatagram::with_source(Source::with_options(
            clone, options,
        )))
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner().local_addr()
    }

    /// The address that it was [connected](UnixDatagram::connect) to.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner().peer_addr()
    }

    /// Receives a datagram, and tells who sent it. What `buf` has no room for is lost.
    ///
    /// A sender that was not bound has no name; one whose path is a byte longer than std allows (108 without a
    /// terminator) is reported as one without a name.
    ///
    /// # Errors
    /// `WouldBlock` when the read timeout has passed; `EBADF` when the socket was closed.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (bytes, addr) = self.receive((0, None), |fd| {
            rustix::net::recvfrom(fd, &mut *buf, RecvFlags::DONTWAIT)
                .map(|(bytes, _, addr): (usize, _, Option<SocketAddrAny>)| (bytes, addr))
        })?;
        let addr = unix_addr::from_kernel(addr).unwrap_or_else(unix_addr::unnamed);
        Ok((bytes, addr))
    }

    /// Receives a datagram. What `buf` has no room for is lost. 0 is an empty datagram, or that reading was
    /// [shut down](UnixDatagram::shutdown).
    ///
    /// # Errors
    /// As [`UnixDatagram::recv_from`]; `ConnectionReset` if the peer has connected to another socket.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::DONTWAIT;
        self.receive(0, |fd| {
            rustix::net::recv(fd, &mut *buf, flags).map(|(bytes, _)| bytes)
        })
    }

    /// As [`UnixDatagram::recv`], without taking the datagram from the socket. std has it, not yet stable,
    /// under the same name.
    ///
    /// # Errors
    /// As [`UnixDatagram::recv`].
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.receive(0, |fd| {
            rustix::net::recv(fd, &mut *buf, flags).map(|(bytes, _)| bytes)
        })
    }

    /// Sends `buf` as one datagram to the socket at `path`. Waits while the receiver's queue is full.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::send_to`]; `WouldBlock` when the write timeout has passed; `EBADF`
    /// when the socket was closed; what making a socket says, to wait with.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// As [`UnixDatagram::send_to`], for any address.
    ///
    /// # Errors
    /// As [`UnixDatagram::send_to`].
    pub fn send_to_addr(&self, buf: &[u8], socket_addr: &SocketAddr) -> io::Result<usize> {
        let addr = unix_addr::to_kernel(socket_addr)?;
        let timeout = self.source.options().timeout(Interest::Write);
        let deadline = timeout.map(clock::after);
        let left = || deadline.map(|at| Duration::from_nanos(at.saturating_sub(clock::now())));
        let mut unreachable = None;
        loop {
            let sent = self.source.operate(Interest::Write, left(), |fd| {
                match rustix::net::sendto(fd, buf, SEND, &addr) {
                    // Its own buffer has room: it is the receiver that has none.
                    Err(Errno::AGAIN) if thread::wait_fd(fd, PollFlags::OUT, Some(0))? => Ok(None),
                    done => done.map(Some),
                }
            })?;
            if let Some(bytes) = sent {
                return Ok(bytes);
            }
            if self.source.options().is_nonblocking() {
                return Err(Errno::AGAIN.into());
            }
            match wait_for_room(&addr, left())? {
                Ok(()) => unreachable = None,
                // The receiver has gone, or been connected, in the meantime, and the next try says so. Whatever else
                // it is would be so for ever.
                Err(error) if unreachable == Some(error) => return Err(error.into()),
                Err(error) => unreachable = Some(error),
            }
        }
    }

    /// Sends `buf` as one datagram to the socket that it is connected to. Waits while the receiver's queue is
    /// full.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixDatagram::send`]: `ConnectionRefused` if the receiver has gone; `WouldBlock` when
    /// the write timeout has passed; `EBADF` when the socket was closed.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        let timeout = self.source.options().timeout(Interest::Write);
        self.source.operate(Interest::Write, timeout, |fd| {
            rustix::net::send(fd, buf, SEND)
        })
    }

    /// As [`UnixDatagram::send`], with descriptors: the receiver gets descriptors of its own for the same
    /// files.
    ///
    /// # Errors
    /// `InvalidInput` for more than 253 descriptors; `ETOOMANYREFS` if too many are on their way; otherwise as
    /// [`UnixDatagram::send`].
    pub fn send_with_fds(&self, bufs: &[IoSlice<'_>], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let timeout = self.source.options().timeout(Interest::Write);
        self.source.operate(Interest::Write, timeout, |fd| {
            ancillary::send(fd, bufs, fds)
        })
    }

    /// Receives a datagram, and appends to `fds` the descriptors that came with it; they are close-on-exec.
    /// [`recv`](UnixDatagram::recv) closes them.
    ///
    /// # Errors
    /// `InvalidData` if more than `limit` descriptors came along, or this process may not open so many. All that came are
    /// closed then, `fds` is as it was, and the datagram has been read. Otherwise as [`UnixDatagram::recv`].
    pub fn recv_with_fds(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        fds: &mut Vec<OwnedFd>,
        limit: usize,
    ) -> io::Result<usize> {
        let received = self.receive(None, |fd| ancillary::receive(fd, bufs, limit).map(Some))?;
        received.map_or(Ok(0), |received| received.hand_over(fds, limit))
    }

    /// Limits how long receiving waits; `None` for ever. What ran out of time fails with `WouldBlock`, as
    /// std's.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.options().set_timeout(Interest::Read, timeout)
    }

    /// Limits how long sending waits, as [`UnixDatagram::set_read_timeout`].
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

    /// Shuts down reading, writing or both. Greenlets that wait to receive get 0 bytes once the queue is
    /// empty; sending fails with `BrokenPipe`.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner().shutdown(how)
    }

    /// Waits until there is a datagram, or an error; for no longer than the read timeout. gevent's `wait_read`.
    ///
    /// For system calls that this type does not make; see [`super::TcpStream::wait_readable`].
    ///
    /// # Errors
    /// `WouldBlock` when the timeout has passed; `EBADF` when it was closed.
    pub fn wait_readable(&self) -> io::Result<()> {
        let timeout = self.source.options().timeout(Interest::Read);
        self.source.wait(Interest::Read, timeout)
    }

    /// Waits until it takes a datagram to send, as [`UnixDatagram::wait_readable`] does for receiving. A
    /// receiver's queue is part of that only if it is connected to it.
    ///
    /// # Errors
    /// `WouldBlock` when the timeout has passed; `EBADF` when it was closed.
    pub fn wait_writable(&self) -> io::Result<()> {
        let timeout = self.source.options().timeout(Interest::Write);
        self.source.wait(Interest::Write, timeout)
    }

    /// Closes the socket now, though handles to it remain: greenlets that wait for it are woken with an
    /// error (`EBADF`), and later operations fail. Clones see that it was shut down. The file stays.
    ///
    /// Who sends to it gets `ConnectionRefused` or `BrokenPipe` from now on; who waits to [`send_to`] it goes on
    /// waiting until the last handle is dropped, as the queue does not empty.
    ///
    /// [`send_to`]: UnixDatagram::send_to
    pub fn close(&self) {
        // In this order: who waits for this handle shall get an error, and not the 0 bytes of the shutdown, which
        // an empty datagram has, too.
        self.source.close();
        let _ = self.inner().shutdown(Shutdown::Both);
    }

    /// `end` is for a socket that was shut down for reading and has nothing more.
    fn receive<T>(
        &self,
        end: T,
        mut op: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let timeout = self.source.options().timeout(Interest::Read);
        let received = self.source.operate(Interest::Read, timeout, |fd| {
            match op(fd).map(Some) {
                // What came before the shutdown, and after the first look, is still to be had.
                Err(Errno::AGAIN) if shut::is_shut(fd) => match op(fd).map(Some) {
                    Err(Errno::AGAIN) => Ok(None),
                    done => done,
                },
                done => done,
            }
        })?;
        Ok(received.unwrap_or(end))
    }
}

// DONTWAIT on each call, though the descriptor is non-blocking: a clone that became a std socket has
// made the socket of both blocking.
const SEND: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// Waits until the socket at `addr` has room for a datagram of anybody's; see the head.
///
/// # Errors
/// Outside: `WouldBlock` when the timeout has passed; no socket can be had. Inside: it cannot be connected to.
fn wait_for_room(
    addr: &SocketAddrUnix,
    timeout: Option<Duration>,
) -> io::Result<Result<(), Errno>> {
    let probe = UnixDatagram::unbound()?;
    if let Err(error) = rustix::net::connect(&probe, addr) {
        return Ok(Err(error));
    }
    probe.source.wait(Interest::Write, timeout).map(Ok)
}

converts_with_timeouts!(UnixDatagram, net::UnixDatagram);
