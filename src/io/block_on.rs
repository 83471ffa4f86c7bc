//! [`block_on`]: a future, waited for by a greenlet.
//!
//! ```text
//!        poll ──ready──► its output
//!         │ ▲
//!   pending │
//!         ▼ └── rung ── park ◄── the waker, from any thread
//! ```
//! The future lies on the caller's stack. The waker is a [`Bell`], which says how none of its calls is lost.
//!
//! A future that wakes itself while it is polled asks to be polled again after the others: the hub takes a turn in between, not a
//! park that would return at once.
//!
//! # While unwinding
//! A destructor that runs because of a panic or a kill cannot be suspended. `sync` panics then, since only another
//! greenlet could end the wait. A future may well be waiting for a socket of its own (a library that says goodbye to a
//! server in a destructor, for example), so here the thread blocks, with descriptors and timers looked at and no greenlet
//! run. It is in `io` and not in `scheduler` for that.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::reactor;
use crate::scheduler::park::ParkError;
use crate::scheduler::wakers::Bell;
use crate::scheduler::{hub, yield_now};

/// Waits until `future` is ready, and returns what it gives.
///
/// The running greenlet alone waits; the others go on. From code on a thread's own stack it runs the thread's
/// greenlets meanwhile. Inside the future, whatever blocks in this library blocks the greenlet that polls it, other
/// parts of the future included.
///
/// The future is polled here, on this thread. Its waker may be called from any thread, any number of times, and later than this
/// returns. Sockets of this library, [`Greenlet`](crate::Greenlet)s and [`Sleep`](crate::Sleep) are futures or have traits of the
/// async world; futures that need a runtime of their own (tokio's sockets and timers, for example) find it as
/// elsewhere, by entering it.
///
/// A kill or a [`timeout`](crate::timeout()) unwinds out of it, and drops the future.
///
/// # Panics
/// On a thread's own stack, if nothing can ever wake it. As any other thread of the process might hold the waker, this is
/// only said while the process has a single thread.
///
/// # In destructors
/// In a destructor that runs because of a panic or a kill it blocks the thread; descriptors and timers that the
/// future waits for are looked at, but no greenlet of the thread runs. A future that only one of those could finish never ends.
///
/// ```
/// use std::time::Duration;
/// let answer = rustlet::spawn(|| {
///     rustlet::sleep(Duration::from_millis(1));
///     6
/// });
/// assert_eq!(rustlet::block_on(async { answer.await.unwrap() * 7 }), 42);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    // Before the future, so that it is retired after the future was dropped.
    let bell = Retired(Bell::new());
    let waker = Waker::from(bell.0.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = pin!(future);
    // Futures that are always ready must not starve the others.
    hub::get().spend_budget();
    loop {
        bell.0.reset();
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        if bell.0.is_rung() {
            yield_now();
            continue;
        }
        match bell.0.wait() {
            Ok(()) => {}
            Err(ParkError::Unwinding) => bell.0.wait_with(reactor::turn),
            Err(ParkError::Deadlock(report)) => panic!("waiting for a future: {report}"),
        }
    }
}

/// Nobody waits any more, however the wait ended.
struct Retired(Arc<Bell>);

impl Drop for Retired {
    fn drop(&mut self) {
        self.0.retire();
    }
}
