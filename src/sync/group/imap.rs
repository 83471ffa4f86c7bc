//! [`Pool::imap`], [`Pool::imap_unordered`]: iterators over the results of jobs, which run a little ahead.
//!
//! ```text
//!   next():  start jobs until `ahead` are started and not yielded, or the pool is full
//!            ──► wait for the oldest (imap), for any (imap_unordered) ──► its value, or its panic
//! ```
//! The consumer feeds the pool: items are taken in `next()` alone, on the consumer's stack, so the input may be any
//! iterator, and blocks whom it should. gevent has a greenlet do it, which starts before anyone asks and goes on while
//! nobody does; here the look-ahead is what runs meanwhile.
//!
//! # Nothing is lost
//! An item is taken out of the input before its slot is waited for; if that wait is interrupted it is kept
//! for the next `next()`. A job is taken off the list when it has ended. If `next()` of the input unwinds, the input counts as
//! exhausted: what was started is still yielded.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::crew::Crew;
use super::pool::{Pool, SPAWNING};
use super::roster::Roster;
use super::unbounded;
use crate::scheduler::park::{self, ParkError, WaitReason};
use crate::scheduler::waitable::{Readiness, Signal, Travels};
use crate::scheduler::{Greenlet, JoinError, scoped};

/// Look-ahead in a pool without a limit.
const AHEAD: usize = 128;

impl Pool {
    /// Runs `f` on the items in greenlets of the pool, and yields the values in the order of the items.
    ///
    /// Lazy: nothing is started before the first `next()`. Jobs run ahead of the consumer, as many as the pool
    /// has slots (128 without a limit; [`IMap::ahead`] sets another number).
    ///
    /// If `f` panics for an item, the `next()` that would yield its value panics so, and the one
    /// after it goes on with the next item; [`IMap::results`] yields `Result`s instead. Dropping the iterator
    /// leaves jobs that were started running, as in gevent.
    ///
    /// ```
    /// let pool = rustlet::Pool::new(3);
    /// let mut squares = pool.imap(1.., |n: u64| n * n);
    /// assert_eq!(squares.nth(9), Some(100));
    /// ```
    pub fn imap<I, R, F>(&self, items: I, f: F) -> IMap<I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        IMap {
            feed: Feed::new(&self.crew, items.into_iter(), f),
            jobs: VecDeque::new(),
        }
    }

    /// As [`Pool::imap`], but yields the values as they come.
    ///
    /// ```
    /// use std::time::Duration;
    /// let pool = rustlet::Pool::new(3);
    /// let times = pool.imap_unordered([3, 1, 2], |n| {
    ///     rustlet::sleep(Duration::from_millis(10 * n));
    ///     n
    /// });
    /// assert_eq!(Vec::from_iter(times), [1, 2, 3]);
    /// ```
    pub fn imap_unordered<I, R, F>(&self, items: I, f: F) -> IMapUnordered<I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        IMapUnordered {
            feed: Feed::new(&self.crew, items.into_iter(), f),
            jobs: Roster::new(),
            signal: Arc::default(),
            travels: Travels::default(),
        }
    }
}

/// Where jobs come from.
struct Feed<I: Iterator, F> {
    crew: Arc<Crew>,
    items: I,
    /// Taken out of `items`, not started.
    taken: Option<I::Item>,
    exhausted: bool,
    f: Arc<F>,
    ahead: usize,
}

impl<I: Iterator, F> Feed<I, F> {
    fn new(crew: &Arc<Crew>, items: I, f: F) -> Self {
        Feed {
            crew: crew.clone(),
            items,
            taken: None,
            exhausted: false,
            f: Arc::new(f),
            ahead: match crew.limit() {
                Crew::UNLIMITED => AHEAD,
                limit => limit.max(1),
            },
        }
    }

    /// Starts the next job, if there is an item, and a slot; waits for a slot if no job is `running`.
    fn start<R>(&mut self, running: usize) -> Option<Greenlet<R>>
    where
        I::Item: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        if running >= self.ahead {
            return None;
        }
        if self.taken.is_none() && !self.exhausted {
            self.exhausted = true; // if `next` unwinds
            self.taken = self.items.next();
            self.exhausted = self.taken.is_none();
        }
        self.taken.as_ref()?;
        let key = match self.crew.try_reserve() {
            Some(key) => key,
            None if running > 0 => return None,
            None => match self.crew.reserve(None) {
                Ok(key) => key,
                Err(error) => error.panic(SPAWNING),
            },
        };
        let (item, f) = (self.taken.take()?, self.f.clone());
        Some(unbounded::start(&self.crew, key, move || f(item)))
    }
}

/// See [`Pool::imap`].
#[must_use = "an iterator does nothing until it is asked for the next"]
pub struct IMap<I: Iterator, F, R> {
    feed: Feed<I, F>,
    jobs: VecDeque<Greenlet<R>>,
}

/// See [`Pool::imap_unordered`].
#[must_use = "an iterator does nothing until it is asked for the next"]
pub struct IMapUnordered<I: Iterator, F, R> {
    feed: Feed<I, F>,
    jobs: Roster<Greenlet<R>>,
    /// Jobs report their ends here, by their keys.
    signal: Arc<Signal>,
    travels: Travels,
}

impl<I, F, R> IMap<I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    /// Sets how many jobs there may be at most that were started and not yielded, 1 at least.
    pub fn ahead(mut self, jobs: usize) -> Self {
        self.feed.ahead = jobs.max(1);
        self
    }

    /// Yields `Result`s, in which a panic is an error.
    pub fn results(self) -> Results<Self> {
        Results(self)
    }
}

impl<I, F, R> IMapUnordered<I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    /// As [`IMap::ahead`].
    pub fn ahead(mut self, jobs: usize) -> Self {
        self.feed.ahead = jobs.max(1);
        self
    }

    /// As [`IMap::results`].
    pub fn results(self) -> Results<Self> {
        Results(self)
    }

    /// The key of the next job that has ended.
    fn ended(signal: &Signal, travels: &mut Travels) -> Result<usize, ParkError> {
        struct Left<'a>(&'a Signal);
        impl Drop for Left<'_> {
            fn drop(&mut self) {
                self.0.leave();
            }
        }
        const JOBS: &str = "one of a pool's greenlets";
        let me = scoped::current_task();
        let reason = match travels.go_on_here() {
            true => WaitReason::external(JOBS),
            false => WaitReason::local(JOBS),
        };
        let _left = Left(signal);
        loop {
            if let Some(index) = signal.next(Some(&me)) {
                return Ok(index);
            }
            park::park(reason)?;
        }
    }
}

/// An iterator over the results of a pool's jobs; what [`Results`] needs of it. Sealed: not nameable outside.
pub trait NextResult {
    /// What the jobs return.
    type Value;
    /// The next result.
    fn next_result(&mut self) -> Option<Result<Self::Value, JoinError>>;
}

impl<I, F, R> NextResult for IMap<I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Value = R;

    fn next_result(&mut self) -> Option<Result<R, JoinError>> {
        while let Some(job) = self.feed.start(self.jobs.len()) {
            self.jobs.push_back(job);
        }
        // Left on the list while it is waited for, since that may be interrupted.
        let waited = self.jobs.front()?.wait();
        let job = self.jobs.pop_front()?;
        Some(waited.and_then(|()| job.take()))
    }
}

impl<I, F, R> NextResult for IMapUnordered<I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Value = R;

    fn next_result(&mut self) -> Option<Result<R, JoinError>> {
        while let Some(job) = self.feed.start(self.jobs.len()) {
            let handle = job.handle();
            let key = self.jobs.push(job);
            if handle.register(&self.signal, key.index()).is_none() {
                self.signal.notify(key.index());
            }
        }
        loop {
            let (oldest, job) = self.jobs.iter().next()?;
            match Self::ended(&self.signal, &mut self.travels) {
                Ok(index) => {
                    // A report may be that of a job that was given up, whose key another has now.
                    if self
                        .jobs
                        .get_index(index)
                        .is_some_and(Greenlet::is_finished)
                    {
                        return Some(self.jobs.remove_index(index)?.take());
                    }
                }
                Err(error) => {
                    let error = JoinError::not_waited(job.task(), error);
                    drop(self.jobs.remove(oldest));
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<I, F, R> Iterator for IMap<I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Item = R;

    fn next(&mut self) -> Option<R> {
        let result = self.next_result()?;
        Some(result.unwrap_or_else(|error| error.resume()))
    }
}

impl<I, F, R> Iterator for IMapUnordered<I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Item = R;

    fn next(&mut self) -> Option<R> {
        let result = self.next_result()?;
        Some(result.unwrap_or_else(|error| error.resume()))
    }
}

/// The results of [`Pool::imap`] or [`Pool::imap_unordered`] with panics as errors; see [`IMap::results`].
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is asked for the next"]
pub struct Results<M>(M);

impl<M: NextResult> Iterator for Results<M> {
    type Item = Result<M::Value, JoinError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_result()
    }
}

impl<I: Iterator, F, R> fmt::Debug for IMap<I, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMap")
            .field("started", &self.jobs.len())
            .finish_non_exhaustive()
    }
}

impl<I: Iterator, F, R> fmt::Debug for IMapUnordered<I, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IMapUnordered")
            .field("started", &self.jobs.len())
            .finish_non_exhaustive()
    }
}
