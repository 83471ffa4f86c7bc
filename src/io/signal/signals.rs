//! `Signals`: one listener to one kind of signal.
//!
//! It remembers the count that it has seen, and waits on a duplicate of the bell of its own ([`signal_delivery`]). Not
//! on one that all share: a descriptor's readiness is remembered for all who wait for it, and the first listener to find
//! nothing new would clear it for those who have not looked yet.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::SignalKind;
use crate::io::source::Source;
use crate::reactor::Interest;
use crate::sys::{clock, signal_delivery, thread};

/// How often a listener that must not suspend looks: 1 ms.
const NAP: clock::Nanos = 1_000_000;

/// Receives signals of one kind.
///
/// Each of several sees all signals; greenlets that share one share what it sees. What is guaranteed is said on
/// [the module's page](super).
pub struct Signals {
    kind: SignalKind,
    bell: Source<OwnedFd>,
    /// The count of deliveries up to which this has told of.
    seen: AtomicU64,
}

impl Signals {
    /// Listens to signals of one kind, from now on. What happened upon such a signal by default does not happen any more.
    ///
    /// Takes a descriptor.
    ///
    /// # Errors
    /// `InvalidInput` for SIGKILL and SIGSTOP, which cannot be listened to; SIGSEGV, SIGBUS, SIGILL and SIGFPE, after which a
    /// program cannot go on; and numbers that are no signal's. No descriptor is left.
    pub fn new(kind: SignalKind) -> io::Result<Signals> {
        let bell = signal_delivery::listen(kind.as_raw_value()).map_err(|error| match error {
            Errno::INVAL => io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{kind:?} is not a signal that can be listened to"),
            ),
            error => error.into(),
        })?;
        // After the handler was installed: what is delivered from here on is news.
        Ok(Signals::starting_at(
            kind,
            bell,
            signal_delivery::count(kind.as_raw_value()),
        ))
    }

    fn starting_at(kind: SignalKind, bell: OwnedFd, seen: u64) -> Self {
        Signals {
            kind,
            bell: Source::new(bell),
            seen: AtomicU64::new(seen),
        }
    }

    /// The kind that it listens to.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }

    /// A second listener to the same kind, which has seen what this one has.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn try_clone(&self) -> io::Result<Signals> {
        let bell = self.bell.inner().try_clone()?;
        let seen = self.seen.load(Ordering::Acquire);
        Ok(Signals::starting_at(self.kind, bell, seen))
    }

    /// How many signals have been delivered since this last told of some, without waiting; 0 if none has.
    pub fn try_recv(&self) -> u64 {
        let now = signal_delivery::count(self.kind.as_raw_value());
        // The larger: of two that look at the same time the one that saw more may come first.
        now.saturating_sub(self.seen.fetch_max(now, Ordering::AcqRel))
    }

    /// Waits for a signal; returns how many have been delivered since this last told of some.
    ///
    /// # Errors
    /// No descriptor for the thread's epoll instance.
    pub fn recv(&self) -> io::Result<u64> {
        self.wait(None)
            .map(|count| count.expect("only a limit ends it early"))
    }

    /// As [`Signals::recv`], but no longer than `limit`; `None` if none came in that time.
    ///
    /// # Errors
    /// As [`Signals::recv`].
    pub fn recv_timeout(&self, limit: Duration) -> io::Result<Option<u64>> {
        self.wait(Some(limit))
    }

    /// An endless iterator over what [`Signals::recv`] returns.
    pub fn iter(&self) -> Iter<'_> {
        Iter { signals: self }
    }

    fn wait(&self, limit: Option<Duration>) -> io::Result<Option<u64>> {
        if crate::scheduler::cannot_suspend() {
            return Ok(self.block_thread(limit.map(clock::after)));
        }
        let counted = self
            .bell
            .operate(Interest::Read, limit, |_| match self.try_recv() {
                0 => Err(Errno::AGAIN),
                count => Ok(count),
            });
        match counted {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits without suspending, for a caller that is unwinding. By naps, as the bell stays readable.
    fn block_thread(&self, deadline: Option<clock::Nanos>) -> Option<u64> {
        loop {
            let count = self.try_recv();
            if count > 0 {
                return Some(count);
            }
            let now = clock::now();
            if deadline.is_some_and(|at| now >= at) {
                return None;
            }
            thread::sleep_until(deadline.map_or(now + NAP, |at| at.min(now + NAP)));
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What a listener hears, without end; see [`Signals::iter`].
#[derive(Debug)]
#[must_use = "iterators are lazy"]
pub struct Iter<'a> {
    signals: &'a Signals,
}

impl Iterator for Iter<'_> {
    type Item = io::Result<u64>;
    fn next(&mut self) -> Option<Self::Item> {
        Some(self.signals.recv())
    }
}

impl<'a> IntoIterator for &'a Signals {
    type Item = io::Result<u64>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
