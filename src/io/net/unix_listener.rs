//! `UnixListener`: the twin of [`std::os::unix::net::UnixListener`].

use std::io;
use std::iter::FusedIterator;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use rustix::io::Errno;

use super::accept::{self, Connection};
use super::convert::converts_to_descriptors;
use super::{UnixStream, shut, unix_addr};
use crate::io::source::Source;
use crate::reactor::Interest;

/// A Unix socket that accepts connections; see [`std::os::unix::net::UnixListener`] for what each method means.
///
/// Any number of greenlets may accept from one listener. As std's, it leaves its file behind when it is
/// dropped.
pub struct UnixListener {
    source: Source<net::UnixListener>,
}

impl UnixListener {
    /// Listens at `path`, where it makes a file, which must not be there yet.
    ///
    /// The backlog is as long as the system allows (`net.core.somaxconn`, 4,096 by default).
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixListener::bind`]: `AddrInUse`; `InvalidInput` for a path of 108 bytes or more.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at an address: a path or an abstract name
    /// ([`SocketAddrExt`](std::os::linux::net::SocketAddrExt)). See [`UnixStream::connect_addr`] for an example.
    ///
    /// # Errors
    /// As [`UnixListener::bind`].
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        let listener = net::UnixListener::bind_addr(socket_addr)?;
        listener.set_nonblocking(true)?;
        // A second listen(2) changes the backlog of a listening socket.
        rustix::net::listen(&listener, i32::MAX)?;
        Ok(UnixListener {
            source: Source::new(listener),
        })
    }

    fn inner(&self) -> &net::UnixListener {
        self.source.inner()
    }

    /// Waits for a connection and takes it.
    ///
    /// When the process or the system has no descriptor left, it tries again for about a second, as
    /// [`super::TcpListener::accept`] does.
    ///
    /// # Errors
    /// As [`std::os::unix::net::UnixListener::accept`]; `EBADF` when this listener was closed, `EINVAL` when a
    /// clone of it was.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        with_addr(accept::patiently(&self.source, take_connection)?)
    }

    /// Takes a connection if one is there, without waiting and without patience for a want of descriptors.
    ///
    /// # Errors
    /// As accept(2); `WouldBlock` when there is none.
    pub(crate) fn try_accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
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

    /// A second handle to the same socket, with a descriptor of its own.
    pub fn try_clone(&self) -> io::Result<UnixListener> {
        Ok(UnixListener {
            source: Source::with_options(self.inner().try_clone()?, self.source.options().clone()),
        })
    }

    /// The address it listens on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner().local_addr()
    }

    /// Whether accepting fails with `WouldBlock` instead of suspending the greenlet.
    pub fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.source.options().set_nonblocking(nonblocking);
        Ok(())
    }

    /// The socket's pending error, which it clears.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner().take_error()
    }

    /// An endless iterator over connections.
    pub fn incoming(&self) -> UnixIncoming<'_> {
        UnixIncoming { listener: self }
    }

    /// Stops listening now, though handles remain: greenlets that wait in `accept` are woken with an error, new
    /// connections are refused, those that wait in the backlog are closed, and later operations fail. The file
    /// stays.
    pub fn close(&self) {
        // First, so that another hub's accept which finds the socket shut down knows why.
        self.source.close();
        let shut = rustix::net::shutdown(self.inner(), rustix::net::Shutdown::Both);
        // Nobody gets into the backlog any more; who is there would wait for the last handle to be dropped.
        if shut.is_ok() {
            while accept::take_connection(self.as_fd()).is_ok() {}
        }
    }
}

/// accept(2), which fails for a listener that was shut down.
fn take_connection(fd: BorrowedFd<'_>) -> Result<Connection, Errno> {
    match accept::take_connection(fd) {
        // What accept(2) says of it when it may block.
        Err(Errno::AGAIN) if shut::is_shut(fd) => Err(Errno::INVAL),
        done => done,
    }
}

fn with_addr((fd, addr): Connection) -> io::Result<(UnixStream, SocketAddr)> {
    let stream = UnixStream::from_nonblocking(fd);
    let addr = match unix_addr::from_kernel(addr) {
        Some(addr) => addr,
        None => stream.peer_addr()?,
    };
    Ok((stream, addr))
}

/// Connections of a [`UnixListener`], without end. std's `os::unix::net::Incoming`.
#[derive(Debug)]
#[must_use = "iterators are lazy"]
pub struct UnixIncoming<'a> {
    listener: &'a UnixListener,
}

impl Iterator for UnixIncoming<'_> {
    type Item = io::Result<UnixStream>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

impl FusedIterator for UnixIncoming<'_> {}

impl<'a> IntoIterator for &'a UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = UnixIncoming<'a>;

    fn into_iter(self) -> UnixIncoming<'a> {
        self.incoming()
    }
}

/// Makes the socket non-blocking.
impl From<net::UnixListener> for UnixListener {
    fn from(listener: net::UnixListener) -> Self {
        // It can only fail for a descriptor that is no socket; accept will say so then.
        let _ = listener.set_nonblocking(true);
        UnixListener {
            source: Source::new(listener),
        }
    }
}

/// Makes the socket blocking again, for its clones too.
impl From<UnixListener> for net::UnixListener {
    fn from(listener: UnixListener) -> Self {
        let listener = listener.source.into_inner();
        let _ = listener.set_nonblocking(false);
        listener
    }
}

converts_to_descriptors!(UnixListener, net::UnixListener);
