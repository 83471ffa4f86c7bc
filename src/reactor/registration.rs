//! A descriptor's side of the reactor: where it is registered, and the loop that waits.

mod poll;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::PollFlags;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::source::{Interest, Key};
use super::{Reactor, remote};
use crate::scheduler::TaskRef;
use crate::scheduler::hub::{self, Hub};
use crate::scheduler::park::{self, ParkError, WaitReason};
use crate::sys::clock::{self, Nanos};
use crate::sys::fork;
use crate::timer::{self, Deadline};

/// Lives beside a descriptor in the object that owns both, and is [`Registration::release`]d
/// before the descriptor is closed.
///
/// It may be used from several threads; each hub that waits for the descriptor registers it for
/// itself. Nearly always that is one, whose key is kept in two atomics.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    /// The first hub that registered it; 0 for none. Written under the lock of `others`.
    home: AtomicU64,
    /// The key there. Written under the lock too, before `home`.
    key: AtomicU64,
    /// Registrations with further hubs.
    others: Mutex<Vec<(u64, Key)>>,
    closed: AtomicBool,
}

impl Registration {
    /// The key in this thread's reactor, if it is registered there.
    fn find(&self, hub_id: u64) -> Option<Key> {
        match self.home.load(Ordering::Acquire) {
            0 => None,
            home if home == hub_id => Some(Key::from_token(self.key.load(Ordering::Acquire))),
            _ => self.find_other(hub_id),
        }
    }

    #[cold]
    fn find_other(&self, hub_id: u64) -> Option<Key> {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        others
            .iter()
            .find(|(other, _)| *other == hub_id)
            .map(|&(_, key)| key)
    }

    /// Registers with this thread's reactor, unless the descriptor has been closed.
    ///
    /// The lock makes it one step for [`Registration::release`]: either that finds what is written
    /// here, key and all, or this finds the descriptor closed.
    #[cold]
    fn register(&self, hub: &'static Hub, fd: BorrowedFd<'_>) -> io::Result<Here> {
        let reactor = Reactor::get()?;
        let hub_id = hub.shared.hub_id();
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Ordering::Acquire) {
            return Err(Errno::BADF.into());
        }
        let key = reactor.register(fd)?;
        if self.home.load(Ordering::Acquire) == 0 {
            self.key.store(key.token(), Ordering::Relaxed);
            self.home.store(hub_id, Ordering::Release);
        } else {
            // Hubs end with their threads; a listener may outlive many.
            others.retain(|&(other, _)| remote(other).is_some());
            others.push((hub_id, key));
        }
        Ok(Here { reactor, key })
    }

    /// This thread's view of the registration, if there is one.
    #[inline]
    fn here(&self, hub: &'static Hub) -> Option<Here> {
        let key = self.find(hub.shared.hub_id())?;
        Some(Here {
            reactor: Reactor::of(hub)?,
            key,
        })
    }

    /// Tries `op` until it does not say "would block", waiting for `interest` in between.
    ///
    /// `op` must not block the thread: the descriptor is non-blocking. `EINTR` is retried. `emptied` says
    /// of a result that the descriptor has no more (or takes no more): the next operation then waits
    /// for an edge at once.
    ///
    /// # Errors
    /// `op`'s own; `expired()` when `deadline` has come; `EBADF` when the descriptor was closed
    /// while waiting; what registering says (no memory, `EMFILE` for the epoll instance itself).
    pub(crate) fn operate<T>(
        &self,
        fd: BorrowedFd<'_>,
        interest: Interest,
        deadline: impl FnOnce() -> Option<Nanos>,
        expired: impl FnOnce() -> io::Error,
        emptied: impl Fn(&T) -> bool,
        mut op: impl FnMut() -> Result<T, Errno>,
    ) -> io::Result<T> {
        let hub = hub::get();
        // Before the operation, never after it: what it has moved must not be lost to a kill, and what it
        // says about readiness is old once the hub has fetched events.
        hub.spend_budget();
        if self.closed.load(Ordering::Acquire) {
            return Err(Errno::BADF.into());
        }
        let mut here = self.here(hub);
        let mut deadline = Some(deadline);
        let mut armed = None;
        // Worth trying, unless the last operation emptied the descriptor and no edge has come since.
        let mut ready = here.is_none_or(|here| here.is_ready(interest));
        loop {
            if ready {
                let result = retry(&mut op);
                let clear = match &result {
                    Err(Errno::AGAIN) => true,
                    Ok(value) => emptied(value),
                    Err(_) => false,
                };
                if clear && let Some(here) = here {
                    here.clear(interest, result.is_err());
                }
                if !matches!(result, Err(Errno::AGAIN)) {
                    return result.map_err(Into::into);
                }
            }
            let place = match here {
                Some(here) => here,
                None => *here.insert(self.register(hub, fd)?),
            };
            let armed = armed.get_or_insert_with(|| {
                Deadline::new(deadline.take().and_then(|deadline| deadline()))
            });
            if !self.wait(hub, place, fd, interest, armed)? {
                return Err(expired());
            }
            ready = true;
        }
    }

    /// Waits until `interest` may be ready; false if `deadline` came first.
    fn wait(
        &self,
        hub: &'static Hub,
        here: Here,
        fd: BorrowedFd<'_>,
        interest: Interest,
        deadline: &Deadline,
    ) -> io::Result<bool> {
        let reason = match interest {
            Interest::Read => WaitReason::readable(fd.as_raw_fd()),
            Interest::Write => WaitReason::writable(fd.as_raw_fd()),
        };
        let task = &hub.current().task;
        loop {
            if self.closed.load(Ordering::Acquire) {
                return Err(Errno::BADF.into());
            }
            {
                let mut sources = here.reactor.sources.borrow_mut();
                let source = sources.get_mut(here.key).ok_or(Errno::BADF)?;
                if source.is_ready(interest) {
                    return Ok(true);
                }
                if deadline.has_come() {
                    return Ok(false);
                }
                source.add_waiter(interest, task.clone());
            }
            let _waiting = Waiting::new(here, interest, task);
            match park::park(reason) {
                Ok(()) => {}
                Err(ParkError::Unwinding) => return block_thread(fd, interest, deadline),
                Err(ParkError::Deadlock(report)) => timer::no_deadlock(report),
            }
        }
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Marks the descriptor closed and wakes everybody who waits for it, with an error.
    pub(crate) fn close(&self, fd: BorrowedFd<'_>) {
        self.closed.store(true, Ordering::Release);
        self.release(fd);
    }

    /// Takes the descriptor out of every reactor. To be called before it is closed.
    pub(crate) fn release(&self, fd: BorrowedFd<'_>) {
        // The epoll instances of a fork's child are the parent's, which goes on waiting for its own descriptor; and locks may be held for ever.
        if fork::is_child() {
            return;
        }
        let (home, others) = {
            let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
            let home = match self.home.swap(0, Ordering::AcqRel) {
                0 => None,
                hub_id => Some((hub_id, Key::from_token(self.key.load(Ordering::Relaxed)))),
            };
            (home, core::mem::take(&mut *others))
        };
        for (hub_id, key) in home.into_iter().chain(others) {
            release_from(hub_id, key, fd);
        }
    }
}

/// A registration as this thread's reactor has it.
#[derive(Clone, Copy)]
struct Here {
    reactor: &'static Reactor,
    key: Key,
}

impl Here {
    #[inline]
    fn is_ready(self, interest: Interest) -> bool {
        let mut sources = self.reactor.sources.borrow_mut();
        // Gone means closed: the operation will say so.
        sources
            .get_mut(self.key)
            .is_none_or(|source| source.is_ready(interest))
    }

    #[inline]
    fn clear(self, interest: Interest, would_block: bool) {
        let mut sources = self.reactor.sources.borrow_mut();
        if let Some(source) = sources.get_mut(self.key) {
            source.clear(interest, would_block);
        }
    }
}

/// Takes a descriptor out of one hub's reactor, which may be another thread's.
fn release_from(hub_id: u64, key: Key, fd: BorrowedFd<'_>) {
    if let Some(hub) = hub::existing()
        && hub.shared.hub_id() == hub_id
    {
        if let Some(reactor) = Reactor::existing() {
            reactor.deregister(key, fd);
        }
    } else if let Some(remote) = remote(hub_id) {
        let _ = remote.epoll.remove(fd);
        remote
            .closed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(key);
        remote.shared.ring();
    }
}

/// Retries `op` while a signal interrupts it.
fn retry<T>(op: &mut impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match op() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// Waits without suspending, for a caller that is unwinding.
fn block_thread(fd: BorrowedFd<'_>, interest: Interest, deadline: &Deadline) -> io::Result<bool> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    loop {
        match crate::sys::thread::wait_fd(fd, flags, deadline.at()) {
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(ready) if ready || deadline.at().is_some_and(|at| clock::now() >= at) => {
                return Ok(ready);
            }
            Ok(_) => {}
        }
    }
}

/// Counts a waiter, and takes it out of its source however the wait ends.
struct Waiting<'a> {
    here: Here,
    interest: Interest,
    task: &'a TaskRef,
}

impl<'a> Waiting<'a> {
    fn new(here: Here, interest: Interest, task: &'a TaskRef) -> Self {
        here.reactor.waiters.set(here.reactor.waiters.get() + 1);
        Waiting {
            here,
            interest,
            task,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let reactor = self.here.reactor;
        reactor.waiters.set(reactor.waiters.get() - 1);
        if let Some(source) = reactor.sources.borrow_mut().get_mut(self.here.key) {
            source.remove_waiter(self.interest, self.task);
        }
    }
}
