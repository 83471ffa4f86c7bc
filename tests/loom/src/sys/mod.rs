//! Twin of `sys`. The real short lock is [`spinning`].

#[cfg_attr(feature = "threads", path = "../../../../src/sys/short_lock.rs")]
pub(crate) mod short_lock;
#[path = "../../../../src/sys/short_lock.rs"]
pub(crate) mod spinning;
pub(crate) mod spinning_model;

/// What the short lock does when it has to wait longer, and threads that nobody joins but the model.
pub(crate) mod thread {
    use std::io;
    use std::sync::Mutex;

    use loom::thread::JoinHandle;

    use super::clock::Nanos;

    /// Goes from one thread of the model to another, which are one here, or could as well be sent.
    struct Started(JoinHandle<()>);

    // SAFETY: it is pushed and taken under a lock.
    unsafe impl Send for Started {}

    /// Those that have been started in this execution. Not loom's lock: it orders nothing.
    static STARTED: Mutex<Vec<Started>> = Mutex::new(Vec::new());

    pub(crate) fn start(
        _: String,
        _: Option<usize>,
        f: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let started = Started(loom::thread::spawn(f));
        STARTED
            .lock()
            .expect("no panic while it is held")
            .push(started);
        Ok(())
    }

    /// Waits for the end of all of them; how many there were.
    pub(crate) fn join_started() -> usize {
        let mut count = 0;
        loop {
            let started = STARTED.lock().expect("no panic while it is held").pop();
            let Some(Started(thread)) = started else {
                return count;
            };
            thread.join().expect("it does not panic");
            count += 1;
        }
    }

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
