//! Any pollable descriptor, made cooperative: [`Io`] for those that a program owns, [`wait_fd`] for those of
//! others.
//!
//! [`Io`] is the same [`Source`] that sockets are made of, with the operation left to the caller: try, wait if it
//! "would block", try again. It knows nothing of the descriptor's kind, so only "would block" tells it that nothing
//! is left: a short read of inotify or netlink says nothing.
//!
//! [`wait_fd`] waits on a duplicate. A C library closes its descriptors when it pleases, and the number may then be a stranger's,
//! who may have registered it with the same epoll instance; to take our own entry out by number would then take out
//! theirs. The duplicate's number is ours until the wait has ended. It also lets several greenlets wait for one descriptor, which
//! epoll takes once. The price is two system calls, and that the open file lives until the wait ends.
//!
//! # Not chosen
//! A descriptor of the other's in the hub's own epoll instance, one entry for all who wait for it: saves the duplicate, and
//! hangs when the number changes hands.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

use super::source::Source;
use crate::reactor::Interest;
use crate::sys::thread;

/// A pollable thing of any kind, whose operations suspend the greenlet instead of the thread: inotify, timerfd, eventfd,
/// netlink, a terminal, the socket of a C library, a type of std's that has no twin here.
///
/// [`Io::operate`] turns any non-blocking operation into one that waits. If `&T` reads or writes, so does `Io<T>`, and
/// `&Io<T>`. With the crate's features `futures-io`, `tokio` and `hyper` it has the traits of those, too.
///
/// Regular files and others that epoll does not take are always ready, here as for the kernel: operations on them block
/// the thread.
///
/// ```
/// use rustlet::io::Io;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// let (ours, theirs) = UnixStream::pair()?;
/// let (mut ours, mut theirs) = (Io::new(ours)?, Io::new(theirs)?);
/// let echo = rustlet::spawn(move || {
///     let mut byte = [0];
///     theirs.read_exact(&mut byte)?;
///     theirs.write_all(&byte)
/// });
/// ours.write_all(b"!")?;
/// let mut byte = [0];
/// ours.read_exact(&mut byte)?;
/// assert_eq!(byte, *b"!");
/// echo.join().unwrap()?;
/// # std::io::Result::Ok(())
/// ```
pub struct Io<T: AsFd> {
    source: Source<T>,
}

impl<T: AsFd> Io<T> {
    /// Takes over `inner`, and makes its descriptor non-blocking.
    ///
    /// That is a property of the open file, which duplicates and other processes may share: making a shell's terminal
    /// non-blocking surprises the shell. It stays so, also after [`Io::into_inner`].
    ///
    /// `inner` must give the same descriptor whenever it is asked, other than through [`Io::get_mut`]; if it does not,
    /// waits may last for ever.
    ///
    /// # Errors
    /// What fcntl(2) says.
    pub fn new(inner: T) -> io::Result<Self> {
        let flags = fcntl_getfl(&inner)?;
        if !flags.contains(OFlags::NONBLOCK) {
            fcntl_setfl(&inner, flags | OFlags::NONBLOCK)?;
        }
        Ok(Io::new_nonblocking(inner))
    }

    /// As [`Io::new`], for what is non-blocking already, or is only operated on in ways that do not block (with
    /// `MSG_DONTWAIT`, for example). If it does block, it blocks the thread.
    pub fn new_nonblocking(inner: T) -> Self {
        Io {
            source: Source::new(inner),
        }
    }

    /// The thing itself, to do what does not wait.
    pub fn get_ref(&self) -> &T {
        self.source.inner()
    }

    /// The thing itself. It leaves the reactor and comes back with the next wait, so that it may be replaced, if by
    /// something non-blocking.
    pub fn get_mut(&mut self) -> &mut T {
        self.source.inner_mut()
    }

    /// Gives the thing back. It is still non-blocking.
    pub fn into_inner(self) -> T {
        self.source.into_inner()
    }

    /// Runs `op` until it does not say `WouldBlock`, waiting for `interest` in between.
    ///
    /// `op` must not block the thread. It is tried again when a signal interrupted it. It may not be tried at all before the
    /// first wait: if it said `WouldBlock` earlier, and nothing has happened to the descriptor since.
    ///
    /// # Errors
    /// `op`'s own; `EBADF` after [`Io::close`]; what epoll says to the descriptor.
    ///
    /// ```
    /// use rustlet::io::{Interest, Io};
    /// use std::net::UdpSocket;
    /// let socket = Io::new(UdpSocket::bind("127.0.0.1:0")?)?;
    /// let addr = socket.get_ref().local_addr()?;
    /// rustlet::spawn(move || UdpSocket::bind("127.0.0.1:0")?.send_to(b"datagram", addr));
    /// let mut buf = [0; 64];
    /// let (len, _) = socket.operate(Interest::Read, |socket| socket.recv_from(&mut buf))?;
    /// assert_eq!(&buf[..len], b"datagram");
    /// # std::io::Result::Ok(())
    /// ```
    pub fn operate<R>(
        &self,
        interest: Interest,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        let inner = self.source.inner();
        self.source.operate(interest, None, |_| settle(op(inner)))?
    }

    /// As [`Io::operate`], for a future: if `op` says `WouldBlock`, leaves the context's waker to be called when
    /// `interest` may be ready.
    ///
    /// Each direction keeps one waker, the last. The thread that polls must run its greenlets when it has nothing
    /// else to do, in [`crate::block_on`] or in anything else of this library that blocks.
    ///
    /// # Errors
    /// As [`Io::operate`].
    pub fn poll_operate<R>(
        &self,
        cx: &mut Context<'_>,
        interest: Interest,
        mut op: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let inner = self.source.inner();
        self.source
            .poll_operate(cx, interest, |_| settle(op(inner)))
            .map(|result| result?)
    }

    /// Waits until the descriptor is ready for `interest`, which includes its end and an error of its own; false if
    /// `timeout` has passed before. Returns at once if it is ready now.
    ///
    /// # Errors
    /// `EBADF` after [`Io::close`]; what epoll and poll(2) say to the descriptor.
    pub fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<bool> {
        ready_in_time(self.source.wait(interest, timeout))
    }

    /// Wakes everybody who waits here, with `EBADF`; later operations fail too. The descriptor itself is closed when this is
    /// dropped.
    pub fn close(&self) {
        self.source.close();
    }
}

/// What [`Source::operate`] expects of an operation, from std's words.
fn settle<R>(result: io::Result<R>) -> Result<io::Result<R>, Errno> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Errno::AGAIN),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(Errno::INTR),
        settled => Ok(settled),
    }
}

fn ready_in_time(waited: io::Result<()>) -> io::Result<bool> {
    match waited {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until `fd` is ready for `interest`, which includes its end and an error of its own; false if `timeout` has
/// passed before. Returns at once if it is ready now. gevent's `wait_read` and `wait_write`.
///
/// For descriptors that belong to somebody else: a database client's socket, say, whose library does its own reading and
/// writing. The descriptor need not be non-blocking, and is not changed. Any number of greenlets may wait for it. If its owner
/// closes it meanwhile, the wait goes on with the open file behind it, which stays open as long (shutting a
/// socket down ends the wait); whatever its number comes to mean later does not matter.
///
/// What epoll does not take, like regular files, is always ready.
///
/// # Errors
/// No descriptor is left for the duplicate that it waits on (`EMFILE`); what epoll and poll(2) say to `fd`.
///
/// ```
/// use rustlet::io::{Interest, wait_fd};
/// use std::os::fd::AsFd;
/// use std::time::Duration;
/// let (reader, writer) = std::io::pipe()?;
/// let limit = Some(Duration::from_millis(5));
/// assert!(!wait_fd(reader.as_fd(), Interest::Read, limit)?);
/// rustlet::spawn(move || drop(writer));
/// assert!(wait_fd(reader.as_fd(), Interest::Read, None)?); // the end
/// # std::io::Result::Ok(())
/// ```
pub fn wait_fd(
    fd: BorrowedFd<'_>,
    interest: Interest,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    match thread::wait_fd(fd, flags, Some(0)) {
        Ok(true) => return Ok(true),
        Ok(false) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let duplicate = Source::new(fd.try_clone_to_owned()?);
    ready_in_time(duplicate.wait(interest, timeout))
}

impl<T: AsFd> Read for &Io<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.operate(Interest::Read, |mut inner| inner.read(buf))
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.operate(Interest::Read, |mut inner| inner.read_vectored(bufs))
    }
}

impl<T: AsFd> Write for &Io<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.operate(Interest::Write, |mut inner| inner.write(buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.operate(Interest::Write, |mut inner| inner.write_vectored(bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.operate(Interest::Write, |mut inner| inner.flush())
    }
}

impl<T: AsFd> Read for Io<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(bufs)
    }
}

impl<T: AsFd> Write for Io<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl<T: AsFd> AsFd for Io<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<T: AsFd> AsRawFd for Io<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<T: AsFd + fmt::Debug> fmt::Debug for Io<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Io").field(self.get_ref()).finish()
    }
}
