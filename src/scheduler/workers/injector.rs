//! The queue of a runtime for those who are not its workers: threads that spawn into it, wakers that fire elsewhere.
//!
//! First in, first out, behind a lock. `crossbeam_deque::Injector` has no lock, but cannot be closed: a greenlet that is spawned
//! while the runtime ends must be refused or run, and never be forgotten in a queue that nobody looks at any more.
//!
//! It closes in two steps. While the runtime drains, nothing new is taken; but a future that has been spawned and waits is part of what
//! is to drain, and who wakes it may be any thread.

use std::collections::VecDeque;

use super::fresh::Fresh;
use crate::sys::short_lock::ShortLock;
use crate::util::primitive::{AtomicU64, AtomicUsize, Ordering};

#[derive(Debug)]
pub(in crate::scheduler) struct Injector {
    queue: ShortLock<Queue>,
    /// `queue.items.len()`, for a look without the lock.
    len: AtomicUsize,
    /// Greenlets that were ever pushed.
    greenlets: AtomicU64,
}

#[derive(Debug)]
struct Queue {
    items: VecDeque<Fresh>,
    takes: Takes,
}

/// What is accepted.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum Takes {
    Nothing,
    /// What has been here before: futures that were woken.
    Known,
    All,
}

impl Injector {
    pub(super) fn new() -> Self {
        Injector {
            queue: ShortLock::new(Queue {
                items: VecDeque::new(),
                takes: Takes::All,
            }),
            len: AtomicUsize::new(0),
            greenlets: AtomicU64::new(0),
        }
    }

    /// Appends what is new. Somebody is to be woken afterwards.
    ///
    /// # Errors
    /// With the item, if it is closed, to what is new at least.
    pub(super) fn push(&self, item: Fresh, greenlets: u64) -> Result<(), Fresh> {
        self.append(item, greenlets, Takes::All)
    }

    /// As [`Injector::push`], for a future that was woken.
    ///
    /// # Errors
    /// With the item, if it is closed.
    pub(super) fn push_known(&self, item: Fresh) -> Result<(), Fresh> {
        self.append(item, 0, Takes::Known)
    }

    fn append(&self, item: Fresh, greenlets: u64, needs: Takes) -> Result<(), Fresh> {
        let mut queue = self.queue.lock();
        if queue.takes < needs {
            drop(queue);
            return Err(item);
        }
        // Counted before a worker can count its end.
        self.greenlets.fetch_add(greenlets, Ordering::Relaxed);
        queue.items.push_back(item);
        self.len.store(queue.items.len(), Ordering::Release);
        Ok(())
    }

    /// Whether there is nothing now. After a sequentially consistent fence this sees every push before it.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    /// Moves the oldest to `take`: a fair share for one of `workers`.
    pub(super) fn take_share(&self, workers: usize, mut take: impl FnMut(Fresh)) -> usize {
        let mut queue = self.queue.lock();
        let share = queue.items.len().div_ceil(workers).min(LARGEST_SHARE);
        let taken: Vec<Fresh> = queue.items.drain(..share).collect();
        self.len.store(queue.items.len(), Ordering::Release);
        drop(queue);
        taken.into_iter().for_each(&mut take);
        share
    }

    /// Calls `f`, which counts something new that goes another way, before this is closed to what is new; false if it is.
    pub(super) fn if_open(&self, f: impl FnOnce()) -> bool {
        let queue = self.queue.lock();
        let open = queue.takes == Takes::All;
        if open {
            f();
        }
        open
    }

    /// Refuses what is new from now on. What is there stays.
    pub(super) fn close_to_new(&self) {
        let mut queue = self.queue.lock();
        if queue.takes == Takes::All {
            queue.takes = Takes::Known;
        }
    }

    /// Refuses what comes from now on. What is there stays.
    pub(super) fn close(&self) {
        self.queue.lock().takes = Takes::Nothing;
    }

    pub(super) fn greenlets(&self) -> u64 {
        self.greenlets.load(Ordering::Relaxed)
    }
}

/// What a worker takes at once at most; more would wait behind each other while others are idle.
const LARGEST_SHARE: usize = 128;
