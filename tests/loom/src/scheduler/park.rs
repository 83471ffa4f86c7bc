//! Twin of `scheduler::park`: a thread of the model stands for a hub with one greenlet.
//!
//! A [`Parker`] is that greenlet's token, its interrupt flag and its deadline. A wait may also end for no
//! reason (loom tries that once), as the real one may.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use loom::sync::Notify;

use super::Deadlock;
use crate::util::primitive::{AtomicBool, Cell, Ordering};

#[derive(Clone, Debug)]
pub(crate) struct Parker(Arc<State>);

#[derive(Debug)]
struct State {
    token: Notify,
    killed: AtomicBool,
    timed_out: AtomicBool,
    /// Stands for what is valid only during a wait: written at its end, read by who wakes.
    wait: Cell<u8>,
}

// SAFETY: loom checks the cell.
unsafe impl Send for State {}
// SAFETY: as above.
unsafe impl Sync for State {}

loom::thread_local! {
    static CURRENT: RefCell<Option<Parker>> = RefCell::new(None);
}

pub(crate) fn current() -> Parker {
    CURRENT
        .with(|current| current.borrow().clone())
        .expect("the model runs in a parker")
}

impl Parker {
    pub(crate) fn new() -> Self {
        Parker(Arc::new(State {
            token: Notify::new(),
            killed: AtomicBool::default(),
            timed_out: AtomicBool::default(),
            wait: Cell::new(0),
        }))
    }

    /// Runs `f` as the greenlet of this parker; `None` if it was killed.
    pub(crate) fn run<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        CURRENT.with(|current| *current.borrow_mut() = Some(self.clone()));
        let result = catch_unwind(AssertUnwindSafe(f));
        CURRENT.with(|current| *current.borrow_mut() = None);
        match result {
            Ok(value) => Some(value),
            Err(payload) if payload.is::<Killed>() => None,
            Err(payload) => resume_unwind(payload),
        }
    }

    pub(super) fn leave_token(&self) {
        self.0.token.notify();
    }

    /// Kills the greenlet, from any thread.
    pub(crate) fn kill(&self) {
        self.0.killed.store(true, Ordering::Release);
        self.0.token.notify();
    }

    /// Makes its deadlines come.
    pub(crate) fn time_out(&self) {
        self.0.timed_out.store(true, Ordering::Release);
        self.0.token.notify();
    }

    pub(crate) fn has_timed_out(&self) -> bool {
        self.0.timed_out.load(Ordering::Acquire)
    }

    /// An address that is this parker's alone.
    pub(super) fn key(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }

    pub(super) fn touch_wait(&self) {
        self.0.wait.get();
    }
}

/// The running thread's wait has ended, and its frame is gone: whoever names it from here on without
/// being ordered before this is at fault, and loom says so.
pub(crate) fn wait_is_over() {
    current().0.wait.set(0);
}

struct Killed;

/// Why [`park_quietly`] returned without the token.
#[derive(Debug)]
pub(crate) enum Obstacle {
    Interrupted,
    Deadlock(Deadlock),
    Unwinding,
}

pub(crate) fn park_quietly(_: &WaitReason) -> Result<(), Obstacle> {
    let parker = current();
    if !parker.0.killed.load(Ordering::Acquire) {
        parker.0.token.wait();
    }
    if parker.0.killed.load(Ordering::Acquire) {
        return Err(Obstacle::Interrupted);
    }
    Ok(())
}

pub(crate) fn unpark(parker: &Parker) {
    parker.leave_token();
}

/// Why [`park_uninterrupted`] returned without the token.
#[derive(Debug)]
pub(crate) enum ParkError {
    Deadlock(Deadlock),
    Unwinding,
}

pub(crate) fn park_uninterrupted(_: &WaitReason) -> Result<(), ParkError> {
    current().0.token.wait();
    Ok(())
}

pub(crate) fn raise() -> ! {
    resume_unwind(Box::new(Killed))
}

/// For reports, which there are none of here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitReason;

impl WaitReason {
    pub(crate) const fn external(_: &'static str) -> Self {
        WaitReason
    }

    pub(crate) const fn held(_: &'static str, _: &Holder) -> Self {
        WaitReason
    }

    pub(crate) const fn probably(_: &'static str, _: &Holder) -> Self {
        WaitReason
    }
}

/// For reports too. Not loom's atomic: nothing depends on it.
#[derive(Debug)]
pub(crate) struct Holder(AtomicU64);

impl Holder {
    pub(crate) const fn nobody() -> Self {
        Holder(AtomicU64::new(0))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, key: u64) {
        self.0.store(key, Ordering::Relaxed);
    }
}
