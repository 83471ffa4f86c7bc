//! Two workers: spawning and joining, a tree of tasks, ping-pong between them, and how soon one that sleeps begins.
//!
//! | file | one idea |
//! |---|---|
//! | [`child`] | a peer in a process of its own, which measures when it is told to |
//! | [`programs`] | what is measured, and what a peer has to provide for it |
//! | [`on_rustlet`], [`on_tokio`], [`on_may`], [`on_threads`] | the peers |
//!
//! Every peer is this program again in a process of its own, so that nobody's idle threads are in another's figures, and
//! stays there for the whole run: pages and caches are warm. They take turns, a sample each; the parent sleeps
//! meanwhile. Figures are medians of the samples, and ratios are medians of the rounds' ratios, each between two samples that lie
//! next to each other.
//!
//! - *spawn, join*: from a task on a worker, so many are spawned and then joined in order, over and over. Wall time is what the program waits
//!   for, and counts the neighbours' work on a shared machine; CPU time is of all threads, and tells how much of the second core
//!   was used to get there: two workers that share trivial tasks may well need more of it than one alone.
//! - *skynet*: `benches/skynet.rs`, its *join*, with the stacks of the default limit.
//! - *ping-pong*: two tasks on different workers that wake each other; by hand, through channels with room for one, and through channels
//!   with none, where a sender that comes before the receiver sleeps too. tokio and may choose a worker themselves, and mostly put both tasks on one; so
//!   tokio's are on two runtimes of one thread each, and may is left out.
//! - *wake*: from a spawn to the first line of what was spawned, when the worker that is to run it sleeps. From a plain
//!   thread, and from the other worker, which goes on computing. *threads* is `std::thread::unpark`: what the kernel takes at least.
//!
//! Not for what tasks do that have work to do.
//!
//! ```text
//! cargo bench --bench workers
//! cargo bench --bench workers -- --rounds 31 --only wake        # the tables whose name has that in it
//! cargo bench --bench workers -- --peer rustlet --program 'spawn 100' --samples 50     # for a profiler
//! ```

#[path = "workers/child.rs"]
mod child;
#[path = "workers/on_may.rs"]
mod on_may;
#[path = "workers/on_rustlet.rs"]
mod on_rustlet;
#[path = "workers/on_threads.rs"]
mod on_threads;
#[path = "workers/on_tokio.rs"]
mod on_tokio;
#[path = "workers/programs.rs"]
mod programs;
mod support;

use comfy_table::{CellAlignment, Table, presets};

use child::Child;
use programs::{PEERS, Program, Sample};
use support::arguments;
use support::workload::median;

/// What is set beside each other in one table.
struct Comparison {
    name: &'static str,
    programs: Vec<Program>,
    /// rustlet's is the first.
    peers: &'static [&'static str],
    /// For wall time by this peer's, at most.
    bounds: &'static [(&'static str, f64)],
    /// For the first peer's median, in nanoseconds, at most.
    limit: Option<f64>,
    rounds: usize,
}

fn comparisons(smoke: bool) -> Vec<Comparison> {
    let batches: &[u64] = if smoke {
        &[1, 100]
    } else {
        &[1, 10, 100, 1_000, 100_000]
    };
    let levels = if smoke { 3 } else { 6 };
    vec![
        Comparison {
            name: "spawn, join",
            programs: batches
                .iter()
                .map(|&batch| Program::Spawn { batch })
                .collect(),
            peers: &["rustlet", "futures", "tokio", "may"],
            bounds: &[("tokio", 0.6), ("may", 1.0)],
            limit: None,
            rounds: 15,
        },
        Comparison {
            name: "skynet",
            programs: vec![Program::Skynet { levels }],
            peers: &["rustlet", "futures", "tokio"],
            bounds: &[],
            limit: None,
            rounds: 5,
        },
        Comparison {
            name: "ping-pong",
            programs: vec![Program::Unpark, Program::Channel, Program::Rendezvous],
            peers: &["rustlet", "tokio", "threads"],
            bounds: &[],
            limit: None,
            rounds: 9,
        },
        Comparison {
            name: "wake",
            programs: vec![Program::WakeByThread, Program::WakeByWorker],
            peers: &["rustlet", "tokio", "may", "threads"],
            bounds: &[],
            limit: Some(15_000.0),
            rounds: 9,
        },
    ]
}

/// All samples of one program: by peer, then by round. A peer that cannot run it has none.
fn measure(comparison: &Comparison, children: &mut [Child], program: Program) -> Vec<Vec<Sample>> {
    let rounds = if arguments::is_smoke_test() {
        1
    } else {
        arguments::value("--rounds").unwrap_or(comparison.rounds)
    };
    let mut samples: Vec<Vec<Sample>> = children.iter().map(|_| Vec::new()).collect();
    // The first round warms up.
    for round in 0..=rounds {
        for (child, samples) in children.iter_mut().zip(&mut samples) {
            if let Some(sample) = child.measure(program)
                && round > 0
            {
                samples.push(sample);
            }
        }
    }
    samples
}

fn tabulate(comparison: &Comparison) {
    let peers = comparison.peers.iter();
    let mut children: Vec<_> = peers.map(|peer| Child::start(peer)).collect();
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        comparison.name,
        "on",
        "ns",
        "best",
        "99 %",
        "CPU ns",
        "rustlet's / this",
        "CPU",
        "at most",
    ]);
    for &program in &comparison.programs {
        let samples = measure(comparison, &mut children, program);
        for (index, (peer, own)) in comparison.peers.iter().zip(&samples).enumerate() {
            if own.is_empty() {
                continue;
            }
            let middle = |of: fn(&Sample) -> f64| median(own.iter().map(of).collect());
            let ratio = |of: fn(&Sample) -> f64| {
                let pairs = samples[0].iter().zip(own);
                median(
                    pairs
                        .map(|(rustlet, this)| of(rustlet) / of(this))
                        .collect(),
                )
            };
            let wall = middle(Sample::median);
            let missed = |is: bool| if is { " MISSED" } else { "" };
            let bound = comparison.bounds.iter().find(|(name, _)| name == peer);
            let at_most = match (bound, comparison.limit) {
                (Some((_, most)), _) => {
                    format!("{most:.2}{}", missed(ratio(Sample::median) > *most))
                }
                (None, Some(most)) if index == 0 => format!("{most:.0} ns{}", missed(wall > most)),
                _ => String::new(),
            };
            let p99 = if program.is_latency() {
                format!("{:.0}", middle(Sample::p99))
            } else {
                String::new()
            };
            let cpu = own.iter().all(|sample| sample.cpu.is_some());
            table.add_row([
                program.to_string(),
                (*peer).into(),
                format!("{wall:.0}"),
                format!(
                    "{:.0}",
                    own.iter().map(Sample::best).fold(f64::INFINITY, f64::min)
                ),
                p99,
                if cpu {
                    format!("{:.0}", middle(Sample::cpu))
                } else {
                    String::new()
                },
                format!("{:.2}", ratio(Sample::median)),
                if cpu {
                    format!("{:.2}", ratio(Sample::cpu))
                } else {
                    String::new()
                },
                at_most,
            ]);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}\n");
}

fn main() {
    if let Some(name) = arguments::value::<String>(child::PEER) {
        let (_, make) = PEERS
            .into_iter()
            .find(|(peer, _)| *peer == name)
            .expect("a peer's name");
        child::serve(&*make());
        return;
    }
    for comparison in comparisons(arguments::is_smoke_test()) {
        if arguments::value::<String>("--only").is_none_or(|only| comparison.name.contains(&only)) {
            tabulate(&comparison);
        }
    }
}
