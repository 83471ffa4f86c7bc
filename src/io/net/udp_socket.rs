//! `UdpSocket`: the twin of [`std::net::UdpSocket`]. Its options are in `udp_options`.
//!
//! A datagram that was read says nothing about whether another one is there, so each wait begins with a try
//! that the kernel refuses; the reactor's short cut for streams does not apply.
//!
//! # Closing
//! shutdown(2) wakes who waits for an unconnected socket, on all its descriptors, but changes nothing of what
//! recv(2) says afterwards: "would block", for ever. So clones share a flag, which is looked at before
//! each try, and set before the shutdown: whoever saw it unset is woken and looks again.

use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny};

use super::convert::converts_with_timeouts;
use super::{ToSocketAddrs, each_addr};
use crate::io::source::Source;
use crate::reactor::Interest;

/// A UDP socket; see [`std::net::UdpSocket`] for what each method means.
///
/// Any number of greenlets may send and receive by one socket. Datagrams go to those who wait first come
/// first served.
///
/// ```
/// use rustlet::net::UdpSocket;
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// rustlet::spawn(move || {
///     let mut buf = [0; 1500];
///     loop {
///         let (len, peer) = server.recv_from(&mut buf).unwrap();
///         server.send_to(&buf[..len], peer).unwrap();
///     }
/// });
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.connect(addr)?;
/// client.send(b"hello")?;
/// let mut buf = [0; 16];
/// let len = client.recv(&mut buf)?;
/// assert_eq!(&buf[..len], b"hello");
/// # std::io::Result::Ok(())
/// ```
pub struct UdpSocket {
    pub(super) source: Source<net::UdpSocket>,
    closed: Arc<AtomicBool>,
}

impl UdpSocket {
    /// A socket bound to the first of `addr`'s addresses that can be.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        each_addr(addr, |addr| {
            let socket = net::UdpSocket::bind(addr)?;
            socket.set_nonblocking(true)?;
            Ok(UdpSocket::with_source(Source::new(socket)))
        })
    }

    /// A handle to a socket of which there is no other.
    pub(super) fn with_source(source: Source<net::UdpSocket>) -> Self {
        UdpSocket {
            source,
            closed: Arc::default(),
        }
    }

    pub(super) fn inner(&self) -> &net::UdpSocket {
        self.source.inner()
    }

    /// Receives a datagram, and tells who sent it. What `buf` has no room for is lost.
    ///
    /// # Errors
    /// `WouldBlock` when the read timeout has passed; `EBADF` when the socket was closed; an error that an earlier
    /// datagram met with on its way.
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(buf, RecvFlags::empty())
    }

    /// As [`UdpSocket::recv_from`], without taking the datagram from the socket.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`].
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.receive_from(buf, RecvFlags::PEEK)
    }

    /// Sends `buf` as one datagram to the first of `addr`'s addresses. Waits only when the socket's own buffer
    /// is full.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::send_to`]; `WouldBlock` when the write timeout has passed; `EBADF` when
    /// the socket was closed.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let Some(addr) = addr.to_socket_addrs()?.next() else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no addresses to send data to",
            ));
        };
        self.transmit(|fd| rustix::net::sendto(fd, buf, SEND, &addr))
    }

    /// The address that it was [connected](UdpSocket::connect) to.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner().peer_addr()
    }

    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner().local_addr()
    }

    /// A second handle to the same socket, with a descriptor of its own.
    pub fn try_clone(&self) -> io::Result<UdpSocket> {
        Ok(UdpSocket {
            source: Source::with_options(self.inner().try_clone()?, self.source.options().clone()),
            closed: self.closed.clone(),
        })
    }

    /// Limits how long receiving waits; `None` for ever. What ran out of time fails with `WouldBlock`, as
    /// std's on Unix.
    ///
    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.source.options().set_timeout(Interest::Read, timeout)
    }

    /// Limits how long sending waits, as [`UdpSocket::set_read_timeout`].
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

    /// Has [`send`](UdpSocket::send) go to the first of `addr`'s addresses that can be reached, and
    /// [`recv`](UdpSocket::recv) take from there alone. Does not wait.
    ///
    /// # Errors
    /// As [`std::net::UdpSocket::connect`].
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        each_addr(addr, |addr| Ok(rustix::net::connect(self, &addr)?))
    }

    /// Sends `buf` as one datagram to the address that it is connected to. Waits only when the socket's own
    /// buffer is full.
    ///
    /// # Errors
    /// As [`UdpSocket::send_to`]; `ConnectionRefused` if an earlier datagram found nobody.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.transmit(|fd| rustix::net::send(fd, buf, SEND))
    }

    /// Receives a datagram. What `buf` has no room for is lost. A datagram may be empty: 0 is no end.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`]; `ConnectionRefused` if an earlier datagram found nobody.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::DONTWAIT;
        self.receive(|fd| rustix::net::recv(fd, &mut *buf, flags).map(|(bytes, _)| bytes))
    }

    /// As [`UdpSocket::recv`], without taking the datagram from the socket.
    ///
    /// # Errors
    /// As [`UdpSocket::recv`].
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        self.receive(|fd| rustix::net::recv(fd, &mut *buf, flags).map(|(bytes, _)| bytes))
    }

    /// Receives a datagram if one is there, without waiting.
    ///
    /// # Errors
    /// As [`UdpSocket::recv_from`]; `WouldBlock` when there is none.
    pub(crate) fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.check_open()?;
        let (bytes, _, addr) = rustix::net::recvfrom(self, buf, RecvFlags::DONTWAIT)?;
        Ok((bytes, sender(addr)?))
    }

    /// Waits until there is a datagram, or an error; for no longer than the read timeout. gevent's `wait_read`.
    ///
    /// For system calls that this type does not make; see [`super::TcpStream::wait_readable`].
    ///
    /// # Errors
    /// `WouldBlock` when the timeout has passed; `EBADF` when it was closed.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.wait(Interest::Read)
    }

    /// Waits until it takes a datagram to send, as [`UdpSocket::wait_readable`] does for receiving.
    ///
    /// # Errors
    /// `WouldBlock` when the timeout has passed; `EBADF` when it was closed.
    pub fn wait_writable(&self) -> io::Result<()> {
        self.wait(Interest::Write)
    }

    /// Whether operations fail with `WouldBlock` instead of suspending the greenlet.
    ///
    /// The descriptor itself is non-blocking in any case.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.options().set_nonblocking(nonblocking);
        Ok(())
    }

    /// Closes the socket now, though handles to it remain: greenlets that wait for it or for a clone are woken
    /// with an error (`EBADF`), and so fail all later operations that send or receive.
    ///
    /// std has no such method, because dropping is enough there; with greenlets another one may be
    /// waiting. The port is free when the last handle has been dropped.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // It wakes who waits, although it fails for a socket that is not connected.
        let _ = rustix::net::shutdown(self.inner(), rustix::net::Shutdown::Both);
        self.source.close();
    }

    // DONTWAIT on each call, though the descriptor is non-blocking: a clone that became a std socket has
    // made the socket of both blocking.

    fn receive_from(&self, buf: &mut [u8], flags: RecvFlags) -> io::Result<(usize, SocketAddr)> {
        let flags = flags | RecvFlags::DONTWAIT;
        let (bytes, addr) = self.receive(|fd| {
            rustix::net::recvfrom(fd, &mut *buf, flags).map(|(bytes, _, addr)| (bytes, addr))
        })?;
        Ok((bytes, sender(addr)?))
    }

    fn receive<T>(&self, mut op: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>) -> io::Result<T> {
        let timeout = self.source.options().timeout(Interest::Read);
        self.source.operate(Interest::Read, timeout, |fd| {
            self.check_open()?;
            op(fd)
        })
    }

    fn transmit(
        &self,
        mut op: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        let timeout = self.source.options().timeout(Interest::Write);
        self.source.operate(Interest::Write, timeout, |fd| {
            self.check_open()?;
            op(fd)
        })
    }

    fn wait(&self, interest: Interest) -> io::Result<()> {
        self.check_open()?;
        let timeout = self.source.options().timeout(interest);
        self.source.wait(interest, timeout)?;
        Ok(self.check_open()?)
    }

    fn check_open(&self) -> Result<(), Errno> {
        match self.closed.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(Errno::BADF),
        }
    }
}

const SEND: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// The address that came with a datagram.
fn sender(addr: Option<SocketAddrAny>) -> io::Result<SocketAddr> {
    let addr = addr.map(SocketAddr::try_from);
    addr.and_then(Result::ok)
        .ok_or_else(|| io::Error::other("a datagram without the address of its sender"))
}

converts_with_timeouts!(UdpSocket, net::UdpSocket);
