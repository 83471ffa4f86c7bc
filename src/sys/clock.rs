//! The monotonic clock, and a counter that is cheaper than it.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A point of the monotonic clock: nanoseconds since the first use of the clock in this process.
///
/// `u64` nanoseconds last 584 years; later instants saturate, which reads as "never".
pub(crate) type Nanos = u64;

static EPOCH: OnceLock<Instant> = OnceLock::new();

fn epoch() -> Instant {
    *EPOCH.get_or_init(Instant::now)
}

/// The time now.
pub(crate) fn now() -> Nanos {
    of(Instant::now())
}

/// The time of `instant`; 0 if it lies before the first use of the clock.
pub(crate) fn of(instant: Instant) -> Nanos {
    nanos(instant.saturating_duration_since(epoch()))
}

/// `duration` in nanoseconds, saturating.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The time `duration` from now, saturating.
pub(crate) fn after(duration: Duration) -> Nanos {
    now().saturating_add(nanos(duration))
}
