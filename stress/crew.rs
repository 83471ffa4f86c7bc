//! Where a step's greenlets run: all on the step's own thread, or on the workers of a runtime.

use std::time::Duration;

use rustlet::{Greenlet, Runtime};

use crate::workload::{Context, Failure};

/// How long the workers may take to end once nothing is left to do.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) enum Crew {
    /// One thread: the order of everything follows from the seed.
    Here,
    Workers(Runtime, Duration),
}

impl Crew {
    /// The step's own thread if the context has one worker, else a new runtime.
    pub(crate) fn of(context: &Context) -> Result<Crew, Failure> {
        match context.workers {
            1 => Ok(Crew::Here),
            workers => {
                let runtime = Runtime::builder().workers(workers).name("stress").build()?;
                Ok(Crew::Workers(runtime, LIMIT * context.slowdown))
            }
        }
    }

    /// Spawns on this thread, or on any worker.
    #[track_caller]
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Greenlet<T> {
        match self {
            Crew::Here => rustlet::spawn(f),
            Crew::Workers(runtime, _) => runtime.spawn(f),
        }
    }

    /// As [`Crew::spawn`], on worker number `nth`, counted round.
    #[track_caller]
    pub(crate) fn spawn_on<T: Send + 'static>(
        &self,
        nth: usize,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> Greenlet<T> {
        match self {
            Crew::Here => rustlet::spawn(f),
            Crew::Workers(runtime, _) => runtime.handle().spawn_on(nth % runtime.workers(), f),
        }
    }

    /// Ends the workers. A greenlet that is left is a failure; so call this when all were joined.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match self {
            Crew::Here => Ok(()),
            Crew::Workers(runtime, limit) => Ok(runtime.shutdown(limit)?),
        }
    }
}
