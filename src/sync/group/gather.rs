//! Waiting for many greenlets at once: [`gather`], [`gather_settled`], [`as_completed`], [`wait_until`]; and for one that
//! nobody disturbs: [`shield`]. asyncio's, on [`crate::iwait`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::scheduler::waitable::{Readiness, Signal};
use crate::scheduler::{Greenlet, Handle, JoinError, Waitable, spawn};
use crate::timer::{IWait, iwait};

/// One of several greenlets, with its place among them.
struct Numbered<T> {
    index: usize,
    greenlet: Greenlet<T>,
}

impl<T> Readiness for Numbered<T> {
    fn is_ready(&self) -> bool {
        self.greenlet.is_ready()
    }

    fn register(&self, signal: &Arc<Signal>, index: usize) -> Option<u64> {
        self.greenlet.register(signal, index)
    }

    fn unregister(&self, registration: u64) {
        self.greenlet.unregister(registration);
    }

    fn is_external(&self) -> bool {
        self.greenlet.is_external()
    }
}

impl<T> Waitable for Numbered<T> {}

fn numbered<T>(greenlets: impl IntoIterator<Item = Greenlet<T>>) -> Vec<Numbered<T>> {
    let numbered = greenlets.into_iter().enumerate();
    let numbered = numbered.map(|(index, greenlet)| Numbered { index, greenlet });
    numbered.collect()
}

/// Kills when it is dropped, unless the wait it stands for has ended.
struct Responsible(Vec<Handle>);

impl Drop for Responsible {
    fn drop(&mut self) {
        self.0.iter().for_each(Handle::kill);
    }
}

/// Waits for all greenlets, and returns their values in the order of the argument; the error of the first that
/// fails, as soon as it does.
///
/// The others go on then, as with asyncio's `gather`; [`TaskGroup`](crate::TaskGroup) kills them. As there, if the
/// caller is killed or timed out meanwhile, all of them are killed.
///
/// # Errors
/// How the first that failed, in time, ended.
///
/// # Panics
/// If it would have to wait and cannot: on a thread's own stack when nothing can ever end them
/// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
///
/// ```
/// use rustlet::{gather, sleep, spawn};
/// use std::time::Duration;
/// let jobs = [3, 1, 2].map(|n| spawn(move || { sleep(Duration::from_millis(n)); n }));
/// assert_eq!(gather(jobs).unwrap(), [3, 1, 2]);
/// ```
pub fn gather<T>(greenlets: impl IntoIterator<Item = Greenlet<T>>) -> Result<Vec<T>, JoinError> {
    let all = numbered(greenlets);
    let mut values: Vec<Option<T>> = all.iter().map(|_| None).collect();
    let handles = all.iter().map(|one| one.greenlet.handle());
    let mut responsible = Responsible(handles.collect());
    let mut failed = None;
    for Numbered { index, greenlet } in iwait(all) {
        match greenlet.take() {
            Ok(value) => values[index] = Some(value),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    responsible.0.clear();
    match failed {
        Some(error) => Err(error),
        None => Ok(values
            .into_iter()
            .map(|value| value.unwrap_or_else(|| unwinding()))
            .collect()),
    }
}

#[cold]
fn unwinding() -> ! {
    panic!(
        "gathering greenlets would have to wait, but this code runs because of a panic or a kill, \
         or was called by the scheduler itself (a waker, a hook), when a greenlet cannot be suspended"
    )
}

/// Waits for all greenlets, and returns how each ended, in the order of the argument: asyncio's
/// `gather(return_exceptions=True)`. As [`gather`], but a failure is one of the results.
///
/// # Panics
/// As [`gather`].
pub fn gather_settled<T>(
    greenlets: impl IntoIterator<Item = Greenlet<T>>,
) -> Vec<Result<T, JoinError>> {
    let all = numbered(greenlets);
    let mut results: Vec<Option<Result<T, JoinError>>> = all.iter().map(|_| None).collect();
    let handles = all.iter().map(|one| one.greenlet.handle());
    let mut responsible = Responsible(handles.collect());
    for Numbered { index, greenlet } in iwait(all) {
        results[index] = Some(greenlet.take());
    }
    responsible.0.clear();
    let results = results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| unwinding()));
    results.collect()
}

/// Yields how the greenlets ended, in the order in which they do, each with its number in the argument.
///
/// What has not been yielded when the iterator is dropped goes on. See [`AsCompleted::timeout`] for a limit.
///
/// ```
/// use rustlet::{as_completed, sleep, spawn};
/// use std::time::Duration;
/// let jobs = [30, 10, 20].map(|n| spawn(move || sleep(Duration::from_millis(n))));
/// let order: Vec<usize> = as_completed(jobs).map(|(index, _)| index).collect();
/// assert_eq!(order, [1, 2, 0]);
/// ```
pub fn as_completed<T>(greenlets: impl IntoIterator<Item = Greenlet<T>>) -> AsCompleted<T> {
    AsCompleted {
        ended: iwait(numbered(greenlets)),
    }
}

/// See [`as_completed`].
#[must_use = "an iterator waits when it is asked for the next"]
pub struct AsCompleted<T> {
    ended: IWait<Numbered<T>>,
}

impl<T> AsCompleted<T> {
    /// Ends the iteration when `limit` has passed since its first step; what has not ended by then goes on.
    pub fn timeout(self, limit: Duration) -> Self {
        AsCompleted {
            ended: self.ended.timeout(limit),
        }
    }
}

impl<T> Iterator for AsCompleted<T> {
    type Item = (usize, Result<T, JoinError>);

    /// # Panics
    /// As [`crate::iwait`].
    fn next(&mut self) -> Option<Self::Item> {
        let Numbered { index, greenlet } = self.ended.next()?;
        Some((index, greenlet.take()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ended.size_hint()
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").finish_non_exhaustive()
    }
}

/// What [`wait_until`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// One has ended.
    FirstCompleted,
    /// One has ended without a value, or all have ended.
    FirstError,
    /// All have ended.
    All,
}

/// Waits for some of the greenlets, for no longer than `limit`; returns those that have ended and those that have not,
/// each in the order of the argument. asyncio's `wait`.
///
/// Nothing is killed, and neither a failure nor the limit is an error: the handles say how it is.
///
/// # Panics
/// As [`crate::iwait`].
///
/// ```
/// use rustlet::{When, sleep, spawn, wait_until};
/// use std::time::Duration;
/// let jobs = [1000, 1].map(|n| spawn(move || sleep(Duration::from_millis(n))));
/// let (done, pending) = wait_until(jobs, When::FirstCompleted, None);
/// assert_eq!((done.len(), pending.len()), (1, 1));
/// pending[0].kill().unwrap();
/// ```
pub fn wait_until<T>(
    greenlets: impl IntoIterator<Item = Greenlet<T>>,
    when: When,
    limit: Option<Duration>,
) -> (Vec<Greenlet<T>>, Vec<Greenlet<T>>) {
    let all = Vec::from_iter(greenlets);
    let mut ended = iwait(&all);
    if let Some(limit) = limit {
        ended = ended.timeout(limit);
    }
    for greenlet in ended {
        match when {
            When::FirstCompleted => break,
            When::FirstError if !greenlet.is_successful() => break,
            When::FirstError | When::All => {}
        }
    }
    all.into_iter().partition(Greenlet::is_finished)
}

/// Runs `f` in a greenlet of its own and waits for it: what interrupts the caller does not reach `f`.
///
/// If the caller is killed, thrown at or timed out meanwhile, it is unwound at once, as from any wait, and `f`
/// runs to its end; its value is dropped then. asyncio's `shield`.
///
/// # Panics
/// If `f` does, with its payload. As [`crate::spawn`], and as [`Greenlet::join`] says where it cannot wait.
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// let (send, receive) = mpsc::channel();
/// let limited = rustlet::timeout(Duration::from_millis(5), || {
///     rustlet::shield(move || {
///         rustlet::sleep(Duration::from_millis(20));
///         send.send("committed").unwrap();
///     })
/// });
/// assert!(limited.is_err());
/// rustlet::sleep(Duration::from_millis(50));
/// assert_eq!(receive.try_recv(), Ok("committed"));
/// ```
#[track_caller]
pub fn shield<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn(f).join().unwrap_or_else(|error| error.resume())
}
