//! Those who wait for one of several things with [`crate::iwait`]: the thing's side of
//! [`Readiness`](crate::scheduler::waitable).
//!
//! A thing keeps its [`Observers`] behind its short lock, takes them all out when it becomes ready, and notifies them
//! after unlocking. They are nodes made before the lock is taken, so that nothing is allocated under it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::scheduler::waitable::Signal;

/// Who is to be told once that the thing is ready. The latest first.
#[derive(Debug, Default)]
pub(super) struct Observers {
    first: Option<Box<Observer>>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Observer {
    signal: Arc<Signal>,
    index: usize,
    /// No two of a process have the same.
    number: u64,
    next: Option<Box<Observer>>,
}

impl Observer {
    /// One that tells `signal` of thing number `index`.
    pub(super) fn new(signal: &Arc<Signal>, index: usize) -> Box<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Box::new(Observer {
            signal: signal.clone(),
            index,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            next: None,
        })
    }
}

impl Observers {
    pub(super) const fn none() -> Self {
        Observers { first: None }
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Adds one; returns its number.
    pub(super) fn add(&mut self, mut observer: Box<Observer>) -> u64 {
        let number = observer.number;
        observer.next = self.first.take();
        self.first = Some(observer);
        number
    }

    /// Takes one out, to be dropped when the lock has been given back.
    pub(super) fn remove(&mut self, number: u64) -> Option<Box<Observer>> {
        let mut place = &mut self.first;
        while place.as_ref().is_some_and(|here| here.number != number) {
            place = &mut place.as_mut().expect("checked just now").next;
        }
        let mut found = place.take()?;
        *place = found.next.take();
        Some(found)
    }

    /// Takes all out, to be notified when the lock has been given back.
    #[inline(always)]
    pub(super) fn take(&mut self) -> Self {
        Observers {
            first: self.first.take(),
        }
    }

    /// Tells them, in the order in which they came. Without the lock.
    #[inline(always)]
    pub(super) fn notify(self) {
        if !self.is_empty() {
            self.notify_some();
        }
    }

    #[cold]
    fn notify_some(mut self) {
        let mut reversed = Observers::none();
        while let Some(mut observer) = self.first.take() {
            self.first = observer.next.take();
            reversed.add(observer);
        }
        while let Some(mut observer) = reversed.first.take() {
            reversed.first = observer.next.take();
            observer.signal.notify(observer.index);
        }
    }
}

impl Drop for Observers {
    /// One by one: a long list must not be dropped in as many nested calls.
    fn drop(&mut self) {
        while let Some(mut observer) = self.first.take() {
            self.first = observer.next.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_told_in_order_and_leave_one_by_one() {
        let signal = Arc::new(Signal::default());
        let mut observers = Observers::none();
        let numbers: Vec<_> = (0..5)
            .map(|index| observers.add(Observer::new(&signal, index)))
            .collect();
        for gone in [0, 2, 4] {
            assert_eq!(observers.remove(numbers[gone]).unwrap().index, gone);
            assert!(observers.remove(numbers[gone]).is_none());
        }
        observers.take().notify();
        assert!(observers.is_empty());
        let told: Vec<_> = std::iter::from_fn(|| signal.next(None)).collect();
        assert_eq!(told, [1, 3]);
    }

    #[test]
    fn a_long_list_is_dropped_in_a_loop() {
        let signal = Arc::new(Signal::default());
        let mut observers = Observers::none();
        for index in 0..1_000_000 {
            observers.add(Observer::new(&signal, index));
        }
        drop(observers);
        assert_eq!(Arc::strong_count(&signal), 1);
    }
}
