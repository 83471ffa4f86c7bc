//! [`RuntimeBuilder`]: how many workers a runtime has, and how they are.

use std::fmt;
use std::io;
use std::sync::Arc;

use super::handle::Runtime;
use super::thread::{self, Hook};
use crate::scheduler::{Uncaught, UncaughtHook};
use crate::stack::StackSize;

/// Makes a [`Runtime`].
///
/// ```
/// let runtime = rustlet::Runtime::builder()
///     .workers(2)
///     .name("crunch")
///     .stack_size(64 * 1024)
///     .build()?;
/// assert_eq!(runtime.run(|| 6 * 7), 42);
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct RuntimeBuilder {
    pub(super) workers: Option<usize>,
    pub(super) name: String,
    pub(super) stack_size: Option<usize>,
    pub(super) hot_stacks: Option<usize>,
    pub(super) pinned: bool,
    pub(super) batch: bool,
    pub(super) on_start: Option<Arc<Hook>>,
    pub(super) on_stop: Option<Arc<Hook>>,
    pub(super) uncaught: Option<Arc<UncaughtHook>>,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        RuntimeBuilder {
            workers: None,
            name: "rustlet".into(),
            stack_size: None,
            hot_stacks: None,
            pinned: false,
            batch: false,
            on_start: None,
            on_stop: None,
            uncaught: None,
        }
    }
}

impl RuntimeBuilder {
    /// As many workers as the process may use processors, with the defaults of everything.
    pub fn new() -> Self {
        RuntimeBuilder::default()
    }

    /// The number of worker threads. The default is [`std::thread::available_parallelism`].
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// The name of the threads, which a number follows: `name-0` and so on. The default is `rustlet`. Linux shows the first
    /// 15 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The stack size in bytes of greenlets that are spawned without one of their own, as
    /// [`crate::Builder::stack_size`]. The default is 256 KiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// How many free stacks each worker keeps in memory, as [`crate::stack::set_hot_limit`]. The default is 4,096.
    pub fn hot_stacks(mut self, stacks: usize) -> Self {
        self.hot_stacks = Some(stacks);
        self
    }

    /// Whether each worker is bound to a processor of its own, of those that the calling thread may use, in turn. The default is no: the
    /// kernel moves threads away from processors that are busy with something else.
    pub fn pinned(mut self, pinned: bool) -> Self {
        self.pinned = pinned;
        self
    }

    /// Whether the workers are batch threads to the kernel (`SCHED_BATCH`, sched(7)): one that is woken does not interrupt what runs on
    /// its processor, but waits until that sleeps or has used its slice up, and then finds more to do at once. The default is no.
    ///
    /// For servers that share their processors with their clients, or with whatever else feeds them in small pieces: requests cost less
    /// processor time, and more are answered (`benches/README.md`). Not beside threads that compute: there a worker waits for a slice of
    /// theirs, some milliseconds, whenever it has slept.
    ///
    /// Threads and processes that are started on a worker inherit it.
    ///
    /// ```
    /// let runtime = rustlet::Runtime::builder().workers(2).batch(true).build()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn batch(mut self, batch: bool) -> Self {
        self.batch = batch;
        self
    }

    /// Called on each worker's thread, with its number, before it runs greenlets. If it panics, [`RuntimeBuilder::build`]
    /// fails.
    pub fn on_worker_start(mut self, f: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.on_start = Some(Arc::new(f));
        self
    }

    /// Called on each worker's thread, with its number, after its greenlets have ended.
    pub fn on_worker_stop(mut self, f: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.on_stop = Some(Arc::new(f));
        self
    }

    /// A hook for the greenlets of this runtime, instead of that of [`crate::set_uncaught_hook`].
    pub fn uncaught_hook(mut self, hook: impl Fn(&Uncaught<'_>) + Send + Sync + 'static) -> Self {
        self.uncaught = Some(Arc::new(hook));
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    /// `InvalidInput`: no workers, or more than 65,534; a stack size that is out of range. Otherwise: a thread
    /// could not be started or bound, or the start hook panicked; those that had been started have ended then.
    pub fn build(self) -> io::Result<Runtime> {
        let workers = match self.workers {
            Some(workers) => workers,
            None => std::thread::available_parallelism().map_or(1, Into::into),
        };
        if !(1..65_535).contains(&workers) {
            let text = format!("a runtime has 1 to 65,534 workers, not {workers}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let stack_size = match self.stack_size {
            None => StackSize::DEFAULT,
            Some(bytes) => StackSize::new(bytes)?,
        };
        thread::start(self, workers, stack_size)
    }
}

impl fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBuilder")
            .field("workers", &self.workers)
            .field("name", &self.name)
            .field("stack_size", &self.stack_size)
            .field("pinned", &self.pinned)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}
