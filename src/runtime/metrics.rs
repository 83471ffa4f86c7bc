//! What a runtime has done so far, in numbers for people and for programs that watch it.
//!
//! All are read from what the workers count anyway ([`crate::scheduler::counters`], and the census of their stacks): each number has
//! one writer, which stores it with a plain store whether somebody reads or not. Reading is loads, by the reader alone: no lock, no message to
//! a worker, no flag that it would have to look at. What it can cost a worker is the cache line that a reader has just
//! looked at, some 50 ns for each time that it is read.
//!
//! The one number that nobody counts is how much memory the stacks hold: [`RuntimeHandle::resident_stack_bytes`] asks the kernel.

use std::time::Duration;

use super::handle::{Runtime, RuntimeHandle};
use crate::scheduler::counters::Counters;
use crate::scheduler::workers::Team;
use crate::stack::Census;
use crate::sys::ticks;

/// What a [`crate::Runtime`] has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeMetrics {
    /// Each worker's numbers, by its index.
    pub workers: Vec<WorkerMetrics>,
    /// Greenlets that have been spawned and have not ended, started or not.
    pub live: usize,
    /// Futures that have been spawned and have not ended.
    pub futures: usize,
    /// Stacks in use: those of greenlets that have started and not ended, of what polls futures, and of raw greenlets. The sum of the workers'.
    pub stacks_live: usize,
    /// Free stacks that were used before, and will be again. The sum of the workers'.
    pub stacks_pooled: usize,
}

/// What one worker has done so far. Counts are since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerMetrics {
    /// Times that a greenlet was resumed, first runs included.
    pub switches: u64,
    /// Greenlets spawned by code on this worker.
    pub spawned: u64,
    /// Greenlets that ended on this worker.
    pub finished: u64,
    /// Greenlets and futures that this worker took from others before they had started.
    pub stolen: u64,
    /// Greenlets of this worker that live now.
    pub live: usize,
    /// Those of them that wait for something, as of the worker's last look at the clock.
    pub parked: usize,
    /// Times that the worker asked the kernel for events.
    pub polls: u64,
    /// Events of descriptors that the kernel gave.
    pub io_events: u64,
    /// Timers that came due.
    pub timers_fired: u64,
    /// Wake-ups and greenlets that came from other threads.
    pub inbox_wakes: u64,
    /// Time spent asleep in the kernel, waiting for something to do.
    pub idle: Duration,
    /// The rest of the time.
    pub busy: Duration,
    /// No greenlet has kept the worker for longer than this without a switch. An upper bound: the worker looks at the clock
    /// after sixteen runs at most.
    pub longest_run: Duration,
    /// Stacks of this worker in use.
    pub stacks_live: usize,
    /// Free stacks of this worker that were used before.
    pub stacks_pooled: usize,
}

impl RuntimeMetrics {
    pub(super) fn of(team: &Team) -> Self {
        let workers = team
            .accounts()
            .map(|(counters, stacks)| WorkerMetrics::of(counters, stacks));
        let workers = Vec::from_iter(workers);
        RuntimeMetrics {
            live: team.live(),
            futures: team.live_futures(),
            stacks_live: workers.iter().map(|worker| worker.stacks_live).sum(),
            stacks_pooled: workers.iter().map(|worker| worker.stacks_pooled).sum(),
            workers,
        }
    }
}

impl WorkerMetrics {
    fn of(counters: &Counters, stacks: &Census) -> Self {
        let now = ticks::now();
        let asleep = match counters.asleep_since.get() {
            0 => 0,
            since => now.saturating_sub(since),
        };
        let idle = counters.idle.get() + asleep;
        let all = now.saturating_sub(counters.born.get());
        let live = counters.live.get();
        WorkerMetrics {
            switches: counters.switches.get(),
            spawned: counters.spawned.get(),
            finished: counters.finished.get(),
            stolen: counters.stolen.get(),
            live: live as usize,
            parked: live.saturating_sub(counters.runnable.get()) as usize,
            polls: counters.polls.get(),
            io_events: counters.events.get(),
            timers_fired: counters.timers.get(),
            inbox_wakes: counters.arrived.get(),
            idle: ticks::to_duration(idle),
            busy: ticks::to_duration(all.saturating_sub(idle)),
            longest_run: ticks::to_duration(counters.longest.get()),
            stacks_live: stacks.live(),
            stacks_pooled: stacks.pooled(),
        }
    }
}

impl Runtime {
    /// As [`RuntimeHandle::resident_stack_bytes`].
    pub fn resident_stack_bytes(&self) -> usize {
        self.handle().resident_stack_bytes()
    }
}

impl RuntimeHandle {
    /// Bytes of the workers' stacks that are in memory, those of free stacks included.
    ///
    /// The calling thread asks the kernel for each page of every stack that was ever used: some ten nanoseconds a page, so 0.6 s for a
    /// million stacks of 256 KiB. The workers go on; only the end of one waits, for less than a millisecond, when it is to
    /// unmap what is just being asked about. After the end of the runtime it is 0, unless greenlets refused to die.
    ///
    /// ```
    /// let runtime = rustlet::Runtime::builder().workers(2).build()?;
    /// runtime.run(|| rustlet::spawn(|| ()).join().unwrap());
    /// println!("{} KiB of stacks", runtime.resident_stack_bytes() / 1024);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn resident_stack_bytes(&self) -> usize {
        self.team
            .accounts()
            .map(|(_, stacks)| stacks.resident_bytes())
            .sum()
    }
}
