//! `timeout(duration, f)`: a time limit around any code that blocks, and its variations.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use super::{Alarm, Armed};
use crate::scheduler::hub;
use crate::scheduler::interrupt::Scope;
use crate::sys::clock::{self, Nanos};

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
/// A computation that never suspends is not interrupted. A limit that has passed, or is zero, interrupts the first wait; where others are ready
/// to run, [`crate::yield_now`] is no wait, and a few may go through before the hub next looks at its timers (25 µs apart, at least). If `f` finishes late but without a further
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
    until(clock::after(duration), f).ok_or(Elapsed { limit: duration })
}

/// As [`timeout`], with a point in time instead of a duration: several operations can share one deadline.
///
/// # Errors
/// [`Elapsed`], if `f` was interrupted by this limit.
///
/// ```
/// use std::time::{Duration, Instant};
/// let deadline = Instant::now() + Duration::from_millis(5);
/// for _ in 0..2 {
///     let result = rustlet::timeout_at(deadline, || rustlet::sleep(Duration::from_secs(3600)));
///     assert!(result.is_err());
/// }
/// ```
pub fn timeout_at<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed> {
    let limit = deadline.saturating_duration_since(Instant::now());
    until(clock::of(deadline), f).ok_or(Elapsed { limit })
}

/// As [`timeout`], with a value for the case that the limit passes. gevent's `with_timeout(…, timeout_value)`.
///
/// A limit of a [`timeout`] further out passes through it.
///
/// ```
/// use std::time::Duration;
/// let slow = || {
///     rustlet::sleep(Duration::from_secs(3600));
///     1
/// };
/// assert_eq!(rustlet::with_timeout(Duration::from_millis(5), 0, slow), 0);
/// ```
pub fn with_timeout<T>(duration: Duration, default: T, f: impl FnOnce() -> T) -> T {
    timeout(duration, f).unwrap_or(default)
}

/// Runs `f`, unless it is interrupted because `deadline` has come.
fn until<T>(deadline: Nanos, f: impl FnOnce() -> T) -> Option<T> {
    let task = hub::current_control().task.clone();
    Scope::enter(|scope| Armed::new(deadline, Alarm::Hit(task, scope)), f)
}
