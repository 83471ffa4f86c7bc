//! What is measured, and what a peer has to provide for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::clock;
use crate::support::workload::median;
use crate::{on_may, on_rustlet, on_threads, on_tokio};

/// Children of a node of skynet's tree.
pub(crate) const CHILDREN: u64 = 10;

/// What a peer is told to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Spawn { batch: u64 },
    Skynet { levels: u32 },
    Unpark,
    Channel,
    Rendezvous,
    WakeByThread,
    WakeByWorker,
}

/// Those that have no number.
const PLAIN: [Program; 5] = [
    Program::Unpark,
    Program::Channel,
    Program::Rendezvous,
    Program::WakeByThread,
    Program::WakeByWorker,
];

impl Program {
    /// Whether the figures are times of single events, with a distribution worth looking at.
    pub(crate) fn is_latency(self) -> bool {
        matches!(self, Program::WakeByThread | Program::WakeByWorker)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Program::Spawn { batch } => write!(f, "spawn {batch}"),
            Program::Skynet { levels } => write!(f, "skynet {levels}"),
            Program::Unpark => f.write_str("unpark"),
            Program::Channel => f.write_str("channel"),
            Program::Rendezvous => f.write_str("rendezvous"),
            Program::WakeByThread => f.write_str("wake by thread"),
            Program::WakeByWorker => f.write_str("wake by worker"),
        }
    }
}

impl FromStr for Program {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = || {
            text.rsplit(' ')
                .next()
                .and_then(|word| word.parse::<u32>().ok())
                .ok_or(())
        };
        match text.split(' ').next() {
            Some("spawn") => Ok(Program::Spawn {
                batch: number()?.into(),
            }),
            Some("skynet") => Ok(Program::Skynet { levels: number()? }),
            _ => PLAIN
                .into_iter()
                .find(|program| program.to_string() == text)
                .ok_or(()),
        }
    }
}

/// What one measurement has seen.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Nanoseconds of an operation; of each operation, where they are timed one by one.
    pub(crate) nanos: Vec<f64>,
    /// CPU nanoseconds of an operation, of all threads, where waiting is not what is measured.
    pub(crate) cpu: Option<f64>,
}

impl Sample {
    /// Runs `work`, which does so many operations, from its beginning to its end.
    pub(crate) fn of(operations: u64, work: impl FnOnce()) -> Sample {
        let clocks = Clocks::start();
        work();
        clocks.sample(operations)
    }

    /// Of single events.
    pub(crate) fn of_latencies(nanos: Vec<f64>) -> Sample {
        Sample { nanos, cpu: None }
    }

    pub(crate) fn median(&self) -> f64 {
        median(self.nanos.clone())
    }

    pub(crate) fn best(&self) -> f64 {
        self.nanos.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn p99(&self) -> f64 {
        let mut nanos = self.nanos.clone();
        nanos.sort_by(f64::total_cmp);
        nanos[(nanos.len() - 1) * 99 / 100]
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.cpu.unwrap_or(f64::NAN)
    }
}

/// Wall time and CPU time, since it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clocks {
    wall: Instant,
    cpu: Duration,
}

impl Clocks {
    pub(crate) fn start() -> Clocks {
        Clocks {
            wall: Instant::now(),
            cpu: clock::process_cpu(),
        }
    }

    pub(crate) fn sample(self, operations: u64) -> Sample {
        let (wall, cpu) = (self.wall.elapsed(), clock::process_cpu() - self.cpu);
        let each = |time: Duration| time.as_nanos() as f64 / operations as f64;
        Sample {
            nanos: vec![each(wall)],
            cpu: Some(each(cpu)),
        }
    }
}

/// A runtime with two workers. A program that it has no way to run is `None`.
pub(crate) trait Peer {
    /// From a task on a worker: spawns `batch` trivial tasks and joins them in order, `times` times.
    fn spawn_join(&self, batch: u64, times: u64) -> Option<Sample>;

    /// Skynet with so many levels, once.
    fn skynet(&self, levels: u32) -> Option<Sample>;

    /// Two tasks on different threads that wake each other, `times` times there and back. An operation is one way.
    fn unpark(&self, times: u64) -> Option<Sample>;

    /// The same through channels with room for so many, 0 or 1.
    fn channel(&self, room: usize, times: u64) -> Option<Sample>;

    /// All workers sleep, and the calling thread spawns a task that says when it begins.
    fn wake_by_thread(&self, times: usize) -> Option<Sample>;

    /// One worker sleeps, and the other spawns a task that says when it begins, and goes on computing.
    fn wake_by_worker(&self, times: usize) -> Option<Sample>;
}

/// Starts a peer's runtime.
pub(crate) type Start = fn() -> Box<dyn Peer>;

/// The peers, by name.
pub(crate) const PEERS: [(&str, Start); 5] = [
    ("rustlet", || Box::new(on_rustlet::Greenlets::new())),
    ("futures", || Box::new(on_rustlet::Futures::new())),
    ("tokio", || Box::new(on_tokio::Tasks::new())),
    ("may", || Box::new(on_may::Coroutines::new())),
    ("threads", || Box::new(on_threads::Threads)),
];

/// Runs `program` on `peer`, once.
pub(crate) fn run(program: Program, peer: &dyn Peer) -> Option<Sample> {
    // Long enough for the clock, short enough to take turns often.
    const TASKS: u64 = 100_000;
    const TURNS: u64 = 5_000;
    const WAKES: usize = 300;
    match program {
        Program::Spawn { batch } => peer.spawn_join(batch, TASKS / batch),
        Program::Skynet { levels } => peer.skynet(levels),
        Program::Unpark => peer.unpark(TURNS),
        Program::Channel => peer.channel(1, TURNS),
        Program::Rendezvous => peer.channel(0, TURNS),
        Program::WakeByThread => peer.wake_by_thread(WAKES),
        Program::WakeByWorker => peer.wake_by_worker(WAKES),
    }
}

/// The first number below each child of the node that begins at `first`, `levels` above the leaves.
pub(crate) fn children(levels: u32, first: u64) -> [u64; CHILDREN as usize] {
    let step = CHILDREN.pow(levels - 1);
    std::array::from_fn(|child| first + child as u64 * step)
}

/// What the leaves of a tree add up to.
pub(crate) fn sum(leaves: u64) -> u64 {
    leaves * (leaves - 1) / 2
}

/// Long enough for a worker to fall asleep, even one that looks for work for a while before it does.
const ASLEEP_AFTER: Duration = Duration::from_millis(1);
/// So long at most a worker computes until another has begun what it spawned; what has not begun then counts as that.
const LONGEST: Duration = Duration::from_millis(20);

/// The nanoseconds after which a task has begun; 0 until then.
#[derive(Clone, Debug, Default)]
pub(crate) struct Begin(Arc<AtomicU64>);

impl Begin {
    /// Called by the task, with the time before it was spawned.
    pub(crate) fn note(&self, spawned: Instant) {
        let nanos = spawned.elapsed().as_nanos() as u64;
        self.0.store(nanos.max(1), Ordering::Release);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Latencies of `spawn`, on a plain thread, each when all workers sleep.
pub(crate) fn wakes_by_thread(times: usize, spawn: impl Fn(Begin, Instant)) -> Sample {
    let latency = |_| {
        std::thread::sleep(ASLEEP_AFTER);
        let begin = Begin::default();
        spawn(begin.clone(), Instant::now());
        // Not busily: the worker may need this core.
        while begin.get() == 0 {
            std::thread::sleep(ASLEEP_AFTER / 10);
        }
        begin.get() as f64
    };
    Sample::of_latencies((0..times).map(latency).collect())
}

/// Latencies of `spawn`, on a worker that computes until the other has begun what was spawned.
pub(crate) fn wakes_by_worker(times: usize, spawn: impl Fn(Begin, Instant)) -> Sample {
    let latency = |_| {
        // Whoever looked for work with us is to sleep again.
        compute(ASLEEP_AFTER, || false);
        let begin = Begin::default();
        spawn(begin.clone(), Instant::now());
        compute(LONGEST, || begin.get() != 0);
        match begin.get() {
            0 => LONGEST.as_nanos() as f64,
            nanos => nanos as f64,
        }
    };
    Sample::of_latencies((0..times).map(latency).collect())
}

/// Uses the thread for so long, or until `over`.
fn compute(limit: Duration, over: impl Fn() -> bool) {
    let start = Instant::now();
    while !over() && start.elapsed() < limit {
        std::hint::spin_loop();
    }
}
