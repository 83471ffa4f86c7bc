//! Twin of `crossbeam_deque`: a first-in first-out deque that promises as much about order as that one does, and no more.
//!
//! The accesses to `front` and `back` are those of crossbeam-deque 0.8, in its order. What lies in the slots is not of interest,
//! so they are behind a lock that loom does not see: it orders nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::util::primitive::{AtomicUsize, Ordering, fence};

#[derive(Debug)]
struct Inner<T> {
    front: AtomicUsize,
    back: AtomicUsize,
    slots: Mutex<BTreeMap<usize, T>>,
}

impl<T> Inner<T> {
    fn put(&self, place: usize, item: T) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.insert(place, item);
    }

    fn take(&self, place: usize) -> Option<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(&place)
    }
}

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Worker<T>(Arc<Inner<T>>);

/// The others' end.
#[derive(Clone, Debug)]
pub(crate) struct Stealer<T>(Arc<Inner<T>>);

#[derive(Debug)]
pub(crate) enum Steal<T> {
    Empty,
    Success(T),
    Retry,
}

impl<T> Worker<T> {
    pub(crate) fn new_fifo() -> Self {
        Worker(Arc::new(Inner {
            front: AtomicUsize::default(),
            back: AtomicUsize::default(),
            slots: Mutex::default(),
        }))
    }

    pub(crate) fn stealer(&self) -> Stealer<T> {
        Stealer(self.0.clone())
    }

    pub(crate) fn push(&self, item: T) {
        let back = self.0.back.load(Ordering::Relaxed);
        self.0.put(back, item);
        self.0.back.store(back + 1, Ordering::Release);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        let back = self.0.back.load(Ordering::Relaxed);
        if self.0.front.load(Ordering::Relaxed) >= back {
            return None;
        }
        let front = self.0.front.fetch_add(1, Ordering::SeqCst);
        if front >= back {
            self.0.front.store(front, Ordering::Relaxed);
            return None;
        }
        Some(self.0.take(front).expect("it was pushed"))
    }

    pub(crate) fn len(&self) -> usize {
        let back = self.0.back.load(Ordering::Relaxed);
        let front = self.0.front.load(Ordering::SeqCst);
        back.saturating_sub(front)
    }
}

impl<T> Stealer<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        let front = self.0.front.load(Ordering::Acquire);
        fence(Ordering::SeqCst);
        let back = self.0.back.load(Ordering::Acquire);
        back.saturating_sub(front)
    }

    pub(crate) fn steal_batch(&self, thief: &Worker<T>) -> Steal<()> {
        let front = self.0.front.load(Ordering::Acquire);
        fence(Ordering::SeqCst);
        let back = self.0.back.load(Ordering::Acquire);
        let some = back.saturating_sub(front).div_ceil(2);
        if some == 0 {
            return Steal::Empty;
        }
        let taken =
            self.0
                .front
                .compare_exchange(front, front + some, Ordering::SeqCst, Ordering::Relaxed);
        if taken.is_err() {
            return Steal::Retry;
        }
        let place = thief.0.back.load(Ordering::Relaxed);
        for nth in 0..some {
            let item = self.0.take(front + nth).expect("it was pushed");
            thief.0.put(place + nth, item);
        }
        thief.0.back.store(place + some, Ordering::Release);
        Steal::Success(())
    }
}
