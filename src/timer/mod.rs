//! Time: sleeping, deadlines, timeouts, and greenlets that start later.
//!
//! | file | one idea |
//! |---|---|
//! | [`wheel`] | the timing wheel, a pure data structure |
//! | `mod.rs` | a hub's alarms: what the wheel's values mean; sleeping |
//! | [`mod@timeout`] | `timeout(duration, f)` around any code that blocks |
//! | [`future`] | `Sleep`, a future |
//! | [`many`], [`mod@iwait`] | waiting for greenlets with a limit, for all of many, for whichever comes first |
//!
//! An alarm wakes a greenlet, hits one of its scopes, starts a delayed greenlet, or wakes a future. Alarms of
//! greenlets are [`Armed`] guards on the waiting greenlet's stack: whichever way the wait ends, the alarm
//! goes with it. A future's is in the future itself.
//!
//! Never early; late by up to one tick of the wheel (65.5 µs) or a thousandth of the waiting time, whichever is
//! more, and by what the hub is doing: an alarm fires when the hub gets to it.

mod future;
mod iwait;
mod many;
mod timeout;
mod wheel;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::scheduler::driver::Alarms;
use crate::scheduler::hub::{self, Hub};
use crate::scheduler::interrupt::{self, ScopeId};
use crate::scheduler::park::{self, ParkError, WaitReason};
use crate::scheduler::{Deadlock, Greenlet, JoinError, TaskRef, wait_done_or, wakers};
use crate::sys::clock::{self, Nanos};
use future::Slot;
use wheel::{Key, Wheel};

pub use future::Sleep;
pub use iwait::{IWait, iwait, wait};
pub use many::{joinall, killall, killall_timeout};
pub use timeout::{Elapsed, timeout, timeout_at, with_timeout};

/// What happens at a deadline.
#[derive(Debug)]
enum Alarm {
    Wake(TaskRef),
    Hit(TaskRef, ScopeId),
    Start(u64),
    Ring(Arc<Slot>),
}

/// A wheel of a million timers is to be no larger for futures.
const _: () = assert!(size_of::<Option<Alarm>>() <= 24);

/// A hub's alarms.
struct Timers {
    wheel: RefCell<Wheel<Alarm>>,
    /// Wakers whose alarms have fired, and which are called when the wheel is free again.
    wakers: RefCell<Vec<Waker>>,
}

impl Timers {
    /// This thread's.
    fn get() -> &'static Timers {
        hub::get()
            .alarms(|| {
                Rc::new(Timers {
                    wheel: RefCell::new(Wheel::new(clock::now())),
                    wakers: RefCell::default(),
                })
            })
            .as_any()
            .downcast_ref()
            .expect("the hub's alarms are Timers")
    }

    fn arm(&self, deadline: Nanos, alarm: Alarm) -> Key {
        let mut wheel = self.wheel.borrow_mut();
        let deadline = rounded(wheel.now_ns(), clock::now, deadline);
        wheel.insert(deadline, alarm)
    }
}

/// Deadlines that are not so far keep the wheel's tick: [`with_slack`] would not move them by as much.
const NEAR: Nanos = 1024 * Wheel::<Alarm>::TICK_NS;

/// When an alarm for `deadline` is to fire. `looked` is when the wheel was looked at last, which may be long ago, if it was empty or
/// some code has run for long: enough to tell what is near without reading the clock, and not to tell how far the rest is.
#[inline]
fn rounded(looked: Nanos, now: impl FnOnce() -> Nanos, deadline: Nanos) -> Nanos {
    match deadline.saturating_sub(looked) < NEAR {
        true => deadline,
        false => with_slack(now(), deadline),
    }
}

/// Far deadlines may be late by a thousandth of their distance, as in Linux's own poll(2) and select(2): then those
/// that lie close together share a wake-up of the thread. Near ones keep the wheel's tick.
fn with_slack(now: Nanos, deadline: Nanos) -> Nanos {
    let slack = deadline.saturating_sub(now) / 1024;
    // Rounded up to a multiple of the largest power of two within the slack.
    let step = 1 << slack.checked_ilog2().unwrap_or(0);
    deadline.checked_next_multiple_of(step).unwrap_or(deadline)
}

impl Alarms for Timers {
    fn fire_due(&self) {
        let mut wheel = self.wheel.borrow_mut();
        if wheel.is_empty() {
            return;
        }
        let hub = hub::get();
        let mut wakers = self.wakers.take();
        // Nothing that fires comes back to the wheel: waking and starting push to the run queue. Wakers of
        // futures, which might, are called afterwards.
        let mut fired = 0;
        wheel.advance(clock::now(), |_, alarm| {
            fired += 1;
            alarm.fire(hub, &mut wakers);
        });
        hub.counters.timers.add(fired);
        drop(wheel);
        if !wakers.is_empty() {
            wakers.drain(..).for_each(wakers::wake);
        }
        self.wakers.replace(wakers);
    }

    fn next(&self) -> Option<Nanos> {
        self.wheel.borrow().next_wake_ns()
    }

    fn cancel(&self, alarm: u64) {
        self.wheel.borrow_mut().cancel(Key::from_bits(alarm));
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Alarm {
    fn fire(self, hub: &Hub, wakers: &mut Vec<Waker>) {
        match self {
            Alarm::Wake(task) => park::unpark(&task),
            Alarm::Hit(task, scope) => interrupt::hit(&task, scope),
            Alarm::Start(id) => hub.start_delayed(id),
            Alarm::Ring(slot) => wakers.extend(slot.take()),
        }
    }
}

/// An alarm that is taken back when this is dropped. Stays on the stack of the greenlet it is for.
#[derive(Debug)]
struct Armed {
    key: Key,
    /// Not `Send`: the wheel is the thread's.
    _local: core::marker::PhantomData<*const ()>,
}

impl Armed {
    fn new(deadline: Nanos, alarm: Alarm) -> Self {
        Armed {
            key: Timers::get().arm(deadline, alarm),
            _local: core::marker::PhantomData,
        }
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        let alarm = Timers::get().wheel.borrow_mut().cancel(self.key);
        drop(alarm); // after the wheel is free again
    }
}

/// A deadline for a wait of the running greenlet: wakes it when it comes.
///
/// Without a deadline it costs nothing and never expires.
#[derive(Debug)]
pub(crate) struct Deadline {
    at: Option<Nanos>,
    expired: Cell<bool>,
    _armed: Option<Armed>,
}

impl Deadline {
    pub(crate) fn new(at: Option<Nanos>) -> Self {
        Deadline {
            at,
            expired: Cell::new(false),
            _armed: at.map(|at| Armed::new(at, Alarm::Wake(hub::current_control().task.clone()))),
        }
    }

    /// When it comes, if it ever does.
    pub(crate) fn at(&self) -> Option<Nanos> {
        self.at
    }

    /// Whether it has come.
    pub(crate) fn has_come(&self) -> bool {
        let come = self.expired.get() || self.at.is_some_and(|at| clock::now() >= at);
        self.expired.set(come);
        come
    }
}

/// When the next alarm of this thread's hub fires, if any does.
pub(crate) fn next_alarm() -> Option<Nanos> {
    Timers::get().next()
}

/// Fires what is due on this thread's hub: for code that has to block the thread while others cannot run.
pub(crate) fn fire_due() {
    Timers::get().fire_due();
}

/// Waits until `at`, letting others run; false if it was over already.
fn sleep_until_nanos(at: Nanos) -> bool {
    let deadline = Deadline::new(Some(at));
    let mut waited = false;
    while !deadline.has_come() {
        waited = true;
        match park::park(WaitReason::SLEEP) {
            Ok(()) => {}
            Err(ParkError::Unwinding) => crate::sys::thread::sleep_until(at),
            Err(ParkError::Deadlock(report)) => panic!("sleeping for ever: {report}"),
        }
    }
    waited
}

/// Suspends the running greenlet for at least `duration`; the others go on.
///
/// Late by up to 65.5 µs or a thousandth of `duration`, whichever is more, and by what other greenlets do
/// meanwhile. `Duration::ZERO` is [`crate::yield_now`]. From code on the thread's own stack it runs the
/// others meanwhile. In a destructor that runs because of a panic or a kill it blocks the thread.
///
/// # Panics
/// If it would never return (`Duration::MAX`) on a thread's own stack, with nothing else to wait for.
///
/// ```
/// use std::time::{Duration, Instant};
/// let start = Instant::now();
/// let greenlets: Vec<_> = (0..100)
///     .map(|_| rustlet::spawn(|| rustlet::sleep(Duration::from_millis(20))))
///     .collect();
/// greenlets.into_iter().for_each(|g| g.join().unwrap());
/// assert!(start.elapsed() >= Duration::from_millis(20));
/// assert!(start.elapsed() < Duration::from_secs(2)); // together, not one after the other
/// ```
pub fn sleep(duration: Duration) {
    if duration.is_zero() || !sleep_until_nanos(clock::after(duration)) {
        // Already over: the others go on all the same, or a loop of short sleeps would starve them.
        crate::scheduler::yield_now();
    }
}

/// Suspends the running greenlet until `deadline`. If that has passed it returns at once, as an operation that finds data ready; 128
/// of these in a row let others run, so that a loop which is behind its schedule does not starve them.
///
/// # Panics
/// As [`sleep`].
///
/// ```
/// use std::time::{Duration, Instant};
/// let deadline = Instant::now() + Duration::from_millis(5);
/// rustlet::sleep_until(deadline);
/// assert!(Instant::now() >= deadline);
/// ```
pub fn sleep_until(deadline: Instant) {
    if !sleep_until_nanos(clock::of(deadline)) {
        hub::get().spend_budget();
    }
}

/// [`crate::park()`] that returns at the latest when `duration` has passed. In a destructor that runs because of a panic or a kill it
/// returns at once.
///
/// # Panics
/// If it would never return (`Duration::MAX`), as [`crate::park()`].
///
/// ```
/// use std::time::Duration;
/// rustlet::park_timeout(Duration::from_millis(1)); // nobody unparks; no deadlock either
/// ```
pub fn park_timeout(duration: Duration) {
    let deadline = Deadline::new(Some(clock::after(duration)));
    if !deadline.has_come() {
        match park::park(WaitReason::PARK) {
            Ok(()) | Err(ParkError::Unwinding) => {}
            Err(ParkError::Deadlock(report)) => panic!("parking for ever: {report}"),
        }
    }
}

/// As [`crate::spawn`], but the greenlet starts when `delay` has passed.
///
/// Until then it has no stack. A kill before that drops the closure, which never runs.
///
/// # Panics
/// As [`crate::spawn`].
///
/// ```
/// use std::time::Duration;
/// let later = rustlet::spawn_later(Duration::from_millis(5), || "ran");
/// assert!(!later.is_finished());
/// assert_eq!(later.join().unwrap(), "ran");
/// ```
#[track_caller]
pub fn spawn_later<F, T>(delay: Duration, f: F) -> Greenlet<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let at = clock::after(delay);
    Greenlet::delayed(f, |id| Timers::get().arm(at, Alarm::Start(id)).to_bits())
}

impl<T> Greenlet<T> {
    /// As [`Greenlet::join`], for no longer than `duration`.
    ///
    /// # Errors
    /// The handle, if the greenlet has not ended by then.
    ///
    /// ```
    /// use std::time::Duration;
    /// let slow = rustlet::spawn(|| rustlet::sleep(Duration::from_secs(3600)));
    /// let slow = slow.join_timeout(Duration::from_millis(5)).unwrap_err();
    /// slow.kill().unwrap();
    /// ```
    pub fn join_timeout(self, duration: Duration) -> Result<Result<T, JoinError>, Self> {
        if self.is_finished() {
            return Ok(self.take());
        }
        let deadline = Deadline::new(Some(clock::after(duration)));
        if let Err(error) = wait_done_or(self.task(), || deadline.has_come()) {
            return Ok(Err(JoinError::not_waited(self.task(), error)));
        }
        drop(deadline);
        self.try_join()
    }
}

/// A deadlock is an error that io-like callers cannot express; they cannot run into one.
pub(crate) fn no_deadlock(report: Deadlock) -> ! {
    unreachable!("a wait for a descriptor or a timer can always end: {report}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Slack never makes a deadline earlier, nor later by more than a thousandth of its distance.
        #[test]
        fn slack_is_late_by_a_thousandth_at_most(now: u64, distance: u64) {
            let deadline = now.saturating_add(distance);
            let late = with_slack(now, deadline) - deadline;
            prop_assert!(late <= (deadline - now) / 1000);
        }

        /// However long ago the wheel was looked at.
        #[test]
        fn slack_is_of_the_distance_from_now(looked: u64, since: u64, distance in 0..3_600_000_000_000_u64) {
            let now = looked.saturating_add(since);
            let deadline = now.saturating_add(distance);
            let late = rounded(looked, || now, deadline) - deadline;
            prop_assert!(late <= (deadline - now) / 1000);
        }
    }
}
