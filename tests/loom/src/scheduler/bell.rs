//! Twin of `scheduler::bell`: a counter that a sleeper waits for.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use loom::sync::{Condvar, Mutex};

use crate::sys::clock::Nanos;

/// How often any bell has rung since [`count_rings`]. Not loom's: it orders nothing.
static RINGS: AtomicUsize = AtomicUsize::new(0);

pub(in crate::scheduler) fn count_rings() {
    RINGS.store(0, Ordering::Relaxed);
}

pub(in crate::scheduler) fn rings() -> usize {
    RINGS.load(Ordering::Relaxed)
}

/// Whether deadlines come, and then at once; they do not come at all otherwise.
static DEADLINES: AtomicBool = AtomicBool::new(true);

pub(in crate::scheduler) fn deadlines_come(come: bool) {
    DEADLINES.store(come, Ordering::Relaxed);
}

#[derive(Debug)]
pub(crate) struct Bell(OnceLock<(Mutex<bool>, Condvar)>);

impl Bell {
    pub(super) const fn new() -> Self {
        Bell(OnceLock::new())
    }

    fn parts(&self) -> &(Mutex<bool>, Condvar) {
        self.0.get_or_init(|| (Mutex::new(false), Condvar::new()))
    }

    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.parts(); // as the real one: made before the hub sleeps
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn ring(&self) {
        // Not of ordinary threads: see `idle_model`.
        if cfg!(not(feature = "threads")) {
            RINGS.fetch_add(1, Ordering::Relaxed);
        }
        let (rung, changed) = self.parts();
        *rung.lock().expect("no panic while it is held") = true;
        changed.notify_one();
    }

    /// Waits until it rings, and silences it: what the hub does with the kernel's help.
    pub(super) fn wait(&self, deadline: Option<Nanos>) {
        if deadline.is_some() && DEADLINES.load(Ordering::Relaxed) {
            return loom::thread::yield_now();
        }
        let (rung, changed) = self.parts();
        let mut rung = rung.lock().expect("no panic while it is held");
        while !*rung {
            rung = changed.wait(rung).expect("no panic while it is held");
        }
        *rung = false;
    }
}
