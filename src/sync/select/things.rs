//! Arms that wait for a thing to become ready, and take nothing: events, the ends of greenlets.
#![allow(unsafe_code)] // Links waiters, which are in the arms.

use std::sync::Arc;

use super::wait::{Choose, Place};
use crate::scheduler::waitable::Readiness;
use crate::scheduler::{Greenlet, Handle};
use crate::sync::queue::slot::Slot;
use crate::sync::{AsyncResult, BoundedSemaphore, Event, Semaphore, WaitGroup};

/// What an arm `wait` can wait for.
///
/// - An [`Event`] that is set. (Or was, while the select waited: as [`Event::wait`].)
/// - A [`Greenlet`] that has ended: then [`Greenlet::join`] does not wait. Or a [`Handle`] to one.
/// - An [`AsyncResult`] that has a value, a [`WaitGroup`] that nobody is left in.
/// - A [`Semaphore`] that has a permit, which is not taken: somebody else may be faster.
///
/// And references to these, and `Arc`s. The trait is sealed.
#[expect(private_bounds, reason = "sealed")]
pub trait Selectable: Waits {}

impl<W: Waits + ?Sized> Selectable for W {}

/// How a thing is waited for.
pub(super) trait Waits {
    fn thing(&self) -> Thing<'_>;
}

pub(super) enum Thing<'a> {
    /// Grants waiters.
    Event(&'a Event),
    /// Tells that it may have become ready.
    Other(&'a dyn Readiness),
}

impl Waits for Event {
    fn thing(&self) -> Thing<'_> {
        Thing::Event(self)
    }
}

macro_rules! others {
    ($([$($generics:tt)*] $name:ty,)*) => {$(
        impl<$($generics)*> Waits for $name {
            fn thing(&self) -> Thing<'_> {
                Thing::Other(self)
            }
        }
    )*};
}
others! {
    [] Handle,
    [T] Greenlet<T>,
    [T, E] AsyncResult<T, E>,
    [] WaitGroup,
    [] Semaphore,
    [] BoundedSemaphore,
}

impl<W: Waits + ?Sized> Waits for &W {
    fn thing(&self) -> Thing<'_> {
        (**self).thing()
    }
}

impl<W: Waits + ?Sized> Waits for Arc<W> {
    fn thing(&self) -> Thing<'_> {
        (**self).thing()
    }
}

/// Waits for `thing`, until something is chosen.
pub fn wait<W: Selectable + ?Sized>(thing: &W) -> Wait<'_> {
    Wait {
        thing: thing.thing(),
        slot: Slot::new(None),
        link: Link::None,
        is_chosen: false,
    }
}

/// See [`wait`].
#[expect(missing_debug_implementations, reason = "hidden")]
pub struct Wait<'a> {
    thing: Thing<'a>,
    slot: Slot<()>,
    link: Link,
    is_chosen: bool,
}

enum Link {
    None,
    /// The slot's waiter, at an event.
    Waiter,
    /// The number of a registration.
    Registration(u64),
}

impl Wait<'_> {
    /// Says so, if this is what was chosen.
    pub fn finish(self) -> Option<()> {
        self.is_chosen.then_some(())
    }
}

impl Choose for Wait<'_> {
    fn try_now(&mut self) -> bool {
        match self.thing {
            Thing::Event(event) => event.is_set(),
            Thing::Other(thing) => thing.is_ready(),
        }
    }

    fn link(&mut self, place: &Place<'_>) -> bool {
        self.link = match self.thing {
            Thing::Event(event) => {
                // SAFETY: it is not linked.
                let waiter = unsafe { self.slot.enlist(place.waiter()) };
                // It stays where it is until `unlink`, which the caller sees to.
                if event.enqueue(waiter) {
                    Link::Waiter
                } else {
                    Link::None
                }
            }
            Thing::Other(thing) => {
                let (signal, index) = place.signal();
                let registration = thing.register(signal, index);
                registration.map_or(Link::None, Link::Registration)
            }
        };
        !matches!(self.link, Link::None)
    }

    fn unlink(&mut self) {
        match (core::mem::replace(&mut self.link, Link::None), &self.thing) {
            (Link::Waiter, Thing::Event(event)) => {
                // SAFETY: it was enlisted.
                event.give_up(unsafe { self.slot.waiter() });
            }
            (Link::Registration(number), Thing::Other(thing)) => thing.unregister(number),
            _ => {}
        }
    }

    fn chosen(&mut self) {
        self.is_chosen = true;
    }

    fn is_told(&self) -> bool {
        matches!(self.thing, Thing::Other(_))
    }

    fn is_ready_after_all(&mut self, place: &Place<'_>) -> bool {
        // What told may have been an earlier registration, from which the present one is not gone.
        self.unlink();
        self.try_now() || !self.link(place)
    }

    fn is_external(&self) -> bool {
        match self.thing {
            Thing::Event(_) => true,
            Thing::Other(thing) => thing.is_external(),
        }
    }
}
