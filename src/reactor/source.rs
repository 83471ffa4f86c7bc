//! The sources of a reactor: per registered descriptor, what is ready and who waits.

use std::task::Waker;

use crate::scheduler::{TaskRef, park};
use crate::sys::epoll::Event;

/// What an operation on a descriptor waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interest {
    /// Input, the end of it, or an error.
    Read,
    /// Room for output, or an error.
    Write,
}

/// Names a source. A stale key finds nothing: its generation differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// As epoll carries it. Never [`super::BELL`]: indices end below `u32::MAX`.
    pub(super) fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    pub(super) fn from_token(token: u64) -> Self {
        Key {
            index: token as u32,
            generation: (token >> 32) as u32,
        }
    }
}

/// One direction of a source.
#[derive(Debug, Default)]
struct Side {
    ready: bool,
    /// `ready` stays set until an operation would block: no further edge will come, or short operations say nothing here.
    last: bool,
    waiters: Waiters,
    /// The future that was polled last, and found nothing.
    waker: Option<Waker>,
}

impl Side {
    /// Greenlets are woken at once; a waker, which may be anybody's code, is handed out to be called when nothing
    /// is borrowed.
    fn wake(&mut self, wakers: &mut Vec<Waker>) {
        self.waiters.wake();
        wakers.extend(self.waker.take());
    }
}

/// A registered descriptor.
#[derive(Debug, Default)]
pub(super) struct Source {
    read: Side,
    write: Side,
}

/// Those who wait for one direction, in order. Mostly none or one, which needs no allocation.
#[derive(Debug, Default)]
struct Waiters {
    first: Option<TaskRef>,
    rest: Vec<TaskRef>,
}

impl Waiters {
    fn push(&mut self, task: TaskRef) {
        match self.first {
            None => self.first = Some(task),
            Some(_) => self.rest.push(task),
        }
    }

    /// Takes `task` out, if it is still there.
    fn remove(&mut self, task: &TaskRef) {
        if self.first.as_ref().is_some_and(|first| first.is(task)) {
            self.first = if self.rest.is_empty() {
                None
            } else {
                Some(self.rest.remove(0))
            };
        } else if let Some(index) = self.rest.iter().position(|other| other.is(task)) {
            self.rest.remove(index);
        }
    }

    fn wake(&mut self) {
        if let Some(first) = self.first.take() {
            park::unpark(&first);
            for task in self.rest.drain(..) {
                park::unpark(&task);
            }
        }
    }
}

impl Source {
    fn side(&mut self, interest: Interest) -> &mut Side {
        match interest {
            Interest::Read => &mut self.read,
            Interest::Write => &mut self.write,
        }
    }

    pub(super) fn is_ready(&mut self, interest: Interest) -> bool {
        self.side(interest).ready
    }

    /// The operation found nothing more, or took everything: wait for the next edge.
    pub(super) fn clear(&mut self, interest: Interest, would_block: bool) {
        let side = self.side(interest);
        // "Would block" is the kernel's word; a short operation is a guess that a closed peer refutes, and so does
        // urgent data, at which every read ends.
        side.ready = side.last && !would_block;
    }

    pub(super) fn add_waiter(&mut self, interest: Interest, task: TaskRef) {
        self.side(interest).waiters.push(task);
    }

    pub(super) fn remove_waiter(&mut self, interest: Interest, task: &TaskRef) {
        self.side(interest).waiters.remove(task);
    }

    /// Whether the waker that is here would wake the same as `waker`.
    pub(super) fn has_waker(&mut self, interest: Interest, waker: &Waker) -> bool {
        let mine = &self.side(interest).waker;
        mine.as_ref().is_some_and(|mine| mine.will_wake(waker))
    }

    /// Puts a direction's waker, and returns the one before.
    #[must_use = "to be dropped when nothing is borrowed"]
    pub(super) fn set_waker(&mut self, interest: Interest, waker: Waker) -> Option<Waker> {
        self.side(interest).waker.replace(waker)
    }

    /// Notes what the kernel says and wakes those it concerns. Waking touches the scheduler alone; wakers
    /// are left in `wakers`.
    pub(super) fn apply(&mut self, event: &Event, wakers: &mut Vec<Waker>) {
        for (side, ready, last) in [
            (
                &mut self.read,
                event.readable,
                event.read_closed || event.urgent,
            ),
            (&mut self.write, event.writable, event.write_closed),
        ] {
            side.ready |= ready;
            side.last |= last;
            if ready {
                side.wake(wakers);
            }
        }
    }

    /// Wakes everybody: the descriptor is closed.
    pub(super) fn wake_all(mut self, wakers: &mut Vec<Waker>) {
        self.read.wake(wakers);
        self.write.wake(wakers);
    }
}

/// A slab of sources with generations.
#[derive(Debug, Default)]
pub(super) struct Sources {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    source: Option<Source>,
}

impl Sources {
    pub(super) fn insert(&mut self) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                source: None,
            });
            u32::try_from(self.slots.len() - 1).expect("descriptors are fewer than 2^31")
        });
        let slot = &mut self.slots[index as usize];
        slot.source = Some(Source::default());
        Key {
            index,
            generation: slot.generation,
        }
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Source> {
        self.slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?
            .source
            .as_mut()
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Source> {
        let slot = self
            .slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)?;
        let source = slot.source.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(readable: bool, read_closed: bool) -> Event {
        Event {
            token: 0,
            readable,
            writable: false,
            read_closed,
            write_closed: false,
            urgent: false,
        }
    }

    #[test]
    fn a_stale_key_finds_nothing() {
        let mut sources = Sources::default();
        let old = sources.insert();
        assert!(sources.remove(old).is_some());
        let new = sources.insert();
        assert_eq!(old.index, new.index);
        assert!(sources.get_mut(old).is_none());
        assert!(sources.remove(old).is_none());
        assert!(sources.get_mut(Key::from_token(new.token())).is_some());
    }

    #[test]
    fn a_short_read_waits_for_the_next_edge_unless_the_peer_has_closed() {
        let mut source = Source::default();
        assert!(!source.is_ready(Interest::Read));
        source.apply(&event(true, false), &mut Vec::new());
        assert!(source.is_ready(Interest::Read));
        source.clear(Interest::Read, false);
        assert!(!source.is_ready(Interest::Read));
        source.apply(&event(true, true), &mut Vec::new());
        source.clear(Interest::Read, false);
        assert!(source.is_ready(Interest::Read), "no further edge will come");
        source.clear(Interest::Read, true);
        assert!(!source.is_ready(Interest::Read), "the kernel said so");
    }

    #[test]
    fn an_edge_hands_out_the_last_waker_of_its_direction() {
        struct Nobody;
        impl std::task::Wake for Nobody {
            fn wake(self: std::sync::Arc<Self>) {}
        }
        let mut source = Source::default();
        let waker = &Waker::from(std::sync::Arc::new(Nobody));
        let first = source.set_waker(Interest::Read, waker.clone());
        assert!(first.is_none() && source.has_waker(Interest::Read, waker));
        assert!(source.set_waker(Interest::Read, waker.clone()).is_some());
        assert!(!source.has_waker(Interest::Write, waker));
        let mut wakers = Vec::new();
        source.apply(&event(true, false), &mut wakers);
        source.apply(&event(true, false), &mut wakers);
        assert_eq!(wakers.len(), 1);
        assert!(source.set_waker(Interest::Write, waker.clone()).is_none());
        source.wake_all(&mut wakers);
        assert_eq!(wakers.len(), 2);
    }
}
