//! [`Runtime`] and [`RuntimeHandle`]: spawning into a runtime, from anywhere.

use std::fmt;
use std::io;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::builder::RuntimeBuilder;
use super::metrics::RuntimeMetrics;
use super::shutdown::{self, Unclean};
use super::thread::Threads;
use crate::scheduler::workers::{self, Team};
use crate::scheduler::{Builder, Greenlet};

/// Worker threads that share what is spawned on them.
///
/// A greenlet is started by the worker that spawned it or, if that has other things to do, by one that has none. Where it has
/// started it stays: values on its stack need not be `Send`, and thread-locals stay true. Everything of
/// this crate works across workers, and between them and other threads.
///
/// There may be several runtimes in one process, and none is needed: on a thread of no runtime, [`crate::spawn`] spawns on that thread.
///
/// Dropping it kills its greenlets, and waits until the workers have ended ([`Runtime::shutdown`] is the gentler way).
/// When one of its own greenlets does that, the workers end without being waited for.
///
/// # fork
/// A child process has none of the workers, as it has none of its parent's threads; of the locks and queues of this crate it has
/// copies that nobody will ever release or empty. So:
/// - fork before the first use of this crate (the first spawn or wait on any thread, or the first runtime), and parent and child may
///   both use it;
/// - or call nothing but `exec` or `_exit` in the child. [`std::process::Command`] and [`crate::process`] do that.
///
/// A child that breaks this is told: whatever makes or uses a scheduler there panics with a text that says so, on a
/// greenlet's stack it aborts with that text, and nothing hangs. The parent is not concerned by any of it. This holds
/// for fork(2) through libc, not for a raw `clone`. Programs that fork (a daemon, a server of several processes) best do it
/// first thing in `main`.
///
/// ```
/// let runtime = rustlet::Runtime::builder().workers(2).build()?;
/// let sum = runtime.run(|| {
///     let squares: Vec<_> = (1..=100).map(|n| rustlet::spawn(move || n * n)).collect();
///     squares.into_iter().map(|square| square.join().unwrap()).sum::<u32>()
/// });
/// assert_eq!(sum, 338_350);
/// # std::io::Result::Ok(())
/// ```
pub struct Runtime {
    threads: Arc<Threads>,
}

// What an unwinding may interrupt is not the workers.
impl UnwindSafe for Runtime {}
impl RefUnwindSafe for Runtime {}

impl Runtime {
    pub(super) fn new(threads: Arc<Threads>) -> Self {
        Runtime { threads }
    }

    /// A runtime with the defaults of everything: as many workers as the process may use processors.
    ///
    /// # Errors
    /// As [`RuntimeBuilder::build`].
    pub fn new_default() -> io::Result<Runtime> {
        RuntimeBuilder::new().build()
    }

    /// How a runtime with other than default properties is made.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::new()
    }

    /// Runs `f` in a greenlet of this runtime, and returns its value. Greenlets of the calling thread run meanwhile.
    ///
    /// Greenlets that `f` has spawned and not joined go on when it has returned.
    ///
    /// # Panics
    /// With `f`'s panic; if no stack can be had; if the caller is unwinding.
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.spawn(f).join() {
            Ok(value) => value,
            Err(error) => error.resume(),
        }
    }

    /// As [`RuntimeHandle::spawn`].
    ///
    /// # Panics
    /// Never, as long as it lives.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle().spawn(f)
    }

    /// For spawning from other threads, also when this is gone.
    pub fn handle(&self) -> RuntimeHandle {
        RuntimeHandle {
            team: self.threads.team.clone(),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.threads.team.workers()
    }

    /// What it has done so far. Costs the workers nothing.
    pub fn metrics(&self) -> RuntimeMetrics {
        RuntimeMetrics::of(&self.threads.team)
    }

    /// Ends the runtime: takes nothing new from outside, waits until all greenlets have ended, at most for `limit`; kills those that have not; and
    /// waits for the threads.
    ///
    /// Destructors run; futures that still wait are dropped, and their joins fail. A greenlet that blocks its thread with something that is not of this crate, or computes without end, cannot be
    /// killed: the threads are waited for one more second after the kill, then they are left to themselves.
    ///
    /// # Errors
    /// What did not end by itself.
    ///
    /// # Panics
    /// If called by one of its own greenlets, which cannot wait for its own end.
    pub fn shutdown(self, limit: Duration) -> Result<(), Unclean> {
        shutdown::shutdown(&self.threads, limit)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        shutdown::end(&self.threads);
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("workers", &self.workers())
            .finish_non_exhaustive()
    }
}

/// Spawns into a [`Runtime`], from any thread. Cheap to clone; does not keep the runtime alive.
#[derive(Clone)]
pub struct RuntimeHandle {
    pub(crate) team: Arc<Team>,
}

impl UnwindSafe for RuntimeHandle {}
impl RefUnwindSafe for RuntimeHandle {}

impl RuntimeHandle {
    /// The runtime that the calling thread is a worker of, if it is.
    pub fn current() -> Option<RuntimeHandle> {
        workers::current().map(|(team, _)| RuntimeHandle { team })
    }

    /// Spawns a greenlet, which any worker may start.
    ///
    /// # Panics
    /// If the runtime is shutting down or has ended; [`Builder::spawn_in`] has an error instead.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match Builder::new().spawn_in(self, f) {
            Ok(greenlet) => greenlet,
            Err(error) => panic!("spawn: {error}"),
        }
    }

    /// Spawns a greenlet on a certain worker, counted from 0.
    ///
    /// # Panics
    /// If there is no such worker; if the runtime is shutting down or has ended. [`Builder::spawn_on`] has
    /// an error instead.
    #[track_caller]
    pub fn spawn_on<F, T>(&self, worker: usize, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match Builder::new().spawn_on(self, worker, f) {
            Ok(greenlet) => greenlet,
            Err(error) => panic!("spawn: {error}"),
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.team.workers()
    }

    /// What the runtime has done so far. Costs the workers nothing.
    pub fn metrics(&self) -> RuntimeMetrics {
        RuntimeMetrics::of(&self.team)
    }
}

impl fmt::Debug for RuntimeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeHandle")
            .field("workers", &self.workers())
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// As [`RuntimeHandle::spawn`], with the properties of this builder.
    ///
    /// # Errors
    /// The stack size is out of range; the runtime is shutting down or has ended. A stack that cannot be had is an error of the
    /// join: it is taken by the worker that starts the greenlet.
    #[track_caller]
    pub fn spawn_in<F, T>(self, runtime: &RuntimeHandle, f: F) -> io::Result<Greenlet<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_into(&runtime.team, f)
    }

    /// As [`RuntimeHandle::spawn_on`], with the properties of this builder.
    ///
    /// # Errors
    /// As [`Builder::spawn_in`]; and `InvalidInput` if there is no such worker.
    #[track_caller]
    pub fn spawn_on<F, T>(
        self,
        runtime: &RuntimeHandle,
        worker: usize,
        f: F,
    ) -> io::Result<Greenlet<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_at(&runtime.team, worker, f)
    }
}

/// Spawns a greenlet on a certain worker of the runtime that the caller runs in, counted from 0. It stays there.
///
/// # Panics
/// If the calling thread is no worker, if there is no such worker, or if the runtime is shutting down.
///
/// ```
/// let runtime = rustlet::Runtime::builder().workers(2).build()?;
/// let seen = runtime.run(|| rustlet::spawn_on(1, rustlet::worker_index).join().unwrap());
/// assert_eq!(seen, Some(1));
/// # std::io::Result::Ok(())
/// ```
#[track_caller]
pub fn spawn_on<F, T>(worker: usize, f: F) -> Greenlet<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match RuntimeHandle::current() {
        Some(runtime) => runtime.spawn_on(worker, f),
        None => no_worker(Location::caller()),
    }
}

#[cold]
fn no_worker(caller: &Location<'_>) -> ! {
    panic!("spawn_on at {caller}: the calling thread is not a worker of a runtime")
}

/// Which worker of its runtime the calling thread is, counted from 0; `None` on other threads.
pub fn worker_index() -> Option<usize> {
    workers::current().map(|(_, index)| index)
}
