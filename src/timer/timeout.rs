//! `timeout(duration, f)`: a time limit around any code that blocks.

use std::fmt;
use std::io;
use std::time::Duration;

use super::{Alarm, Armed};
use crate::scheduler::hub;
use crate::scheduler::interrupt::Scope;
use crate::sys::clock;

/// A time limit passed. Converts into an [`io::Error`] of kind `TimedOut`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed {
    limit: Duration,
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timed out after {:?}", self.limit)
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// Runs `f` with a time limit: whatever blocks inside it is interrupted when `duration` has passed.
///
/// `f` is then unwound from where it waits, as by a kill but only up to this frame: destructors
/// run, no panic hook does, and code that handles errors cannot swallow it. Limits nest: each
/// stops its own frame; if several have passed, the innermost comes first. Once this function has
/// returned, its limit cannot hit anything any more.
///
/// A computation that never suspends is not interrupted. If `f` finishes late but without a further
/// suspension, its value is returned.
///
/// # Errors
/// [`Elapsed`], if `f` was interrupted by this limit.
///
/// ```
/// use std::time::Duration;
/// let hour = Duration::from_secs(3600);
/// let result = rustlet::timeout(Duration::from_millis(5), || rustlet::sleep(hour));
/// assert_eq!(result.unwrap_err().to_string(), "timed out after 5ms");
/// assert_eq!(rustlet::timeout(hour, || "done"), Ok("done"));
/// ```
pub fn timeout<T>(duration: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let deadline = clock::after(duration);
    let task = hub::current_control().task.clone();
    Scope::enter(|scope| Armed::new(deadline, Alarm::Hit(task, scope)), f)
        .ok_or(Elapsed { limit: duration })
}
