//! Waiting for whichever of many comes first: `iwait`, `wait`.
//!
//! The protocol with the things that are waited for is told in [`crate::scheduler::waitable`]. What belongs to the one
//! who waits is an [`IWait`]: the things that have not been yielded, each with its registration. It registers with
//! all of them at its first step, and takes back what is left at its last, or when it is dropped.
//!
//! Nothing of it refers to the greenlet that made it, so that an iterator may be passed on: who waits is
//! noted for the time of a wait.

use core::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::Deadline;
use crate::scheduler::Waitable;
use crate::scheduler::hub;
use crate::scheduler::park::{self, ParkError, WaitReason};
use crate::scheduler::waitable::{Signal, Travels};
use crate::sys::clock::{self, Nanos};

/// Waits for greenlets (or other things, see [`Waitable`]) and yields each as it becomes ready.
///
/// Those that are ready when the iteration begins come first, in the order given; then the others in the order in
/// which they become ready. The same greenlet may be given several times, and is yielded as often.
/// [`IWait::timeout`] and [`Iterator::take`] end the iteration earlier. What was given and not yielded is dropped
/// with the iterator, which leaves no trace in the things: greenlets given by value are detached.
///
/// # Panics
/// The iterator panics on a thread's own stack if nothing can ever make one of the rest ready, with the
/// text of a [`crate::Deadlock`]. While its caller is unwinding it yields what is ready, and ends where it would wait.
///
/// ```
/// use std::time::Duration;
/// let greenlets = [20, 10, 0].map(|ms| {
///     rustlet::spawn(move || {
///         rustlet::sleep(Duration::from_millis(ms));
///         ms
///     })
/// });
/// let order: Vec<_> = rustlet::iwait(greenlets).map(|g| g.join().unwrap()).collect();
/// assert_eq!(order, [0, 10, 20]);
/// ```
pub fn iwait<W: Waitable>(objects: impl IntoIterator<Item = W>) -> IWait<W> {
    let places = objects.into_iter().map(|object| Place {
        object,
        registration: None,
    });
    let places = Vec::from_iter(places.map(Some));
    IWait {
        left: places.len(),
        places,
        signal: Arc::default(),
        limit: None,
        phase: Phase::Fresh,
        travels: Travels::default(),
    }
}

/// Waits until `count` of `objects` are ready (all, if `None`) or `timeout` has passed, and returns those that are, in the
/// order in which they became so. As [`iwait`], which see.
///
/// # Panics
/// As [`iwait`].
///
/// ```
/// use std::time::Duration;
/// let slow = rustlet::spawn(|| rustlet::sleep(Duration::from_secs(3600)));
/// let quick = rustlet::spawn(|| ());
/// let ready = rustlet::wait([&slow, &quick], Some(Duration::from_millis(5)), None);
/// assert_eq!(ready.len(), 1);
/// assert_eq!(ready[0].id(), quick.id());
/// ```
pub fn wait<W: Waitable>(
    objects: impl IntoIterator<Item = W>,
    timeout: Option<Duration>,
    count: Option<usize>,
) -> Vec<W> {
    let mut ready = iwait(objects);
    if let Some(timeout) = timeout {
        ready = ready.timeout(timeout);
    }
    ready.take(count.unwrap_or(usize::MAX)).collect()
}

/// The iterator that [`iwait`] returns.
#[must_use = "an iterator waits when it is asked for the next"]
pub struct IWait<W: Waitable> {
    /// Emptied as things are yielded; their indices name them to the signal.
    places: Vec<Option<Place<W>>>,
    /// Places that are not empty.
    left: usize,
    signal: Arc<Signal>,
    limit: Option<Duration>,
    phase: Phase,
    travels: Travels,
}

struct Place<W> {
    object: W,
    registration: Option<u64>,
}

enum Phase {
    Fresh,
    Begun {
        /// When to give up, if ever.
        deadline: Option<Nanos>,
        /// Another thread may make one of the things ready.
        external: bool,
    },
    Over,
}

impl<W: Waitable> IWait<W> {
    /// Ends the iteration when `timeout` has passed since it began: since `next` was called first. With zero it
    /// yields what is ready, and does not wait.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limit = Some(timeout);
        self
    }

    /// Registers with everything.
    fn begin(&mut self) {
        // What is of another thread is said of this one.
        self.travels.go_on_here();
        let mut external = false;
        for (index, place) in self.places.iter_mut().enumerate() {
            let place = place.as_mut().expect("nothing has been yielded");
            place.registration = place.object.register(&self.signal, index);
            external |= place.object.is_external();
            if place.registration.is_none() {
                self.signal.notify(index);
            }
        }
        self.phase = Phase::Begun {
            deadline: self.limit.map(clock::after),
            external,
        };
    }

    /// The thing at `index`, which has reported, if it is ready still.
    fn yield_place(&mut self, index: usize) -> Option<W> {
        let place = self.places[index].as_mut()?;
        place.registration = None;
        if !place.object.is_ready() {
            place.registration = place.object.register(&self.signal, index);
            if place.registration.is_some() {
                return None;
            }
        }
        self.left -= 1;
        self.places[index].take().map(|place| place.object)
    }

    /// Takes back what is left.
    fn end(&mut self) {
        self.phase = Phase::Over;
        for place in self.places.iter_mut().flatten() {
            if let Some(registration) = place.registration.take() {
                place.object.unregister(registration);
            }
        }
    }
}

impl<W: Waitable> Iterator for IWait<W> {
    type Item = W;

    fn next(&mut self) -> Option<W> {
        if let Phase::Fresh = self.phase {
            self.begin();
        }
        while let Phase::Begun { deadline, external } = self.phase {
            if self.left == 0 {
                self.end();
                break;
            }
            let me = &hub::current_control().task;
            if let Some(index) = self.signal.next(Some(me)) {
                match self.yield_place(index) {
                    Some(object) => return Some(object),
                    None => continue,
                }
            }
            let external = self.travels.go_on_here() || external;
            let left = Left(&self.signal);
            if deadline.is_none_or(|at| clock::now() < at) {
                let _alarm = Deadline::new(deadline);
                match park::park(wait_for_any(external)) {
                    Ok(()) => continue,
                    Err(ParkError::Deadlock(report)) => panic!("iwait: {report}"),
                    Err(ParkError::Unwinding) => {}
                }
            }
            drop(left);
            self.end();
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl<W: Waitable> core::iter::FusedIterator for IWait<W> {}

fn wait_for_any(external: bool) -> WaitReason {
    const WHAT: &str = "one of several things";
    if external {
        WaitReason::external(WHAT)
    } else {
        WaitReason::local(WHAT)
    }
}

/// Whoever waits waits no more.
struct Left<'a>(&'a Signal);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<W: Waitable> Drop for IWait<W> {
    fn drop(&mut self) {
        self.end();
    }
}

impl<W: Waitable> fmt::Debug for IWait<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IWait")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
