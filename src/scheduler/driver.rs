//! What the hub asks of the layers to its right: time and I/O.
//!
//! `scheduler` stands left of `timer` and `reactor` and may not name them; they attach
//! themselves to the hub when a program first sleeps or first waits for a file descriptor. A
//! program that does neither pays for neither.
//!
//! Both traits are called by the hub alone, on its own thread, between greenlets. They
//! wake greenlets through [`super::park::unpark`] and must not block other than in [`Poller::poll`].

use crate::sys::clock::Nanos;
use std::any::Any;
use std::io;

/// Deadlines. Implemented by `timer`.
pub(crate) trait Alarms {
    /// Fires what is due now.
    fn fire_due(&self);
    /// When [`Alarms::fire_due`] should be called next; `None` if nothing is pending.
    fn next(&self) -> Option<Nanos>;
    /// Takes back the alarm that [`super::hub::Hub::spawn_delayed`] was given.
    fn cancel(&self, alarm: u64);
    /// For the attaching layer to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// Readiness of file descriptors. Implemented by `reactor`.
pub(crate) trait Poller {
    /// Wakes those whose descriptors are ready.
    ///
    /// Waits for the first event until `deadline` ([`Wait::Until`]), without limit, or not at all.
    /// Returns early when the hub's doorbell rings ([`super::inbox`]) or a signal arrives.
    ///
    /// # Errors
    /// The kernel refused (no memory, for example). The hub then sleeps for a millisecond
    /// and tries again, so that timers and other greenlets go on.
    fn poll(&self, wait: Wait) -> io::Result<()>;
    /// Whether anybody waits for a descriptor.
    fn has_waiters(&self) -> bool;
    /// For the attaching layer to find its own type again.
    fn as_any(&self) -> &dyn Any;
}

/// How long [`Poller::poll`] may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// Until this time at the latest.
    Until(Nanos),
    /// Until something happens.
    Forever,
}

impl Wait {
    /// The same, and over by `time`.
    pub(crate) fn no_later(self, time: Nanos) -> Wait {
        match self.deadline() {
            Some(deadline) if deadline <= time => self,
            _ => Wait::Until(time),
        }
    }

    /// The latest time to return, if there is one.
    pub(crate) fn deadline(self) -> Option<Nanos> {
        match self {
            Wait::No => Some(0),
            Wait::Until(deadline) => Some(deadline),
            Wait::Forever => None,
        }
    }
}
