//! Those who are told of a task's end: who waits for it, links, and the waker of its handle.
//!
//! Mostly there is nobody, or one who waits: neither needs an allocation. Each is numbered by the order in which it
//! came, so that a hundred thousand who give up waiting take a logarithm each, not a search.
//!
//! Links are told first, in the order of their numbers; then those who wait are woken, in theirs. A link
//! stays here until its greenlet takes it ([`super::link`]), so that it can be taken back until then.
//! The waker comes last. There is one at most: it is left by the handle that the outcome belongs to,
//! of which there is one ([`super::future`]).

use core::mem;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;

use super::link::{Added, Link, LinkId};
use super::park;
use super::task::TaskRef;
use super::waitable::Signal;
use super::wakers;

/// Someone who waits.
#[derive(Debug)]
pub(super) enum Waiter {
    /// Code that waits for this end alone.
    Task(TaskRef),
    /// Code that waits for one of many things, of which this is the one with that number.
    OneOfMany(Box<(Arc<Signal>, usize)>),
}

/// Which waiter; of no meaning after the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(pub(super) u64);

/// The ticket of one who is alone.
const ALONE: Ticket = Ticket(0);

#[derive(Debug, Default)]
pub(super) enum Joiners {
    #[default]
    None,
    One(Waiter),
    Many(Box<Crowd>),
}

#[derive(Debug, Default)]
pub(super) struct Crowd {
    waiters: BTreeMap<Ticket, Waiter>,
    next: u64,
    links: BTreeMap<LinkId, Link>,
    waker: Option<Waker>,
}

impl Waiter {
    fn wake(self) {
        match self {
            Waiter::Task(task) => park::unpark(&task),
            Waiter::OneOfMany(place) => place.0.notify(place.1),
        }
    }
}

impl Joiners {
    pub(super) fn push(&mut self, waiter: Waiter) -> Ticket {
        if let Joiners::None = self {
            *self = Joiners::One(waiter);
            return ALONE;
        }
        let crowd = self.crowd();
        let ticket = Ticket(crowd.next);
        crowd.next += 1;
        crowd.waiters.insert(ticket, waiter);
        ticket
    }

    /// Takes one back, to be dropped when the lock is free again.
    pub(super) fn remove(&mut self, ticket: Ticket) -> Option<Waiter> {
        match self {
            Joiners::None => None,
            Joiners::One(_) => match mem::take(self) {
                Joiners::One(waiter) => Some(waiter),
                _ => unreachable!("just matched"),
            },
            Joiners::Many(crowd) => crowd.waiters.remove(&ticket),
        }
    }

    /// Whether the waker that is here would wake the same as `waker`.
    pub(super) fn has_waker(&self, waker: &Waker) -> bool {
        match self {
            Joiners::Many(crowd) => {
                (crowd.waker.as_ref()).is_some_and(|mine| mine.will_wake(waker))
            }
            _ => false,
        }
    }

    /// Puts the waker, and returns the one before, to be dropped when the lock is free again.
    pub(super) fn set_waker(&mut self, waker: Waker) -> Option<Waker> {
        self.crowd().waker.replace(waker)
    }

    /// Takes the waker back, to be dropped as in [`Joiners::set_waker`].
    pub(super) fn remove_waker(&mut self) -> Option<Waker> {
        match self {
            Joiners::Many(crowd) => crowd.waker.take(),
            _ => None,
        }
    }

    pub(super) fn push_link(&mut self, id: LinkId, link: Link) {
        self.crowd().links.insert(id, link);
    }

    pub(super) fn remove_link(&mut self, id: LinkId) -> Option<Link> {
        match self {
            Joiners::Many(crowd) => crowd.links.remove(&id),
            _ => None,
        }
    }

    pub(super) fn remove_links(&mut self) -> BTreeMap<LinkId, Link> {
        match self {
            Joiners::Many(crowd) => mem::take(&mut crowd.links),
            _ => BTreeMap::new(),
        }
    }

    pub(super) fn has_links(&self) -> bool {
        matches!(self, Joiners::Many(crowd) if !crowd.links.is_empty())
    }

    /// What is to be told of the end: links, which stay, and waiters with the waker, which do not.
    pub(super) fn take(&mut self) -> (Vec<Added>, Waiters) {
        match self {
            Joiners::Many(crowd) => {
                let waiters = mem::take(&mut crowd.waiters);
                let links = crowd.links.iter();
                let links = links.map(|(&id, link)| (id, link.added_at()));
                (links.collect(), Waiters::Many(waiters, crowd.waker.take()))
            }
            _ => match mem::take(self) {
                Joiners::One(waiter) => (Vec::new(), Waiters::One(waiter)),
                _ => (Vec::new(), Waiters::None),
            },
        }
    }

    fn crowd(&mut self) -> &mut Crowd {
        if !matches!(self, Joiners::Many(_)) {
            let mut crowd = Crowd::default();
            if let Joiners::One(first) = mem::take(self) {
                crowd.waiters.insert(ALONE, first);
            }
            crowd.next = ALONE.0 + 1;
            *self = Joiners::Many(Box::new(crowd));
        }
        match self {
            Joiners::Many(crowd) => crowd,
            _ => unreachable!("made so above"),
        }
    }
}

/// Waiters that were taken out of their list, to be woken without its lock.
pub(super) enum Waiters {
    None,
    One(Waiter),
    Many(BTreeMap<Ticket, Waiter>, Option<Waker>),
}

impl Waiters {
    pub(super) fn wake(self) {
        match self {
            Waiters::None => {}
            Waiters::One(waiter) => waiter.wake(),
            Waiters::Many(all, waker) => {
                all.into_values().for_each(Waiter::wake);
                waker.into_iter().for_each(wakers::wake);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter() -> Waiter {
        Waiter::OneOfMany(Box::new((Arc::default(), 0)))
    }

    #[test]
    fn tickets_name_one_waiter_each() {
        let mut joiners = Joiners::default();
        let first = joiners.push(waiter());
        let second = joiners.push(waiter());
        let third = joiners.push(waiter());
        assert!(first < second && second < third);
        assert!(joiners.remove(second).is_some());
        assert!(joiners.remove(second).is_none());
        assert!(joiners.remove(first).is_some());
        assert_ne!(joiners.push(waiter()), third);
        assert!(joiners.remove(third).is_some());
    }

    #[test]
    fn one_waiter_needs_no_allocation_and_leaves_none() {
        let mut joiners = Joiners::default();
        let ticket = joiners.push(waiter());
        assert!(matches!(joiners, Joiners::One(_)));
        assert!(joiners.remove(ticket).is_some());
        assert!(matches!(joiners, Joiners::None));
        // A task with a small closure is to fit a cell.
        assert_eq!(size_of::<Joiners>(), 2 * size_of::<usize>());
    }
}
