//! The life of a worker's thread: bound, greeted, at work, ended.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::builder::RuntimeBuilder;
use super::handle::Runtime;
use crate::scheduler::workers::{self, Team, Worker};
use crate::stack::StackSize;
use crate::sync::Event;
use crate::sys;

/// Called with a worker's number.
pub(super) type Hook = dyn Fn(usize) + Send + Sync;

/// The threads of a runtime, for whoever ends it.
#[derive(Debug)]
pub(super) struct Threads {
    pub(super) team: Arc<Team>,
    pub(super) handles: Mutex<Vec<JoinHandle<()>>>,
    /// Workers are to end.
    pub(super) stopping: AtomicBool,
    /// Workers that have not ended.
    pub(super) running: AtomicUsize,
    /// Set whenever one has.
    pub(super) one_ended: Event,
    /// Greenlets that refused to die.
    pub(super) refused: AtomicUsize,
}

impl Threads {
    /// Has all workers end.
    pub(super) fn stop(&self) {
        // In this order: a worker that ends takes what came before, and nothing comes after.
        self.team.close();
        self.stopping.store(true, Ordering::SeqCst);
        self.team.wake_all();
    }

    pub(super) fn take_handles(&self) -> Vec<JoinHandle<()>> {
        let mut handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *handles)
    }
}

/// What every worker's thread is given.
struct Start {
    worker: Worker,
    threads: Arc<Threads>,
    builder: RuntimeBuilder,
    processor: Option<usize>,
    begun: mpsc::Sender<io::Result<()>>,
}

pub(super) fn start(
    builder: RuntimeBuilder,
    workers: usize,
    stack_size: StackSize,
) -> io::Result<Runtime> {
    let processors = match builder.pinned {
        true => sys::thread::allowed_processors()?,
        false => Vec::new(),
    };
    let (team, seats) = Team::new(workers, stack_size, builder.uncaught.clone());
    let threads = Arc::new(Threads {
        team,
        handles: Mutex::default(),
        stopping: AtomicBool::new(false),
        running: AtomicUsize::new(0),
        one_ended: Event::new(),
        refused: AtomicUsize::new(0),
    });
    // Dropped, and so stopped, if something fails.
    let runtime = Runtime::new(threads.clone());
    let (begun, begins) = mpsc::channel();
    for worker in seats {
        let index = worker.index;
        let start = Start {
            worker,
            threads: threads.clone(),
            builder: builder.clone(),
            processor: processors.get(index % processors.len().max(1)).copied(),
            begun: begun.clone(),
        };
        threads.running.fetch_add(1, Ordering::SeqCst);
        let name = format!("{}-{index}", builder.name);
        let spawned = sys::thread::start(name, None, move || live(start));
        match spawned {
            Ok(handle) => threads
                .handles
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(handle),
            Err(error) => {
                threads.running.fetch_sub(1, Ordering::SeqCst);
                let text = format!("worker {index} of {workers} could not be started: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
    drop(begun);
    for result in begins {
        result?;
    }
    Ok(runtime)
}

/// A worker's thread.
fn live(start: Start) {
    let Start {
        worker,
        threads,
        builder,
        processor,
        begun,
    } = start;
    let index = worker.index;
    let greeted = greet(&builder, index, processor);
    let ok = greeted.is_ok();
    workers::join_team(worker);
    // Who builds may have given up already.
    let _ = begun.send(greeted);
    drop(begun);
    if ok {
        tracing::debug!(target: "rustlet", worker = index, "worker begins");
        workers::work_until(|| threads.stopping.load(Ordering::SeqCst));
    }
    let refused = workers::end_work();
    threads.refused.fetch_add(refused, Ordering::SeqCst);
    tracing::debug!(target: "rustlet", worker = index, refused, "worker ends");
    if ok && let Some(stop) = &builder.on_stop {
        // The panic hook has reported it; the other workers are to end all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| stop(index))).map_err(std::mem::forget);
    }
    threads.running.fetch_sub(1, Ordering::SeqCst);
    threads.one_ended.set();
}

fn greet(builder: &RuntimeBuilder, index: usize, processor: Option<usize>) -> io::Result<()> {
    if let Some(processor) = processor {
        sys::thread::bind_to(processor).map_err(|error| {
            let text = format!("worker {index} cannot be bound to processor {processor}: {error}");
            io::Error::new(error.kind(), text)
        })?;
    }
    if builder.batch {
        sys::thread::become_batch().map_err(|error| {
            let text = format!("worker {index} cannot be a batch thread (SCHED_BATCH): {error}");
            io::Error::new(error.kind(), text)
        })?;
    }
    if let Some(stacks) = builder.hot_stacks {
        crate::stack::set_hot_limit(stacks);
    }
    if let Some(greet) = &builder.on_start {
        catch_unwind(AssertUnwindSafe(|| greet(index))).map_err(|payload| {
            std::mem::forget(payload);
            io::Error::other(format!("the start hook of worker {index} panicked"))
        })?;
    }
    Ok(())
}
