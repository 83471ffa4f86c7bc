//! The tracer: a function that is told of every transfer of control.
//!
//! One per OS thread. It is called on the leaving side, just before the switch (of a greenlet that
//! ends: by its loop), so that a panic in it comes out of a switch that has not happened yet. While
//! it runs nothing is traced, and it must not switch itself: the switch it is told of would then be
//! from somewhere else.

use core::cell::{Cell, RefCell};
use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::transfer::Parcel;

/// A raw greenlet's number: unique on its OS thread. All main greenlets have [`Id::MAIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub(super) u64);

impl Id {
    /// The number of every main greenlet.
    pub const MAIN: Self = Self(0);
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What a transfer carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A value.
    Switch,
    /// A panic or an exit, raised at the target.
    Throw,
}

/// A transfer of control that is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What is carried.
    pub kind: EventKind,
    /// Who is left; it has ended if this is its last transfer.
    pub origin: Id,
    /// Who is entered.
    pub target: Id,
}

/// The function that [`set_tracer`] takes.
pub type Tracer = Box<dyn FnMut(Event)>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Off,
    On,
    /// The tracer is running.
    Busy,
}

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::Off) };
    static TRACER: RefCell<Option<Tracer>> = const { RefCell::new(None) };
}

#[inline(never)]
fn mode() -> Mode {
    MODE.with(Cell::get)
}

#[inline(never)]
fn set_mode(mode: Mode) {
    MODE.with(|cell| cell.set(mode));
}

/// Exchanges the tracer. While the thread's locals are being destroyed there is none.
#[inline(never)]
fn replace(tracer: Option<Tracer>) -> Option<Tracer> {
    TRACER.try_with(|cell| cell.replace(tracer)).ok().flatten()
}

/// Sets the tracer of this OS thread, or none; returns the one before.
///
/// It is called before every transfer of control between raw greenlets of this thread, whatever
/// their value type. If it panics, it is removed, and the panic comes out of the switch that it was
/// told of, which does not take place; when a greenlet is ending, its parent gets the panic instead
/// of what it would have got.
///
/// # Panics
/// In a tracer: it cannot be replaced while it runs. Nor may it switch.
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use rustlet::raw::{self, EventKind, Greenlet, Id};
///
/// let seen = Rc::new(RefCell::new(Vec::new()));
/// let log = Rc::clone(&seen);
/// raw::set_tracer(Some(Box::new(move |event| log.borrow_mut().push(event))));
/// let g = Greenlet::new(|x: i32| x + 1);
/// g.switch(1);
/// raw::set_tracer(None);
///
/// let seen = seen.borrow();
/// assert_eq!((seen[0].kind, seen[0].origin, seen[0].target), (EventKind::Switch, Id::MAIN, g.id()));
/// assert_eq!((seen[1].kind, seen[1].origin, seen[1].target), (EventKind::Switch, g.id(), Id::MAIN));
/// ```
pub fn set_tracer(tracer: Option<Tracer>) -> Option<Tracer> {
    assert!(
        mode() != Mode::Busy,
        "a tracer cannot be replaced while it runs"
    );
    set_mode(if tracer.is_some() {
        Mode::On
    } else {
        Mode::Off
    });
    replace(tracer)
}

/// Whether transfers are to be [reported](report).
#[inline]
pub(super) fn is_on() -> bool {
    mode() == Mode::On
}

/// Whether there is no tracer at all.
#[inline]
pub(super) fn is_off() -> bool {
    mode() == Mode::Off
}

/// Panics in a tracer.
#[inline]
pub(super) fn check_not_tracing() {
    assert!(
        mode() != Mode::Busy,
        "a tracer cannot switch to a raw greenlet"
    );
}

/// Tells the tracer. Passes its panic on, and removes it then.
#[cold]
#[inline(never)]
pub(super) fn report<V>(origin: u64, target: u64, parcel: &Parcel<V>) {
    let event = Event {
        kind: match parcel {
            Parcel::Value(_) => EventKind::Switch,
            Parcel::Panic(_) | Parcel::Exit(_) | Parcel::Reap => EventKind::Throw,
        },
        origin: Id(origin),
        target: Id(target),
    };
    // Taken out, so that no borrow is held while it runs.
    let Some(mut tracer) = replace(None) else {
        return set_mode(Mode::Off);
    };
    set_mode(Mode::Busy);
    let result = catch_unwind(AssertUnwindSafe(|| tracer(event)));
    match result {
        Ok(()) => {
            set_mode(Mode::On);
            replace(Some(tracer));
        }
        Err(payload) => {
            set_mode(Mode::Off);
            resume_unwind(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, mode, replace, set_mode};
    use crate::coroutine::wander::sees_the_present_thread;

    fn is_odd(thread: usize) -> usize {
        thread % 2
    }

    #[test]
    fn the_mode_is_that_of_the_present_thread() {
        let on_odd_threads = |thread| {
            set_mode([Mode::Off, Mode::On][is_odd(thread)]);
            is_odd(thread)
        };
        sees_the_present_thread(on_odd_threads, || usize::from(mode() == Mode::On));
        // Set where it is read.
        let flips = || {
            let other = [Mode::On, Mode::Off][usize::from(mode() == Mode::On)];
            set_mode(other);
            usize::from(mode() == other)
        };
        sees_the_present_thread(|_| 1, flips);
    }

    #[test]
    fn the_tracer_is_that_of_the_present_thread() {
        let on_odd_threads = |thread| {
            replace((is_odd(thread) == 1).then_some(Box::new(|_| ())));
            is_odd(thread)
        };
        let there_is_one = || {
            let tracer = replace(None);
            let answer = usize::from(tracer.is_some());
            replace(tracer);
            answer
        };
        sees_the_present_thread(on_odd_threads, there_is_one);
    }
}
