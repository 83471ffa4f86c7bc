//! How a greenlet ended: what a link is told.

use core::fmt;
use std::panic::Location;

use super::handle::Handle;
use super::task::{End, TaskRef};

/// A greenlet that has ended, as its links see it. See [`crate::Greenlet::link`].
///
/// It says how the greenlet ended but does not hold the value, which belongs to the greenlet's handle:
/// [`crate::Greenlet::then`] is given it.
#[derive(Clone)]
pub struct Ended {
    handle: Handle,
}

impl Ended {
    pub(super) fn new(task: TaskRef) -> Self {
        Ended {
            handle: Handle::new(task),
        }
    }

    fn end(&self) -> End {
        self.handle.task().end().expect("it has ended")
    }

    /// It returned a value. A kill is no success here, while gevent counts it as one: there is no
    /// value that a killed greenlet could have.
    pub fn is_successful(&self) -> bool {
        self.end() == End::Value
    }

    /// It was killed.
    pub fn is_killed(&self) -> bool {
        self.end() == End::Killed
    }

    /// It panicked, or did not catch what was thrown into it.
    pub fn is_panic(&self) -> bool {
        self.end() == End::Panic
    }

    /// The text of the panic, if it has one.
    pub fn message(&self) -> Option<&str> {
        self.handle.task().message()
    }

    /// The greenlet's number.
    pub fn id(&self) -> u64 {
        self.handle.id()
    }

    /// The greenlet's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.handle.name()
    }

    /// Where the greenlet was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.handle.spawned_at()
    }

    /// The greenlet's handle.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.task().name_and_place().fmt(f)?;
        match (self.end(), self.message()) {
            (End::Value, _) => f.write_str(" returned"),
            (End::Killed, _) => f.write_str(" was killed"),
            (End::Panic, None) => f.write_str(" panicked"),
            (End::Panic, Some(text)) => write!(f, " panicked: {text}"),
            (End::Other, _) => f.write_str(" did not run to its end"),
        }
    }
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ended({self})")
    }
}
