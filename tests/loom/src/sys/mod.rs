//! Twin of `sys`. The real short lock is [`spinning`].

#[cfg_attr(feature = "threads", path = "../../../../src/sys/short_lock.rs")]
pub(crate) mod short_lock;
#[path = "../../../../src/sys/short_lock.rs"]
pub(crate) mod spinning;
pub(crate) mod spinning_model;

/// What the short lock does when it has to wait longer.
pub(crate) mod thread {
    use super::clock::Nanos;

    pub(crate) fn let_others_run() {
        loom::thread::yield_now();
    }

    pub(crate) fn sleep_until(_: Nanos) {
        loom::thread::yield_now();
    }
}

/// A clock that goes on by one whenever it is read. Not loom's: it orders nothing.
pub(crate) mod ticks {
    use std::sync::atomic::{AtomicU64, Ordering};

    pub(crate) fn now() -> u64 {
        static READ: AtomicU64 = AtomicU64::new(0);
        READ.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn some_microseconds() -> u64 {
        16
    }

    pub(crate) fn one_millisecond() -> u64 {
        1
    }
}

/// A clock that stands still.
pub(crate) mod clock {
    use std::time::Duration;

    pub(crate) type Nanos = u64;

    pub(crate) fn now() -> Nanos {
        0
    }

    pub(crate) fn after(_: Duration) -> Nanos {
        0
    }
}
