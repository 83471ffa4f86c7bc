//! The same small program on rustlet and on its peers, in turns, and the table of it.
//!
//! A [`Contender`] runs the whole program once and says what it cost. A row runs its contenders in
//! turns (A B C, A B C, …), so that a neighbour who wakes up in the middle disturbs all of them alike; the table
//! has the medians, and the lowest in brackets: on a machine with other jobs the distance between them is the noise.
//! Times are CPU time of the process: a peer may have threads of its own.
//!
//! `--rounds N` is how often; `--only WORDS` leaves out the rows whose name has not these words in it, for a profiler.

use std::future::Future;
use std::time::Duration;

use comfy_table::{CellAlignment, presets};

use super::workload::median;
use super::{arguments, clock};

/// One side of a comparison.
pub(crate) struct Contender<'a> {
    name: &'static str,
    run: Box<dyn FnMut() -> Duration + 'a>,
}

impl<'a> Contender<'a> {
    /// `run` does all the work once and returns its CPU time.
    pub(crate) fn new(name: &'static str, run: impl FnMut() -> Duration + 'a) -> Self {
        Contender {
            name,
            run: Box::new(run),
        }
    }
}

/// How often each contender runs: `--rounds`, `default`, or once in a smoke test.
pub(crate) fn rounds(default: usize) -> usize {
    if arguments::is_smoke_test() {
        1
    } else {
        arguments::value("--rounds").unwrap_or(default)
    }
}

/// Nanoseconds an operation: programs down, contenders across.
pub(crate) struct Table {
    what: &'static str,
    operations: f64,
    rows: Vec<(String, Vec<Cell>)>,
}

struct Cell {
    contender: &'static str,
    median: f64,
    best: f64,
}

impl Table {
    /// Every program of the table does `operations` operations.
    pub(crate) fn new(what: &'static str, operations: f64) -> Self {
        Table {
            what,
            operations,
            rows: Vec::new(),
        }
    }

    /// Runs the contenders, unless `--only` is about others.
    pub(crate) fn row(&mut self, what: &str, rounds: usize, contenders: &mut [Contender<'_>]) {
        if arguments::value::<String>("--only").is_some_and(|only| !what.contains(&only)) {
            return;
        }
        let mut times = vec![Vec::with_capacity(rounds); contenders.len()];
        for _ in 0..rounds {
            for (times, contender) in times.iter_mut().zip(contenders.iter_mut()) {
                times.push((contender.run)().as_nanos() as f64 / self.operations);
            }
        }
        let cells = contenders.iter().zip(times).map(|(contender, times)| {
            let best = times.iter().copied().fold(f64::INFINITY, f64::min);
            Cell {
                contender: contender.name,
                median: median(times),
                best,
            }
        });
        self.rows.push((what.to_owned(), cells.collect()));
    }

    /// Prints it, unless it has no rows.
    pub(crate) fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        let mut names: Vec<&str> = Vec::new();
        for cell in self.rows.iter().flat_map(|(_, cells)| cells) {
            if !names.contains(&cell.contender) {
                names.push(cell.contender);
            }
        }
        let mut table = comfy_table::Table::new();
        table
            .load_preset(presets::ASCII_MARKDOWN)
            .set_header([self.what].into_iter().chain(names.iter().copied()));
        for (what, cells) in &self.rows {
            let figures = names.iter().map(|name| {
                let cell = cells.iter().find(|cell| cell.contender == *name);
                cell.map_or("–".into(), |cell| {
                    format!("{:.1} ({:.1})", cell.median, cell.best)
                })
            });
            table.add_row([what.clone()].into_iter().chain(figures));
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("\n{table}");
    }
}

/// `tasks` tasks on a tokio runtime of one thread; the cost of running them, without the runtime's own start.
pub(crate) fn on_tokio<F>(tasks: u64, mut task: impl FnMut(u64) -> F) -> Duration
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("tokio's runtime");
    runtime.block_on(async {
        let start = clock::process_cpu();
        let tasks: Vec<_> = (0..tasks).map(|n| tokio::spawn(task(n))).collect();
        for task in tasks {
            task.await.expect("it only counts");
        }
        clock::process_cpu() - start
    })
}

/// Call before anything else of may runs.
pub(crate) fn one_may_worker() {
    may::config().set_workers(1);
}

/// `tasks` coroutines on may's worker.
pub(crate) fn on_may<F>(tasks: u64, mut task: impl FnMut(u64) -> F) -> Duration
where
    F: FnOnce() + Send + 'static,
{
    let start = clock::process_cpu();
    // One coroutine spawns and joins the others, as the main one does on the other sides: a plain
    // thread would pay for waking may's.
    let tasks: Vec<F> = (0..tasks).map(&mut task).collect();
    spawn_may(move || {
        let tasks: Vec<_> = tasks.into_iter().map(spawn_may).collect();
        for task in tasks {
            task.join().expect("it only counts");
        }
    })
    .join()
    .expect("it only joins");
    clock::process_cpu() - start
}

#[allow(unsafe_code)] // may's `spawn` is unsafe: a coroutine may change threads.
fn spawn_may<F>(f: F) -> may::coroutine::JoinHandle<()>
where
    F: FnOnce() + Send + 'static,
{
    // SAFETY: there is one worker, and what the benches run keeps no thread-local across a switch.
    unsafe { may::coroutine::spawn(f) }
}
