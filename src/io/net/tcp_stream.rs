//! `TcpStream`: the twin of [`std::net::TcpStream`].

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags,
    SocketType, sockopt,
};

use super::{ToSocketAddrs, each_addr};
use crate::io::source::{Options, Source, zero_timeout};
use crate::reactor::Interest;

/// A TCP connection; see [`std::net::TcpStream`] for what each method means.
///
/// `&TcpStream` reads and writes too, so two greenlets can share one stream, one for each direction.
///
/// ```
/// use rustlet::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// rustlet::spawn(move || {
///     let (mut stream, _) = listener.accept().unwrap();
///     stream.write_all(b"hello").unwrap();
/// });
/// let mut text = String::new();
/// TcpStream::connect(addr)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # std::io::Result::Ok(())
/// ```
pub struct TcpStream {
    source: Source<net::TcpStream>,
}

impl TcpStream {
    /// Opens a connection to the first of `addr`'s addresses that answers.
    ///
    /// # Errors
    /// As [`std::net::TcpStream::connect`]: the last address's error.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        each_addr(addr, |addr| connect(&addr, None))
    }

    /// Opens a connection to `addr`, giving up when `timeout` has passed.
    ///
    /// # Errors
    /// `TimedOut`; `InvalidInput` for a timeout of zero; what connecting says.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        connect(addr, Some(timeout))
    }

    /// Takes over a non-blocking socket, just made.
    pub(super) fn from_nonblocking(fd: OwnedFd) -> Self {
        TcpStream {
            source: Source::new(fd.into()),
        }
    }

    /// For futures: [`crate::io`]'s traits of the async world.
    #[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
    pub(in crate::io) fn source(&self) -> &Source<net::TcpStream> {
        &self.source
    }

    fn inner(&self) -> &net::TcpStream {
        self.source.inner()
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner().peer_addr()
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner().local_addr()
    }

    /// Shuts down reading, writing or both. Greenlets that wait for the socket see end of file, or
    /// an error when writing.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner().shutdown(how)
    }

    /// A second handle to the same connection, with a descriptor of its own.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream {
            source: Source::with_options(self.inner().try_clone()?, self.source.options().clone()),
        })
    }

    /// Limits how long a read waits; `None` for ever. A read that ran out of time fails with
    /// `WouldBlock`, as std's on Unix.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.options().set_timeout(Interest::Read, timeout)
    }

    /// Limits how long a write waits, as [`TcpStream::set_read_timeout`].
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

    /// Receives without taking the data from the socket.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let timeout = self.source.options().timeout(Interest::Read);
        self.source.operate(Interest::Read, timeout, |fd| {
            rustix::net::recv(fd, &mut *buf, RecvFlags::PEEK | RecvFlags::DONTWAIT)
                .map(|(_, bytes)| bytes)
        })
    }

    /// Waits until there is something to read, or the end of the stream, or an error; for no longer than the read
    /// timeout. gevent's `wait_read`.
    ///
    /// For system calls that this type does not make: they are tried on [`AsFd`]'s descriptor, which is
    /// non-blocking, and when they say that they would block, one waits here and tries again. Waits also if
    /// [`TcpStream::set_nonblocking`] was called.
    ///
    /// # Errors
    /// `WouldBlock` when the timeout has passed; `EBADF` when it was closed.
    pub fn wait_readable(&self) -> io::Result<()> {
        let timeout = self.source.options().timeout(Interest::Read);
        self.source.wait(Interest::Read, timeout)
    }

    /// Waits until it takes something to write, as [`TcpStream::wait_readable`] does for reading. gevent's
    /// `wait_write`.
    ///
    /// # Errors
    /// `WouldBlock` when the timeout has passed; `EBADF` when it was closed.
    pub fn wait_writable(&self) -> io::Result<()> {
        let timeout = self.source.options().timeout(Interest::Write);
        self.source.wait(Interest::Write, timeout)
    }

    /// Sets `TCP_NODELAY`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner().set_nodelay(nodelay)
    }

    /// Whether `TCP_NODELAY` is set.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner().nodelay()
    }

    /// Sets the time to live of outgoing packets.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner().set_ttl(ttl)
    }

    /// The time to live of outgoing packets.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner().ttl()
    }

    /// The socket's pending error, which it clears.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner().take_error()
    }

    /// Whether operations fail with `WouldBlock` instead of suspending the greenlet.
    ///
    /// The descriptor itself is non-blocking in any case.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.options().set_nonblocking(nonblocking);
        Ok(())
    }

    /// Closes the connection now, though handles to it remain: greenlets that wait for it are woken with an
    /// error, the peer sees the end of the stream, and later operations fail.
    ///
    /// std has no such method, because dropping is enough there; with greenlets another one may be
    /// waiting. Clones of this handle share the connection and see its end, too. The
    /// descriptor's number stays reserved until the handle is dropped.
    pub fn close(&self) {
        let _ = self.inner().shutdown(Shutdown::Both);
        self.source.close();
    }

    // DONTWAIT on each call, though the descriptor is non-blocking: a clone that became a std socket has
    // made the socket of both blocking. NOSIGNAL as std: a peer that has gone is an error, not a SIGPIPE.

    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.transfer(Interest::Read, buf.len(), |fd| {
            rustix::net::recv(fd, &mut *buf, RecvFlags::DONTWAIT).map(|(_, bytes)| bytes)
        })
    }

    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let asked = bufs.iter().map(|buf| buf.len()).sum();
        self.source.transfer(Interest::Read, asked, |fd| {
            let mut control = RecvAncillaryBuffer::default();
            rustix::net::recvmsg(fd, bufs, &mut control, RecvFlags::DONTWAIT)
                .map(|message| message.bytes)
        })
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

/// Connects to one address.
fn connect(addr: &SocketAddr, timeout: Option<Duration>) -> io::Result<TcpStream> {
    let family = match addr {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    let stream = TcpStream::from_nonblocking(fd);
    match rustix::net::connect(&stream, addr) {
        Ok(()) => return Ok(stream),
        // A signal does not abort a connect; it goes on as if it were in progress.
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut tried = false;
    let connected = stream.source.operate(Interest::Write, timeout, |fd| {
        // The first try would only ask what EINPROGRESS has just said.
        if !core::mem::replace(&mut tried, true) {
            return Err(Errno::AGAIN);
        }
        sockopt::socket_error(fd)?
    });
    match connected {
        Ok(()) => Ok(stream),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "connection timed out",
        )),
        Err(error) => Err(error),
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.receive_vectored(bufs)
    }
}

impl Write for &TcpStream {
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

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.receive_vectored(bufs)
    }
}

impl Write for TcpStream {
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

/// Makes the socket non-blocking and takes over its timeouts.
impl From<net::TcpStream> for TcpStream {
    fn from(stream: net::TcpStream) -> Self {
        let options = Options::default();
        // They can only fail for a descriptor that is no socket; reads will say so then.
        let _ = stream.set_nonblocking(true);
        let _ = options.set_timeout(Interest::Read, stream.read_timeout().ok().flatten());
        let _ = options.set_timeout(Interest::Write, stream.write_timeout().ok().flatten());
        TcpStream {
            source: Source::with_options(stream, Arc::new(options)),
        }
    }
}

/// Makes the socket blocking again and passes its timeouts on.
impl From<TcpStream> for net::TcpStream {
    fn from(stream: TcpStream) -> Self {
        let options = stream.source.options().clone();
        let stream = stream.source.into_inner();
        let _ = stream.set_nonblocking(false);
        let _ = stream.set_read_timeout(options.timeout(Interest::Read));
        let _ = stream.set_write_timeout(options.timeout(Interest::Write));
        stream
    }
}

impl From<OwnedFd> for TcpStream {
    fn from(fd: OwnedFd) -> Self {
        net::TcpStream::from(fd).into()
    }
}

/// The descriptor stays non-blocking.
impl From<TcpStream> for OwnedFd {
    fn from(stream: TcpStream) -> Self {
        stream.source.into_inner().into()
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.inner().as_raw_fd()
    }
}

impl IntoRawFd for TcpStream {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner().fmt(f)
    }
}
