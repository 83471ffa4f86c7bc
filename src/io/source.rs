//! `Source<S>`: a std type whose descriptor is non-blocking and registered with the reactor.
//!
//! Options and addresses are asked of the std type, which makes plain system calls for them; what
//! could block goes through [`Source::operate`] and raw system calls.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

use crate::reactor::{Interest, Registration};
use crate::sys::{clock, thread};

/// What std keeps in the kernel's socket, where all clones of a handle see it: kept here instead,
/// because the kernel's own would make the descriptor block.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The caller asked for `WouldBlock` instead of waiting.
    nonblocking: AtomicBool,
    /// In nanoseconds; 0 for none.
    read_timeout: AtomicU64,
    write_timeout: AtomicU64,
}

impl Options {
    fn cell(&self, interest: Interest) -> &AtomicU64 {
        match interest {
            Interest::Read => &self.read_timeout,
            Interest::Write => &self.write_timeout,
        }
    }

    pub(crate) fn timeout(&self, interest: Interest) -> Option<Duration> {
        match self.cell(interest).load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// # Errors
    /// `InvalidInput` for a duration of zero.
    pub(crate) fn set_timeout(
        &self,
        interest: Interest,
        value: Option<Duration>,
    ) -> io::Result<()> {
        if value == Some(Duration::ZERO) {
            return Err(zero_timeout());
        }
        let nanos = value.map_or(0, clock::nanos);
        self.cell(interest).store(nanos, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn set_nonblocking(&self, nonblocking: bool) {
        self.nonblocking.store(nonblocking, Ordering::Relaxed);
    }

    pub(crate) fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }
}

/// std's error for a timeout of zero.
pub(crate) fn zero_timeout() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "cannot set a 0 duration timeout",
    )
}

/// Owns a descriptor and its registrations; releases them before it closes.
#[derive(Debug)]
pub(crate) struct Source<S: AsFd> {
    /// `None` only between [`Source::into_inner`] and the drop it ends in.
    inner: Option<S>,
    registration: Registration,
    options: Arc<Options>,
}

impl<S: AsFd> Source<S> {
    /// Takes over a descriptor that is non-blocking already.
    pub(crate) fn new(inner: S) -> Self {
        Source::with_options(inner, Arc::default())
    }

    /// As [`Source::new`], for a second descriptor of the same socket.
    pub(crate) fn with_options(inner: S, options: Arc<Options>) -> Self {
        Source {
            inner: Some(inner),
            registration: Registration::default(),
            options,
        }
    }

    pub(crate) fn options(&self) -> &Arc<Options> {
        &self.options
    }

    /// The std type, for options and addresses.
    #[inline]
    pub(crate) fn inner(&self) -> &S {
        self.inner.as_ref().expect("taken only by into_inner")
    }

    /// The std type, with which the caller may do anything: its registrations are released first, and made again when
    /// somebody waits.
    pub(super) fn inner_mut(&mut self) -> &mut S {
        let inner = self.inner.as_mut().expect("taken only by into_inner");
        self.registration.release(inner.as_fd());
        inner
    }

    pub(super) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Gives the descriptor up, unregistered; it is still non-blocking.
    pub(crate) fn into_inner(mut self) -> S {
        let inner = self.inner.take().expect("taken once");
        self.registration.release(inner.as_fd());
        inner
    }

    /// Runs `op` until it does not say "would block", waiting for `interest` for as long as
    /// `timeout` allows. See [`Registration::operate`].
    ///
    /// # Errors
    /// `op`'s own. `WouldBlock` when the timeout passed, as std's sockets say on Unix, and at
    /// once if the caller set the descriptor non-blocking. `EBADF` when it was closed meanwhile.
    pub(crate) fn operate<T>(
        &self,
        interest: Interest,
        timeout: Option<Duration>,
        op: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> io::Result<T> {
        self.run(interest, timeout, |_| false, op)
    }

    /// As [`Source::operate`] for a read or write of `asked` bytes: one that moved fewer has
    /// emptied (or filled) the descriptor, so the next waits first.
    pub(crate) fn transfer(
        &self,
        interest: Interest,
        asked: usize,
        op: impl FnMut(BorrowedFd<'_>) -> Result<usize, Errno>,
    ) -> io::Result<usize> {
        let emptied = |&moved: &usize| 0 < moved && moved < asked;
        self.run(interest, self.options.timeout(interest), emptied, op)
    }

    /// As [`Source::operate`], where `emptied` says of a result that it emptied (or filled) the
    /// descriptor. It must not say so when it cannot know: then no edge may come any more.
    #[inline]
    pub(crate) fn run<T>(
        &self,
        interest: Interest,
        timeout: Option<Duration>,
        emptied: impl Fn(&T) -> bool,
        mut op: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let fd = self.inner().as_fd();
        if self.options.is_nonblocking() {
            return op(fd).map_err(Into::into);
        }
        self.registration.operate(
            fd,
            interest,
            || timeout.map(clock::after),
            || Errno::AGAIN.into(),
            emptied,
            || op(fd),
        )
    }

    /// Waits until the descriptor is ready for `interest`, also if the caller set it non-blocking: for
    /// system calls that are made elsewhere.
    ///
    /// # Errors
    /// As [`Source::operate`], but for the last but one.
    pub(crate) fn wait(&self, interest: Interest, timeout: Option<Duration>) -> io::Result<()> {
        let fd = self.inner().as_fd();
        let flags = match interest {
            Interest::Read => PollFlags::IN,
            Interest::Write => PollFlags::OUT,
        };
        self.registration.operate(
            fd,
            interest,
            || timeout.map(clock::after),
            || Errno::AGAIN.into(),
            |()| false,
            // What the registration remembers of readiness may be old, as it sees nothing of such calls.
            || match thread::wait_fd(fd, flags, Some(0))? {
                true => Ok(()),
                false => Err(Errno::AGAIN),
            },
        )
    }

    /// Whether [`Source::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.registration.is_closed()
    }

    /// Wakes everybody who waits for the descriptor with an error; later operations fail too.
    pub(crate) fn close(&self) {
        self.registration.close(self.inner().as_fd());
    }
}

impl<S: AsFd> Drop for Source<S> {
    fn drop(&mut self) {
        if let Some(inner) = &self.inner {
            self.registration.release(inner.as_fd());
        }
    }
}
