//! [`Once`]: std's, for greenlets and threads. The core of [`OnceLock`](super::OnceLock) and
//! [`LazyLock`](super::LazyLock).
//!
//! ```text
//!              call_once                    f returns
//!   INCOMPLETE ─────────► RUNNING ─────────────────────────► COMPLETE
//!       ▲                    │ f is killed: INCOMPLETE
//!       └────────────────────┤ f panics:    POISONED ── call_once_force ──► RUNNING
//! ```
//! The state is written under the lock of the queue, and read without it. Whoever ends a run wakes all who wait,
//! and they look again.
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicU8, Ordering};

use super::waiter::{NotGranted, WaitQueue, Waiter};
use crate::scheduler::interrupt;
use crate::scheduler::park::{Holder, WaitReason};
use crate::scheduler::sleeper;
use crate::sys::short_lock::ShortLock;

const INCOMPLETE: u8 = 0;
const POISONED: u8 = 1;
const RUNNING: u8 = 2;
const COMPLETE: u8 = 3;

/// Runs something once, as [`std::sync::Once`]: those who come meanwhile wait for it to end, which lets
/// the other greenlets run.
///
/// If the function panics the `Once` is poisoned, as std's. If it is unwound by a kill or a
/// [`timeout`](crate::timeout) it counts as not begun: the next one runs, one of those who wait if there are
/// any.
///
/// ```
/// use rustlet::sync::Once;
/// static START: Once = Once::new();
/// let mut runs = 0;
/// START.call_once(|| runs += 1);
/// START.call_once(|| runs += 1);
/// assert_eq!(runs, 1);
/// assert!(START.is_completed());
/// ```
pub struct Once {
    state: AtomicU8,
    queue: ShortLock<WaitQueue>,
    runner: Holder,
}

impl UnwindSafe for Once {}
impl RefUnwindSafe for Once {}

/// What [`Once::call_once_force`] tells its function.
#[derive(Debug)]
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Whether an earlier function panicked.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

/// What a caller finds.
enum Found {
    Complete,
    Poisoned,
    /// Somebody runs; the caller is in the queue.
    Running,
    /// The caller runs now.
    Mine(OnceState),
}

impl Once {
    /// Nothing has run yet.
    pub const fn new() -> Self {
        Once {
            state: AtomicU8::new(INCOMPLETE),
            queue: ShortLock::new(WaitQueue::new()),
            runner: Holder::nobody(),
        }
    }

    /// Runs `f` if nothing has run yet; returns when something has.
    ///
    /// # Panics
    /// With `f`; if an earlier `f` panicked; if `f` calls this again; if it would have to wait and cannot: on a
    /// thread's own stack when nothing can ever end the run ([`crate::Deadlock`]), or in a destructor that
    /// runs because of a panic or a kill.
    #[inline]
    #[track_caller]
    pub fn call_once(&self, f: impl FnOnce()) {
        if !self.is_completed() {
            self.call(false, |_| f());
        }
    }

    /// As [`Once::call_once`], but also if an earlier function panicked.
    ///
    /// # Panics
    /// As [`Once::call_once`], but for poisoning.
    #[inline]
    #[track_caller]
    pub fn call_once_force(&self, f: impl FnOnce(&OnceState)) {
        if !self.is_completed() {
            self.call(true, f);
        }
    }

    /// Whether something has run to its end.
    #[inline]
    pub fn is_completed(&self) -> bool {
        // Acquire pairs with the Release of `Running::drop`: what was run is visible.
        self.state.load(Ordering::Acquire) == COMPLETE
    }

    /// Waits until something has run to its end.
    ///
    /// # Panics
    /// If a function panicked, before or meanwhile; and if it cannot wait, as [`Once::call_once`].
    #[track_caller]
    pub fn wait(&self) {
        if !self.wait_until_complete(false) {
            poisoned();
        }
    }

    /// As [`Once::wait`], but goes on waiting if a function panicked.
    ///
    /// # Panics
    /// If it cannot wait, as [`Once::call_once`].
    pub fn wait_force(&self) {
        self.wait_until_complete(true);
    }

    /// False if it is poisoned, which matters not if `ignore_poison`.
    fn wait_until_complete(&self, ignore_poison: bool) -> bool {
        const WAITING: &str = "waiting for a one-time call";
        while !self.is_completed() {
            let waiter = Waiter::new();
            {
                let mut queue = self.queue.lock();
                match self.state.load(Ordering::Relaxed) {
                    COMPLETE => return true,
                    POISONED if !ignore_poison => return false,
                    // SAFETY: this frame keeps the waiter, and waits next; `give_up` removes it.
                    _ => unsafe { queue.push(&waiter) },
                }
            }
            let reason = WaitReason::probably("somebody's one-time call", &self.runner);
            if let Err(error) = waiter.wait(&reason, None, || self.give_up(&waiter)) {
                error.panic(WAITING);
            }
        }
        true
    }

    #[cold]
    #[track_caller]
    fn call(&self, ignore_poison: bool, f: impl FnOnce(&OnceState)) {
        loop {
            let waiter = Waiter::new();
            match self.begin(&waiter, ignore_poison) {
                Found::Complete => return,
                Found::Poisoned => poisoned(),
                Found::Mine(state) => {
                    let running = Running(self);
                    f(&state);
                    running.complete();
                    return;
                }
                Found::Running => {
                    if let Err(error) = self.wait_for_runner(&waiter) {
                        error.panic("running something once");
                    }
                }
            }
        }
    }

    /// Waits for the end of a run, however it ends.
    #[track_caller]
    fn wait_for_runner(&self, waiter: &Waiter) -> Result<u32, NotGranted> {
        let reason = WaitReason::held("a one-time call", &self.runner);
        waiter.wait(&reason, None, || self.give_up(waiter))
    }

    #[track_caller]
    fn begin(&self, waiter: &Waiter, ignore_poison: bool) -> Found {
        let me = sleeper::current_key();
        let mut queue = self.queue.lock();
        match self.state.load(Ordering::Relaxed) {
            COMPLETE => Found::Complete,
            POISONED if !ignore_poison => Found::Poisoned,
            RUNNING => {
                if self.runner.get() == me {
                    drop(queue);
                    panic!("a function that is to run once asks for itself");
                }
                // SAFETY: the caller's frame keeps the waiter, and waits next; `give_up` removes it.
                unsafe { queue.push(waiter) };
                Found::Running
            }
            before => {
                self.state.store(RUNNING, Ordering::Relaxed);
                self.runner.set(me);
                Found::Mine(OnceState {
                    poisoned: before == POISONED,
                })
            }
        }
    }

    #[cold]
    fn give_up(&self, waiter: &Waiter) -> bool {
        self.queue.lock().remove(waiter)
    }
}

#[cold]
#[track_caller]
fn poisoned() -> ! {
    panic!("Once instance has previously been poisoned");
}

/// A run of the function; ends as incomplete or poisoned unless it is told otherwise.
struct Running<'a>(&'a Once);

impl Running<'_> {
    fn complete(self) {
        self.end(COMPLETE);
        core::mem::forget(self);
    }

    fn end(&self, state: u8) {
        let once = self.0;
        let mut queue = once.queue.lock();
        once.runner.set(0);
        // Release: see `is_completed`.
        once.state.store(state, Ordering::Release);
        queue.grant_all(1);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let state = if interrupt::unwinding_is_ours() {
            INCOMPLETE
        } else {
            POISONED
        };
        self.end(state);
    }
}

impl Default for Once {
    fn default() -> Self {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}
