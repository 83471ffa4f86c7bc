//! [`Registration::poll_operate`]: an operation for a future, which is polled and does not wait.
//!
//! The same readiness, remembered in the same place, as for greenlets that wait; what differs is that "not now" leaves a
//! waker in the source and returns. Nothing in here suspends, whoever the poller is: futures are polled with locks of
//! their own libraries held.

use std::io;
use std::task::{Context, Poll, Waker};

use rustix::fd::BorrowedFd;
use rustix::io::Errno;

use super::{Here, Interest, Reactor, Registration, retry};
use crate::scheduler::hub;

impl Registration {
    /// Tries `op`; if it says "would block", leaves the context's waker to be called when `interest` may be ready.
    ///
    /// As [`Registration::operate`] otherwise. The waker replaces the one that was left on this thread before for the same
    /// direction. One that was left on another thread stays there, and is called in vain at the next edge.
    ///
    /// After [`BUDGET`](crate::scheduler::BUDGET) operations without a look at the kernel's events it calls the waker and
    /// is pending, so that a future with an endless supply of data lets others run.
    ///
    /// # Errors
    /// As there, without a deadline.
    pub(crate) fn poll_operate<T>(
        &self,
        cx: &mut Context<'_>,
        fd: BorrowedFd<'_>,
        interest: Interest,
        emptied: impl Fn(&T) -> bool,
        mut op: impl FnMut() -> Result<T, Errno>,
    ) -> Poll<io::Result<T>> {
        let hub = hub::get();
        let mut here = self.here(hub);
        loop {
            if self.is_closed() {
                return Poll::Ready(Err(Errno::BADF.into()));
            }
            if here.is_none_or(|here| here.is_ready(interest)) {
                // Also when it is not registered, since it never had to wait.
                if Reactor::get().is_ok_and(Reactor::spend_poll_budget) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let result = retry(&mut op);
                let clear = match &result {
                    Err(Errno::AGAIN) => true,
                    Ok(value) => emptied(value),
                    Err(_) => false,
                };
                if clear && let Some(here) = here {
                    here.clear(interest, result.is_err());
                }
                if !matches!(result, Err(Errno::AGAIN)) {
                    return Poll::Ready(result.map_err(Into::into));
                }
            }
            let place = match here {
                Some(here) => here,
                None => *here.insert(match self.register(hub, fd) {
                    Ok(here) => here,
                    Err(error) => return Poll::Ready(Err(error)),
                }),
            };
            match place.leave_waker(interest, cx.waker()) {
                Some(true) => return Poll::Pending,
                Some(false) => {}
                None => return Poll::Ready(Err(Errno::BADF.into())),
            }
        }
    }
}

impl Here {
    /// Leaves `waker`; false if the direction is ready, `None` if the descriptor has been closed.
    fn leave_waker(self, interest: Interest, waker: &Waker) -> Option<bool> {
        {
            let mut sources = self.reactor.sources.borrow_mut();
            let source = sources.get_mut(self.key)?;
            if source.is_ready(interest) {
                return Some(false);
            }
            if source.has_waker(interest, waker) {
                return Some(true);
            }
        }
        // Cloned and dropped while nothing is borrowed: both are code of somebody else's.
        let waker = waker.clone();
        let (left, old) = {
            let mut sources = self.reactor.sources.borrow_mut();
            match sources.get_mut(self.key) {
                Some(source) => (true, source.set_waker(interest, waker)),
                None => (false, Some(waker)),
            }
        };
        if left && old.is_none() {
            let waiters = &self.reactor.waiters;
            waiters.set(waiters.get() + 1);
        }
        drop(old);
        left.then_some(true)
    }
}
