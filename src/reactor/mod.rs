//! Readiness of file descriptors: epoll, one instance a hub.
//!
//! # Contract
//! This is what the layers to the right may rely on, and what a second backend must give.
//! 1. An operation is tried first and waits only when the kernel says it would block; [`Registration::operate`] is
//!    that loop. Waiting is by [`mod@crate::scheduler::park`]; the deadline is the caller's.
//! 2. A descriptor is registered once per hub, on its first wait there, edge-triggered for both directions.
//!    It leaves the hub when it is closed.
//! 3. Readiness is remembered between waits: an edge sets it, "would block" clears it, and so does
//!    a short read or write: the next operation goes
//!    straight to waiting, which saves a system call each round. A short read is
//!    not the end: once the peer has closed (`read_closed`), readiness stays set, since no
//!    further edge would come.
//! 4. Any number of greenlets may wait for each direction of one descriptor. An edge wakes all of that
//!    direction, first come first; those that find nothing wait again.
//! 5. [`Registration::close`] wakes every waiter, on every hub, with an error. No waiter is left
//!    behind by a close; dropping needs none of this, as a waiter borrows what it waits for.
//! 6. Events carry the generation of the source they are for; an event for a descriptor that is gone (a
//!    duplicate kept the file open, or it was in the same batch) is recognised and ignored.
//! 7. A direction keeps, beside its greenlets, the waker of one future: of the one that was polled last and found
//!    nothing ([`Registration::poll_operate`]). An edge and a close wake greenlets and future. The waker lies
//!    with the hub on whose thread the future was polled, so that thread has to run its hub when it has nothing else to do. Wakers are
//!    anybody's code: they are called when nothing of the reactor is borrowed.
//! 8. A poll blocks no longer than the hub says; there is no tick.
//!
//! # Who may call what
//! Everything on a hub's thread, except that a [`Registration`] may be closed and dropped on any.
//! The waiters of a source all belong to its hub, so none of this needs a lock; a foreign thread
//! leaves a note in [`Remote`] and rings.
//!
//! # Rejected
//! A timerfd that stays set for a deadline that is far away, so that waits need no limit of their own: a microsecond of 18 less for a request
//! that ends a sleep with a timeout, measured; for that, a descriptor more for each hub, and an idle process is woken once for a
//! deadline that is gone.

mod registration;
mod source;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use crate::scheduler::BUDGET;
use crate::scheduler::driver::{Poller, Wait};
use crate::scheduler::hub::{self, Hub};
use crate::scheduler::inbox::Shared;
use crate::scheduler::wakers;
use crate::sys::clock;
use crate::sys::epoll::{Epoll, EventBuffer};
use crate::timer;
use rustix::fd::BorrowedFd;
use source::{Key, Sources};

pub(crate) use registration::Registration;
pub use source::Interest;

/// Events taken from the kernel at once; the rest come with the next poll.
const EVENTS: usize = 1024;
/// The token of the hub's bell; no source has it.
const BELL: u64 = u64::MAX;

/// One hub's epoll instance and the sources registered with it.
#[derive(Debug)]
pub(crate) struct Reactor {
    sources: RefCell<Sources>,
    /// Greenlets that wait, and wakers that are kept.
    waiters: Cell<usize>,
    /// Operations of polled futures that may succeed before one has to let others run.
    budget: Cell<u32>,
    /// Scratch: wakers on their way from a source to being called.
    wakers: RefCell<Vec<Waker>>,
    events: RefCell<EventBuffer>,
    remote: Arc<Remote>,
}

/// What other threads may do with a reactor.
#[derive(Debug)]
struct Remote {
    epoll: Epoll,
    shared: &'static Shared,
    hub_id: u64,
    /// Sources whose descriptors were closed on other threads.
    closed: Mutex<Vec<Key>>,
}

/// The reactors of all hubs, for closing from another thread.
static REMOTES: Mutex<Vec<Arc<Remote>>> = Mutex::new(Vec::new());

/// Finds the reactor of another hub, while it lives.
fn remote(hub_id: u64) -> Option<Arc<Remote>> {
    let remotes = REMOTES.lock().unwrap_or_else(PoisonError::into_inner);
    remotes
        .iter()
        .find(|remote| remote.hub_id == hub_id)
        .cloned()
}

impl Reactor {
    /// This thread's reactor, made on first use.
    ///
    /// # Errors
    /// No descriptor for the epoll instance or the hub's bell (`EMFILE`, `ENFILE`), or no memory.
    fn get() -> io::Result<&'static Reactor> {
        match Reactor::existing() {
            Some(reactor) => Ok(reactor),
            None => Reactor::make(),
        }
    }

    fn existing() -> Option<&'static Reactor> {
        Reactor::of(hub::get())
    }

    /// A hub's reactor, if it has one.
    #[inline]
    fn of(hub: &'static Hub) -> Option<&'static Reactor> {
        hub.poller()?.as_any().downcast_ref()
    }

    #[cold]
    fn make() -> io::Result<&'static Reactor> {
        let hub = hub::get();
        let epoll = Epoll::new()?;
        epoll.add_input(hub.shared.bell()?, BELL)?;
        let remote = Arc::new(Remote {
            epoll,
            shared: hub.shared,
            hub_id: hub.shared.hub_id(),
            closed: Mutex::new(Vec::new()),
        });
        REMOTES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(remote.clone());
        hub.attach_poller(Rc::new(Reactor {
            sources: RefCell::default(),
            waiters: Cell::new(0),
            budget: Cell::new(BUDGET),
            wakers: RefCell::default(),
            events: RefCell::new(EventBuffer::with_capacity(EVENTS)),
            remote,
        }));
        Ok(Reactor::existing().expect("just attached"))
    }

    /// Registers a descriptor; nothing is known to be ready until its first event.
    fn register(&self, fd: BorrowedFd<'_>) -> io::Result<Key> {
        let key = self.sources.borrow_mut().insert();
        if let Err(error) = self.remote.epoll.add(fd, key.token()) {
            self.sources.borrow_mut().remove(key);
            return Err(error.into());
        }
        Ok(key)
    }

    /// Takes a descriptor out, before it is closed.
    fn deregister(&self, key: Key, fd: BorrowedFd<'_>) {
        // It fails if the descriptor was closed behind our back; then the kernel has removed it.
        let _ = self.remote.epoll.remove(fd);
        self.end(key);
    }

    /// Removes a source, and wakes those who wait for it.
    fn end(&self, key: Key) {
        let source = self.sources.borrow_mut().remove(key);
        if let Some(source) = source {
            let mut wakers = self.wakers.take();
            source.wake_all(&mut wakers);
            self.call(wakers);
        }
    }

    /// Calls wakers that were taken out of their sources. Nothing may be borrowed.
    #[inline]
    fn call(&self, mut wakers: Vec<Waker>) {
        if !wakers.is_empty() {
            self.waiters.set(self.waiters.get() - wakers.len());
            wakers.drain(..).for_each(wakers::wake);
        }
        self.wakers.replace(wakers);
    }

    /// Counts an operation of a polled future; true if it has to let others run first.
    fn spend_poll_budget(&self) -> bool {
        let left = self.budget.get();
        self.budget.set(left.checked_sub(1).unwrap_or(BUDGET));
        left == 0
    }

    /// Frees the sources that other threads have closed.
    fn bury(&self) {
        let closed = {
            let mut closed = self
                .remote
                .closed
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            core::mem::take(&mut *closed)
        };
        for key in closed {
            self.end(key);
        }
    }
}

/// Blocks the thread until a descriptor is ready, its hub's bell rings, or a timer is due, and wakes whom that concerns. No
/// greenlet runs: this is for code that must wait and cannot be suspended.
pub(crate) fn turn() {
    let wait = timer::next_alarm().map_or(Wait::Forever, Wait::Until);
    if let Err(error) = Reactor::get().and_then(|reactor| reactor.poll(wait)) {
        tracing::error!(target: "rustlet", %error, "polling descriptors failed");
        crate::sys::thread::sleep_until(clock::now() + 1_000_000);
    }
    timer::fire_due();
}

impl Poller for Reactor {
    fn poll(&self, wait: Wait) -> io::Result<()> {
        let mut events = self.events.borrow_mut();
        self.remote.epoll.wait(&mut events, wait.deadline())?;
        self.budget.set(BUDGET);
        let mut wakers = self.wakers.take();
        let mut rung = false;
        let counters = &hub::get().counters;
        let mut sources = self.sources.borrow_mut();
        for event in events.iter() {
            if event.token == BELL {
                // Edge-triggered and never read: it rings again with the next write.
                rung = true;
            } else if let Some(source) = sources.get_mut(Key::from_token(event.token)) {
                counters.events.add(1);
                source.apply(&event, &mut wakers);
            }
        }
        drop((sources, events));
        self.call(wakers);
        if rung {
            self.bury();
        }
        Ok(())
    }

    fn has_waiters(&self) -> bool {
        self.waiters.get() > 0
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        REMOTES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|remote| !Arc::ptr_eq(remote, &self.remote));
    }
}
