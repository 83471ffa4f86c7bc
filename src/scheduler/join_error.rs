//! Why a join gave no value.

use core::any::Any;
use core::fmt;
use std::io;
use std::panic::Location;
use std::sync::Mutex;

use super::deadlock::{Deadlock, Name};
use super::interrupt::Killed;
use super::park::ParkError;
use super::task::{Failure, TaskRef};

/// A greenlet ended without a value, or could not be waited for. See [`crate::Greenlet::join`].
pub struct JoinError {
    id: u64,
    name: Option<Box<str>>,
    kind: Kind,
}

enum Kind {
    /// In a Mutex because a payload is Send but not Sync, and errors are to be both.
    Panicked(Mutex<Box<dyn Any + Send>>),
    Killed,
    NotStarted(io::Error),
    Abandoned,
    Deadlock(Deadlock),
    Unwinding,
}

impl JoinError {
    pub(super) fn ended(task: &TaskRef, failure: Failure) -> Self {
        JoinError::new(
            task,
            match failure {
                Failure::Panicked(payload) => Kind::Panicked(Mutex::new(payload)),
                Failure::Killed => Kind::Killed,
                Failure::NotStarted(error) => Kind::NotStarted(error),
                Failure::Abandoned => Kind::Abandoned,
            },
        )
    }

    pub(crate) fn not_waited(task: &TaskRef, error: ParkError) -> Self {
        JoinError::new(
            task,
            match error {
                ParkError::Deadlock(report) => Kind::Deadlock(report),
                ParkError::Unwinding => Kind::Unwinding,
            },
        )
    }

    /// Waiting for `task` would be the deadlock that `report` tells of.
    pub(crate) fn deadlocked(task: &TaskRef, report: Deadlock) -> Self {
        JoinError::new(task, Kind::Deadlock(report))
    }

    /// A future that was spawned at `place` panicked with `payload`, or was dropped.
    pub(crate) fn of_future(place: &Location<'_>, payload: Option<Box<dyn Any + Send>>) -> Self {
        let kind = match payload {
            Some(payload) if payload.is::<Killed>() => Kind::Abandoned,
            Some(payload) => Kind::Panicked(Mutex::new(payload)),
            None => Kind::Abandoned,
        };
        JoinError {
            id: 0,
            name: Some(format!("the future spawned at {place}").into()),
            kind,
        }
    }

    fn new(task: &TaskRef, kind: Kind) -> Self {
        JoinError {
            id: task.id,
            name: task.name().map(Into::into),
            kind,
        }
    }

    /// The greenlet panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.kind, Kind::Panicked(_))
    }

    /// The greenlet was killed.
    pub fn is_killed(&self) -> bool {
        matches!(self.kind, Kind::Killed)
    }

    /// Nothing can ever end the greenlet; see [`JoinError::deadlock`].
    pub fn is_deadlock(&self) -> bool {
        matches!(self.kind, Kind::Deadlock(_))
    }

    /// The report, if this is a deadlock.
    pub fn deadlock(&self) -> Option<&Deadlock> {
        match &self.kind {
            Kind::Deadlock(report) => Some(report),
            _ => None,
        }
    }

    /// The value that the greenlet panicked with, for [`std::panic::resume_unwind`].
    ///
    /// # Errors
    /// The error itself, if the greenlet did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, Self> {
        match self.kind {
            Kind::Panicked(payload) => Ok(payload
                .into_inner()
                .unwrap_or_else(std::sync::PoisonError::into_inner)),
            _ => Err(self),
        }
    }

    /// Raises what ended the greenlet in the caller: the same panic again, or a panic
    /// with this error's text.
    pub fn resume(self) -> ! {
        match self.try_into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The text of a panic payload, if it has one.
pub(super) fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Subject(self);
        match &self.kind {
            Kind::Panicked(payload) => {
                let payload = payload
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                match text(&**payload) {
                    Some(text) => write!(f, "{name} panicked: {text}"),
                    None => write!(f, "{name} panicked"),
                }
            }
            Kind::Killed => write!(f, "{name} was killed"),
            Kind::NotStarted(error) => write!(f, "{name} got no stack: {error}"),
            Kind::Abandoned if self.id == 0 => write!(
                f,
                "{name} was cancelled, or did not end before its runtime did"
            ),
            Kind::Abandoned => write!(f, "{name} did not end before its thread did"),
            Kind::Deadlock(report) => write!(f, "joining {name}: {report}"),
            Kind::Unwinding => write!(
                f,
                "joining {name}: it has not ended, and the caller cannot wait because it is unwinding, or called by the scheduler \
                 itself"
            ),
        }
    }
}

/// What was joined.
struct Subject<'a>(&'a JoinError);

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.id, self.0.name.as_deref()) {
            (0, Some(future)) => f.write_str(future),
            (id, name) => Name(id, name).fmt(f),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::NotStarted(error) => Some(error),
            Kind::Deadlock(report) => Some(report),
            _ => None,
        }
    }
}
