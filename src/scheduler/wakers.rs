//! Wakers of futures: those of others, called from within this library, and one of ours, which unparks
//! a greenlet.
//!
//! [`std::task::Waker`]s of others are called where greenlets are woken: in the hub's loop and at a
//! greenlet's end. They run code of other libraries, so the caller holds no lock and no borrow: a waker may drop the
//! last reference to a task, and with it sockets, timers and handles of greenlets. It must not block.
//!
//! # A waker of ours
//! ```text
//!   block_on:   woken = false ──► poll ──pending──► while !woken { park }
//!   any thread: woken = true; if it was false: unpark (and ring, if the thread itself is blocked)
//! ```
//! The token alone would not do: code that is polled may block, and a wait inside of it would take the
//! token that was meant for the future.
//!
//! A [`Bell`] is counted, so it may be called late and often: after [`block_on`](crate::block_on) has returned it does
//! nothing more, and after the greenlet's end neither.

use core::mem;
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::TaskRef;
use super::hub;
use super::park::{self, ParkError, WaitReason};

/// Calls a waker of somebody else's. If it panics, the panic hook has said so, and whoever is to be woken next is.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake())).map_err(mem::forget);
}

/// Wakes the code that made it, from any thread.
#[derive(Debug)]
pub(crate) struct Bell {
    task: TaskRef,
    woken: AtomicBool,
    /// The OS thread waits, not the code alone: see [`Bell::wait_with`].
    blocked: AtomicBool,
}

impl Bell {
    /// For the running code.
    pub(crate) fn new() -> Arc<Bell> {
        Arc::new(Bell {
            task: hub::current_control().task.clone(),
            woken: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
        })
    }

    /// Forgets that it was rung. What its ringers did before is visible.
    pub(crate) fn reset(&self) {
        self.woken.swap(false, Ordering::AcqRel);
    }

    pub(crate) fn is_rung(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Waits until it is rung. The code that made it calls this.
    ///
    /// # Errors
    /// As [`park::park`].
    pub(crate) fn wait(&self) -> Result<(), ParkError> {
        while !self.is_rung() {
            park::park(WaitReason::external("a future"))?;
        }
        Ok(())
    }

    /// Calls `turn`, which blocks the OS thread until its hub's bell rings or something else happens, until this is
    /// rung.
    pub(crate) fn wait_with(&self, turn: impl Fn()) {
        // Set before `woken` is looked at, and looked at by a ringer after it has set `woken`: one of the
        // two sees the other (both are sequentially consistent).
        self.blocked.store(true, Ordering::SeqCst);
        while !self.is_rung() {
            turn();
        }
        self.blocked.store(false, Ordering::SeqCst);
    }

    /// Nobody will wait any more: whoever rings later finds it rung.
    pub(crate) fn retire(&self) {
        self.woken.store(true, Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            park::unpark(&self.task);
            if self.blocked.load(Ordering::SeqCst)
                && let Some(home) = self.task.home()
            {
                home.ring();
            }
        }
    }
}
