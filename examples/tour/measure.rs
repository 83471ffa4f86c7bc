//! Counting while it runs ([`Stats`]) and what is left in the end ([`Summary`]).
//!
//! `Stats` is shared by threads as well as by greenlets, so it is made of atomics and a lock that nobody
//! holds across anything that waits.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::plan::Plan;
use crate::process::{self, Status};

/// The stack that the kernel keeps for each thread, on x86_64 and aarch64.
const KERNEL_STACK_KIB: f64 = 16.0;

pub(crate) struct Stats {
    start: Instant,
    before: Status,
    cpu_before: Duration,
    /// In nanoseconds.
    latencies: Mutex<Histogram<u32>>,
    correct: AtomicU64,
    open: AtomicU64,
    most_open: AtomicU64,
    clients_done: AtomicU64,
    most_tasks: AtomicU64,
    most_threads: AtomicU64,
    most_page_tables_kib: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

/// A client's connection is open for as long as it holds this.
pub(crate) struct Open<'a>(&'a Stats);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

impl Stats {
    pub(crate) fn new() -> Stats {
        let minute = Duration::from_secs(60).as_nanos() as u64;
        let latencies = Histogram::new_with_bounds(1_000, minute, 3);
        Stats {
            start: Instant::now(),
            before: process::status(),
            cpu_before: process::cpu_time(),
            latencies: Mutex::new(latencies.expect("the bounds are valid")),
            correct: AtomicU64::new(0),
            open: AtomicU64::new(0),
            most_open: AtomicU64::new(0),
            clients_done: AtomicU64::new(0),
            most_tasks: AtomicU64::new(0),
            most_threads: AtomicU64::new(0),
            most_page_tables_kib: AtomicU64::new(0),
            first_failure: Mutex::new(None),
        }
    }

    pub(crate) fn connected(&self) -> Open<'_> {
        let open = self.open.fetch_add(1, Relaxed) + 1;
        self.most_open.fetch_max(open, Relaxed);
        Open(self)
    }

    pub(crate) fn answered(&self, latency: Duration) {
        let nanos = latency.as_nanos() as u64;
        let mut latencies = self.latencies.lock().expect("recording does not panic");
        latencies.saturating_record(nanos);
    }

    pub(crate) fn correct(&self) {
        self.correct.fetch_add(1, Relaxed);
    }

    /// A client has ended, well or not.
    pub(crate) fn done(&self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failed(&error.to_string());
        }
        self.clients_done.fetch_add(1, Relaxed);
    }

    /// Keeps the first failure, to be shown: the others are mostly its consequences.
    pub(crate) fn failed(&self, why: &str) {
        let mut first = self.first_failure.lock().expect("storing does not panic");
        first.get_or_insert_with(|| why.to_owned());
    }

    /// Notes how many tasks (greenlets or threads) there are now.
    pub(crate) fn sample(&self, tasks: usize) {
        self.most_tasks.fetch_max(tasks as u64, Relaxed);
        let status = process::status();
        self.most_threads.fetch_max(status.threads, Relaxed);
        self.most_page_tables_kib
            .fetch_max(status.page_tables_kib, Relaxed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.correct.load(Relaxed)
    }

    pub(crate) fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }

    pub(crate) fn clients_done(&self) -> u64 {
        self.clients_done.load(Relaxed)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(crate) fn summary(&self, plan: &Plan, switches: Option<u64>) -> Summary {
        if let Some(failure) = &*self.first_failure.lock().expect("as above") {
            eprintln!("tour: the first failure: {failure}");
        }
        let latencies = self.latencies.lock().expect("as above");
        let quantile = |q| latencies.value_at_quantile(q) as f64 / 1e3;
        let status = process::status();
        let tasks = self.most_tasks.load(Relaxed);
        let os_threads = self.most_threads.load(Relaxed).max(status.threads);
        let each =
            |before: u64, peak: u64| peak.saturating_sub(before) as f64 / tasks.max(1) as f64;
        Summary {
            clients: plan.clients as u64,
            open: self.most_open.load(Relaxed),
            requests: self.requests(),
            // A wrong response and one that never came are the same to whoever asked.
            errors: plan.total() - self.requests(),
            os_threads,
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            peak_rss_kib: status.peak_rss_kib,
            seconds: self.start.elapsed().as_secs_f64(),
            tasks,
            rss_kib_each: each(self.before.rss_kib, status.peak_rss_kib),
            page_table_kib_each: each(
                self.before.page_tables_kib,
                self.most_page_tables_kib.load(Relaxed),
            ),
            kernel_stack_kib_each: each(1, os_threads) * KERNEL_STACK_KIB,
            cpu_seconds: (process::cpu_time() - self.cpu_before).as_secs_f64(),
            switches: switches.unwrap_or_default(),
        }
    }
}

/// Makes a struct of numbers that can be written as `key=value …` and read back, which is how the child
/// process reports; the same line ends the tour.
macro_rules! summary {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Summary { $($(#[$doc])* pub(crate) $field: $type,)* }

        impl Summary {
            pub(crate) fn line(&self, head: &str) -> String {
                let mut line = format!("{head}:");
                $(line += &format!(concat!(" ", stringify!($field), "={}"), self.$field.shown());)*
                line
            }

            /// Reads what `line` wrote; `None` if anything is missing.
            pub(crate) fn parse(line: &str, head: &str) -> Option<Summary> {
                let line = line.strip_prefix(head)?.strip_prefix(':')?;
                let find = |key: &str| {
                    line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
                };
                Some(Summary { $($field: find(stringify!($field))?.parse().ok()?,)* })
            }
        }
    };
}

summary! {
    clients: u64,
    requests: u64,
    /// Responses that were wrong, and those that never came.
    errors: u64,
    /// The most at any time.
    os_threads: u64,
    p50_us: f64,
    p99_us: f64,
    peak_rss_kib: u64,
    seconds: f64,
    p999_us: f64,
    /// Connections open at the same time, at most.
    open: u64,
    /// Greenlets or threads, at most.
    tasks: u64,
    /// What the resident memory rose by, for each of them: stack, buffers, socket handles.
    rss_kib_each: f64,
    page_table_kib_each: f64,
    kernel_stack_kib_each: f64,
    cpu_seconds: f64,
    /// Of greenlets; zero for threads, which the kernel switches.
    switches: u64,
}

/// How a number is written for programs.
trait Shown {
    fn shown(&self) -> String;
}

impl Shown for u64 {
    fn shown(&self) -> String {
        self.to_string()
    }
}

impl Shown for f64 {
    fn shown(&self) -> String {
        format!("{self:.1}")
    }
}

impl Summary {
    /// All memory of a greenlet or thread, but for the kernel's side of its socket.
    pub(crate) fn memory_kib_each(&self) -> f64 {
        self.rss_kib_each + self.page_table_kib_each + self.kernel_stack_kib_each
    }
}
