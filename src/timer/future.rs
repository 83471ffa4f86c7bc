//! [`Sleep`]: a future that is ready at a time.
//!
//! ```text
//!   Sleep ──► Slot (the waker, behind a lock) ◄── Alarm::Ring, in the wheel of the hub that polled it
//! ```
//! A wheel belongs to its thread, and a future may be polled and dropped on any: so the waker is not in the wheel but in
//! a slot that both share. Dropped on the alarm's own thread, the future takes the alarm back; on another one it empties the slot,
//! and the alarm fires in vain when its time has come. Polled on another thread, it does the same and sets an alarm
//! there: the thread that polls is the one that will run.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::wheel::Key;
use super::{Alarm, Timers};
use crate::scheduler::hub;
use crate::sys::clock::{self, Nanos};

/// Who is to be woken; `None` once the alarm has fired or nobody waits any more.
#[derive(Debug)]
pub(super) struct Slot(Mutex<Option<Waker>>);

impl Slot {
    pub(super) fn take(&self) -> Option<Waker> {
        self.lock().take()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the waker, if that makes a difference; false if the alarm has fired.
    fn replace(&self, waker: &Waker) -> bool {
        match &*self.lock() {
            None => return false,
            Some(mine) if mine.will_wake(waker) => return true,
            Some(_) => {}
        }
        // Cloned and dropped without the lock: both are code of somebody else's.
        let mut waker = waker.clone();
        let mut slot = self.lock();
        let Some(mine) = slot.as_mut() else {
            return false;
        };
        core::mem::swap(mine, &mut waker);
        drop(slot);
        drop(waker);
        true
    }
}

/// Where the alarm is.
#[derive(Debug)]
struct Placed {
    hub_id: u64,
    key: Key,
    slot: Arc<Slot>,
}

impl Placed {
    fn is_here(&self) -> bool {
        hub::existing().is_some_and(|hub| hub.shared.hub_id() == self.hub_id)
    }

    fn cancel(self) {
        drop(self.slot.take());
        if self.is_here() {
            let alarm = Timers::get().wheel.borrow_mut().cancel(self.key);
            drop(alarm); // after the wheel is free again
        }
    }
}

/// A future that is ready when a time has come: [`crate::sleep()`] for code that is polled.
///
/// Never early; late as [`crate::sleep()`]. The thread that polls it must run its greenlets, in
/// [`crate::block_on`] or in anything else of this library that blocks: its timers wake this.
///
/// ```
/// use std::time::{Duration, Instant};
/// let start = Instant::now();
/// rustlet::block_on(rustlet::Sleep::new(Duration::from_millis(5)));
/// assert!(start.elapsed() >= Duration::from_millis(5));
/// ```
#[derive(Debug)]
#[must_use = "futures do nothing unless they are polled"]
pub struct Sleep {
    at: Nanos,
    placed: Option<Placed>,
}

impl Sleep {
    /// Ready when `duration` has passed from now.
    pub fn new(duration: Duration) -> Self {
        Sleep {
            at: clock::after(duration),
            placed: None,
        }
    }

    /// Ready at `deadline`.
    pub fn until(deadline: Instant) -> Self {
        Sleep {
            at: clock::of(deadline),
            placed: None,
        }
    }

    /// Makes it ready at `deadline` instead, also if it was ready before. Whoever waited for it must poll it
    /// again.
    pub fn reset(&mut self, deadline: Instant) {
        self.cancel();
        self.at = clock::of(deadline);
    }

    /// Whether its time has come.
    pub fn is_elapsed(&self) -> bool {
        clock::now() >= self.at
    }

    fn cancel(&mut self) {
        if let Some(placed) = self.placed.take() {
            placed.cancel();
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_elapsed() {
            self.cancel();
            return Poll::Ready(());
        }
        if let Some(placed) = &self.placed
            && placed.is_here()
            && placed.slot.replace(cx.waker())
        {
            return Poll::Pending;
        }
        self.cancel();
        let slot = Arc::new(Slot(Mutex::new(Some(cx.waker().clone()))));
        let key = Timers::get().arm(self.at, Alarm::Ring(slot.clone()));
        self.placed = Some(Placed {
            hub_id: hub::get().shared.hub_id(),
            key,
            slot,
        });
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}
