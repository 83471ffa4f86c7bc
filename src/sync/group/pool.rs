//! [`Pool`]: a group with a bound, in which spawning waits for a slot.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::crew::{Crew, Job};
use super::roster::Key;
use super::unbounded::{self, within};
use crate::scheduler::{Greenlet, Handle, scoped, spawn};
use crate::sync::waiter::deadline_in;

pub(super) const SPAWNING: &str = "spawning into a pool";

/// A [`Group`](crate::Group) of limited size: spawning into a full one waits, first come, first served. gevent's
/// `pool.Pool`.
///
/// Back-pressure is its purpose: a loop that spawns a greenlet per request takes no more requests than
/// the pool has slots. A slot is free again when its greenlet ends, by itself, by a panic, or killed, be it
/// before it started. Dropping the pool detaches: its greenlets go on.
///
/// ```
/// use rustlet::Pool;
/// let pool = Pool::new(2);
/// let first = pool.spawn(|| 1);
/// let second = pool.spawn(|| 2);
/// assert!(pool.is_full());
/// let third = pool.spawn(|| 3); // waits until the first has ended
/// assert!(first.is_finished());
/// assert_eq!(second.join().unwrap() + third.join().unwrap(), 5);
///
/// let lengths = pool.map(["a", "bc", "def"], |text| text.len());
/// assert_eq!(lengths, [1, 2, 3]);
/// ```
pub struct Pool {
    pub(super) crew: Arc<Crew>,
}

impl Pool {
    /// A pool for `size` greenlets at a time. In a pool of 0 spawning waits for ever, as in gevent.
    pub fn new(size: usize) -> Self {
        Pool {
            crew: Crew::shared(size),
        }
    }

    /// A pool without a limit: spawning never waits.
    pub fn unlimited() -> Self {
        Pool::new(Crew::UNLIMITED)
    }

    /// How many greenlets it is for; `None` if there is no limit.
    pub fn size(&self) -> Option<usize> {
        Some(self.crew.limit()).filter(|&limit| limit != Crew::UNLIMITED)
    }

    fn reserve(&self) -> Key {
        match self.crew.reserve(None) {
            Ok(key) => key,
            Err(error) => error.panic(SPAWNING),
        }
    }

    fn reserve_timeout(&self, limit: Duration) -> Option<Key> {
        if let Some(key) = self.crew.try_reserve() {
            return Some(key);
        }
        match self.crew.reserve(Some(&deadline_in(limit))) {
            Ok(key) => Some(key),
            Err(error) => {
                error.timed_out_or_panic(SPAWNING);
                None
            }
        }
    }

    /// Spawns a greenlet, as [`crate::spawn`], when a slot is free.
    ///
    /// A kill or a limit that ends the wait drops `f` and takes no slot.
    ///
    /// # Panics
    /// As [`crate::spawn`]; and if it would have to wait and cannot: on a thread's own stack when nothing can ever
    /// free a slot ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let key = self.reserve();
        unbounded::start(&self.crew, key, f)
    }

    /// As [`Pool::spawn`], for closures and values that must stay on this thread.
    ///
    /// # Panics
    /// As [`Pool::spawn`].
    #[track_caller]
    pub fn spawn_local<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let key = self.reserve();
        unbounded::start_here(&self.crew, key, f)
    }

    /// As [`Pool::spawn`], if a slot is free. Never waits.
    ///
    /// # Errors
    /// With the closure, if the pool is full.
    ///
    /// ```
    /// let pool = rustlet::Pool::new(1);
    /// pool.try_spawn(|| ()).unwrap();
    /// let refused = pool.try_spawn(|| "mine again").unwrap_err();
    /// assert_eq!((refused.0)(), "mine again");
    /// ```
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<Greenlet<T>, PoolFull<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.crew.try_reserve() {
            Some(key) => Ok(unbounded::start(&self.crew, key, f)),
            None => Err(PoolFull(f)),
        }
    }

    /// As [`Pool::spawn`], but waits for no longer than `limit`.
    ///
    /// # Errors
    /// With the closure, if no slot came free.
    ///
    /// # Panics
    /// As [`Pool::spawn`].
    #[track_caller]
    pub fn spawn_timeout<F, T>(&self, limit: Duration, f: F) -> Result<Greenlet<T>, PoolFull<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.reserve_timeout(limit) {
            Some(key) => Ok(unbounded::start(&self.crew, key, f)),
            None => Err(PoolFull(f)),
        }
    }

    /// Makes a greenlet a member, when a slot is free; false if it is one already or has ended. Looks at all members.
    ///
    /// # Panics
    /// As [`Pool::spawn`].
    pub fn add(&self, greenlet: impl Into<Handle>) -> bool {
        let greenlet = greenlet.into();
        if greenlet.is_finished() || self.crew.contains(greenlet.task()) {
            return false;
        }
        let key = self.reserve();
        unbounded::adopt(&self.crew, key, &greenlet);
        true
    }

    /// Takes a member out, which goes on; its slot is free then. False if it is none.
    pub fn discard(&self, greenlet: impl Into<Handle>) -> bool {
        self.crew.discard(greenlet.into().task())
    }

    /// Runs `f` in a greenlet of the pool, and returns its value.
    ///
    /// If the pool is full and the caller is one of its own greenlets, `f` is run at once by the caller: a pool cannot
    /// wait for itself.
    ///
    /// If the caller is killed or timed out meanwhile, the greenlet goes on.
    ///
    /// # Panics
    /// If `f` does, with its payload; if its greenlet was killed; and as [`Pool::spawn`].
    #[track_caller]
    pub fn apply<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let key = match self.crew.try_reserve() {
            Some(key) => key,
            None if self.crew.contains(&scoped::current_task()) => return f(),
            None => self.reserve(),
        };
        let job = unbounded::start(&self.crew, key, f);
        job.join().unwrap_or_else(|error| error.resume())
    }

    /// Has `f` run in the pool, when a slot is free. Never waits.
    ///
    /// If the pool is full, the greenlet that is returned waits for a slot itself, and is a member
    /// from then on.
    #[track_caller]
    pub fn apply_async<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if let Some(key) = self.crew.try_reserve() {
            return unbounded::start(&self.crew, key, f);
        }
        let crew = self.crew.clone();
        spawn(move || {
            let key = match crew.reserve(None) {
                Ok(key) => key,
                Err(error) => error.panic(SPAWNING),
            };
            let job = Job::new(f, crew.clone(), key);
            crew.enter(key, scoped::current_task());
            job.run()
        })
    }

    /// Waits until the pool is empty; see [`Group::join`](crate::Group::join).
    ///
    /// # Panics
    /// As there.
    pub fn join(&self) {
        unbounded::join(&self.crew);
    }

    /// As [`Pool::join`], for no longer than `limit`; whether it was empty.
    ///
    /// # Panics
    /// As [`Pool::join`].
    pub fn join_timeout(&self, limit: Duration) -> bool {
        unbounded::join_timeout(&self.crew, limit)
    }

    /// Kills all greenlets of the pool, and waits until it is empty; see [`Group::kill`](crate::Group::kill).
    ///
    /// # Panics
    /// As there.
    pub fn kill(&self) {
        unbounded::kill(&self.crew);
    }

    /// As [`Pool::kill`], but waits for no longer than `limit`; whether it was empty.
    ///
    /// # Panics
    /// As [`Pool::join`].
    pub fn kill_timeout(&self, limit: Duration) -> bool {
        unbounded::kill_timeout(&self.crew, limit)
    }

    /// Kills those who are members now, without waiting. A member that calls it unwinds at once.
    pub fn kill_nowait(&self) {
        self.crew.kill_members();
    }

    /// How many greenlets are in the pool now.
    pub fn len(&self) -> usize {
        self.crew.len()
    }

    /// Whether no greenlet is in the pool now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many slots are free now; `usize::MAX` if there is no limit.
    pub fn free_count(&self) -> usize {
        self.crew.free()
    }

    /// Whether no slot is free now.
    pub fn is_full(&self) -> bool {
        self.free_count() == 0
    }

    /// Waits until a slot is free, without taking it: others may be faster.
    ///
    /// # Panics
    /// As [`Pool::spawn`], if it cannot wait.
    pub fn wait_available(&self) {
        if let Err(error) = self.crew.wait_available(None) {
            error.panic(WAITING);
        }
    }

    /// As [`Pool::wait_available`], for no longer than `limit`; whether one was free.
    ///
    /// # Panics
    /// As there.
    pub fn wait_available_timeout(&self, limit: Duration) -> bool {
        within(limit, WAITING, |deadline| {
            self.crew.wait_available(Some(deadline))
        })
    }

    /// Whether the greenlet is in the pool. Looks at all members.
    pub fn contains(&self, greenlet: impl Into<Handle>) -> bool {
        self.crew.contains(greenlet.into().task())
    }

    /// The greenlets in the pool, in the order in which they came.
    pub fn handles(&self) -> Vec<Handle> {
        unbounded::handles(&self.crew)
    }
}

const WAITING: &str = "waiting for a slot of a pool";

impl IntoIterator for &Pool {
    type Item = Handle;
    type IntoIter = std::vec::IntoIter<Handle>;

    /// The greenlets in the pool at the time of the call.
    fn into_iter(self) -> Self::IntoIter {
        self.handles().into_iter()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("size", &self.size())
            .field("len", &self.len())
            .finish()
    }
}

/// The pool was full. Gives the closure back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PoolFull<F>(pub F);

impl<F> fmt::Display for PoolFull<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the pool is full")
    }
}

impl<F> fmt::Debug for PoolFull<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolFull(..)")
    }
}

impl<F> std::error::Error for PoolFull<F> {}
