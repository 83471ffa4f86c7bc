//! `TcpListener`: the twin of [`std::net::TcpListener`].

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::accept::{self, Connection, take_connection};
use super::{TcpStream, ToSocketAddrs, each_addr};
use crate::io::source::Source;
use crate::reactor::Interest;

/// A socket that accepts connections; see [`std::net::TcpListener`] for what each method means.
///
/// Any number of greenlets may accept from one listener.
pub struct TcpListener {
    source: Source<net::TcpListener>,
}

impl TcpListener {
    /// Listens on the first of `addr`'s addresses that can be bound.
    ///
    /// The backlog is as long as the system allows (`net.core.somaxconn`, 4,096 by default). std's
    /// 128 overflows when a thousand clients connect at once, and each refused one tries again a
    /// second later.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        each_addr(addr, |addr| {
            let listener = net::TcpListener::bind(addr)?;
            listener.set_nonblocking(true)?;
            // A second listen(2) changes the backlog of a listening socket.
            rustix::net::listen(&listener, i32::MAX)?;
            Ok(TcpListener {
                source: Source::new(listener),
            })
        })
    }

    /// As [`TcpListener::bind`], for an address that several sockets share (`SO_REUSEPORT`): one for each worker.
    ///
    /// All of them have to be made by this function, or set the option themselves, and belong to the same user. The
    /// kernel gives each new connection to one of the sockets, by a hash of the addresses of both ends, and it
    /// stays there: the others cannot take it. So the load is spread evenly if connections are many; a socket
    /// gets its share though its thread is busy, or accepts nothing; and when a socket is closed, the connections of
    /// its backlog are reset.
    ///
    /// With port 0 the first finds a free port, and the others bind to its
    /// [`local_addr`](TcpListener::local_addr).
    ///
    /// ```
    /// use rustlet::net::TcpListener;
    /// let first = TcpListener::bind_reuse_port("127.0.0.1:0")?;
    /// let second = TcpListener::bind_reuse_port(first.local_addr()?)?;
    /// assert_eq!(first.local_addr()?, second.local_addr()?);
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind_reuse_port<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        each_addr(addr, |addr| {
            let family = match addr {
                SocketAddr::V4(_) => AddressFamily::INET,
                SocketAddr::V6(_) => AddressFamily::INET6,
            };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
            // As std, so that a server that starts again does not wait for old connections to be forgotten.
            sockopt::set_socket_reuseaddr(&fd, true)?;
            sockopt::set_socket_reuseport(&fd, true)?;
            rustix::net::bind(&fd, &addr)?;
            rustix::net::listen(&fd, i32::MAX)?;
            Ok(TcpListener {
                source: Source::new(fd.into()),
            })
        })
    }

    fn inner(&self) -> &net::TcpListener {
        self.source.inner()
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner().local_addr()
    }

    /// A second handle to the same socket, with a descriptor of its own.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        Ok(TcpListener {
            source: Source::with_options(self.inner().try_clone()?, self.source.options().clone()),
        })
    }

    /// Waits for a connection and takes it.
    ///
    /// When the process or the system has no descriptor left (or the kernel no memory for one), it tries again
    /// with growing pauses for about a second, in which others may close theirs. Then it reports
    /// the error. The connection stays in the backlog: a later accept gets it.
    ///
    /// # Errors
    /// As [`std::net::TcpListener::accept`]; `EBADF` when this listener was closed, `EINVAL` when a clone of it
    /// was.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        with_addr(accept::patiently(&self.source, take_connection)?)
    }

    /// Takes a connection if one is there, without waiting and without patience for a want of descriptors.
    ///
    /// # Errors
    /// As accept(2); `WouldBlock` when there is none.
    pub(crate) fn try_accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        with_addr(take_connection(self.as_fd())?)
    }

    /// Waits until a connection is there to be accepted; another greenlet, or another process that shares the
    /// socket, may be faster to take it.
    ///
    /// # Errors
    /// `EBADF` when the listener was closed.
    pub fn wait_readable(&self) -> io::Result<()> {
        self.source.wait(Interest::Read, None)
    }

    /// An endless iterator over connections.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// An endless iterator over connections that owns the listener.
    pub fn into_incoming(self) -> IntoIncoming {
        IntoIncoming { listener: self }
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

    /// Whether accepting fails with `WouldBlock` instead of suspending the greenlet.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.options().set_nonblocking(nonblocking);
        Ok(())
    }

    /// Stops listening now, though handles remain: greenlets that wait in `accept` are woken with an error, new
    /// connections are refused, and later operations fail.
    pub fn close(&self) {
        // First, so that another hub's accept which finds the socket shut down knows why.
        self.source.close();
        // On Linux this takes a listening socket out of the listening state.
        let _ = rustix::net::shutdown(self.inner(), rustix::net::Shutdown::Both);
    }
}

fn with_addr((fd, addr): Connection) -> io::Result<(TcpStream, SocketAddr)> {
    let stream = TcpStream::from_nonblocking(fd);
    let addr = match addr.map(SocketAddr::try_from) {
        Some(Ok(addr)) => addr,
        _ => stream.peer_addr()?,
    };
    Ok((stream, addr))
}

/// Connections of a [`TcpListener`], without end.
#[derive(Debug)]
#[must_use = "iterators are lazy"]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

/// Connections of a [`TcpListener`] that it owns, without end.
#[derive(Debug)]
#[must_use = "iterators are lazy"]
pub struct IntoIncoming {
    listener: TcpListener,
}

impl Iterator for IntoIncoming {
    type Item = io::Result<TcpStream>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for IntoIncoming {}

/// Makes the socket non-blocking.
impl From<net::TcpListener> for TcpListener {
    fn from(listener: net::TcpListener) -> Self {
        // It can only fail for a descriptor that is no socket; accept will say so then.
        let _ = listener.set_nonblocking(true);
        TcpListener {
            source: Source::new(listener),
        }
    }
}

/// Makes the socket blocking again, for its clones too.
impl From<TcpListener> for net::TcpListener {
    fn from(listener: TcpListener) -> Self {
        let listener = listener.source.into_inner();
        let _ = listener.set_nonblocking(false);
        listener
    }
}

impl From<OwnedFd> for TcpListener {
    fn from(fd: OwnedFd) -> Self {
        net::TcpListener::from(fd).into()
    }
}

/// The descriptor stays non-blocking.
impl From<TcpListener> for OwnedFd {
    fn from(listener: TcpListener) -> Self {
        listener.source.into_inner().into()
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner().as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.inner().as_raw_fd()
    }
}

impl IntoRawFd for TcpListener {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner().fmt(f)
    }
}
