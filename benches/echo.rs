//! TCP echo: CPU time a request of five servers, and what they get through.
//!
//! | file | one idea |
//! |---|---|
//! | [`servers`] | an echo server in the natural style of rustlet, tokio, may and std |
//! | [`bare`] | the floor: the strongest plain epoll loop |
//! | [`child`] | a server in a process of its own, on a core of its own |
//! | [`client`] | the client: one thread, epoll, one request in flight a connection |
//!
//! Every server is this program again, in a child process pinned to core 0; the client is this process,
//! pinned to core 1. A round visits the servers in turn, connects anew, warms up, and then counts
//! requests for a window; the child's CPU clock (all its threads, user and system) is read at both ends
//! of it. Windows are short and rounds many, because neighbours come and go: a ratio in the table is the
//! median of the rounds' ratios, each between two windows that lie next to each other. The other columns
//! are medians, and the best round. What `rustlet` must not exceed is marked if it does.
//!
//! CPU time a request is the figure to look at. It depends on how busy the server is: one that waits for the
//! client goes to sleep more often, and pays for that; `busy` says how much of its core the server used.
//! Requests a second are what both cores' neighbours left over. Loopback: not for what a network does,
//! nor for latency.
//!
//! ```text
//! cargo bench --bench echo
//! cargo bench --bench echo -- --rounds 99 --connections 50
//! ```

#[path = "echo/bare.rs"]
mod bare;
#[path = "echo/child.rs"]
mod child;
#[path = "echo/client.rs"]
mod client;
#[path = "echo/servers.rs"]
mod servers;
mod support;

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use child::Child;
use client::Sample;
use support::arguments;
use support::workload::median;

/// Bytes of a request.
const REQUEST: usize = 64;
/// Bytes that a server is ready to read at once.
const BUFFER: usize = 1024;
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

/// How to run a server: it announces its address, and serves until its process is killed.
type Serve = fn(child::Announce);

/// A server, and how much more than its CPU time a request rustlet may take.
struct Contender {
    name: &'static str,
    serve: Serve,
    bound: Option<f64>,
}

const CONTENDERS: [Contender; 5] = [
    Contender {
        name: "bare epoll loop",
        serve: bare::serve,
        bound: Some(1.15),
    },
    Contender {
        name: "rustlet",
        serve: servers::rustlet,
        bound: None,
    },
    Contender {
        name: "tokio, current thread",
        serve: servers::tokio,
        bound: Some(1.0),
    },
    Contender {
        name: "may, one worker",
        serve: servers::may,
        bound: Some(1.0),
    },
    Contender {
        name: "std, a thread each",
        serve: servers::std_threads,
        bound: None,
    },
];
/// Where rustlet stands among them.
const RUSTLET: usize = 1;

fn measure(connections: usize, rounds: usize, window: Duration) -> Vec<Vec<Sample>> {
    let children: Vec<_> = CONTENDERS
        .iter()
        .map(|contender| Child::start(contender.name))
        .collect();
    let mut samples: Vec<Vec<Sample>> = CONTENDERS.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for (child, samples) in children.iter().zip(&mut samples) {
            samples.push(client::run(child, connections, window).expect("the server answers"));
        }
    }
    samples
}

fn tabulate(connections: usize, samples: &[Vec<Sample>]) {
    let medians = |of: fn(&Sample) -> f64| -> Vec<f64> {
        let samples = samples.iter();
        samples
            .map(|samples| median(samples.iter().map(of).collect()))
            .collect()
    };
    let cpu = medians(Sample::cpu_nanos_a_request);
    let ratio = |index: usize| {
        let pairs = samples[RUSTLET].iter().zip(&samples[index]);
        let ratios = pairs
            .map(|(rustlet, other)| rustlet.cpu_nanos_a_request() / other.cpu_nanos_a_request());
        median(ratios.collect())
    };
    let best = |index: usize| {
        let each = samples[index].iter().map(Sample::cpu_nanos_a_request);
        each.fold(f64::INFINITY, f64::min)
    };
    let throughput = medians(Sample::requests_a_second);
    let busy = medians(Sample::busy);

    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        format!("{connections} connections, {REQUEST} bytes"),
        "CPU ns a request".into(),
        "best".into(),
        "rustlet's / this".into(),
        "at most".into(),
        "requests a second".into(),
        "busy %".into(),
    ]);
    for (index, contender) in CONTENDERS.iter().enumerate() {
        let ratio = ratio(index);
        let bound = contender.bound.map(|limit| {
            let missed = if ratio > limit { " MISSED" } else { "" };
            format!("{limit:.2}{missed}")
        });
        table.add_row([
            contender.name.into(),
            format!("{:.0}", cpu[index]),
            format!("{:.0}", best(index)),
            format!("{ratio:.2}"),
            bound.unwrap_or_default(),
            format!("{:.0}", throughput[index]),
            format!("{:.0}", 100.0 * busy[index]),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}\n");
}

fn main() {
    if let Some(name) = arguments::value::<String>(child::SERVE) {
        let mut contenders = CONTENDERS.iter();
        let contender = contenders.find(|contender| contender.name == name);
        child::serve(contender.expect("the parent knows the names").serve);
        return;
    }
    let smoke = arguments::is_smoke_test();
    let window = Duration::from_millis(if smoke { 20 } else { 200 });
    let rounds = arguments::value("--rounds").unwrap_or(if smoke { 1 } else { 25 });
    let sizes = match arguments::value("--connections") {
        Some(connections) => vec![connections],
        None if smoke => vec![5],
        None => vec![50, 1_000],
    };
    child::raise_descriptor_limit();
    child::pin_to(CLIENT_CORE);
    for connections in sizes {
        tabulate(connections, &measure(connections, rounds, window));
    }
}
