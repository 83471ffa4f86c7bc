//! HTTP: CPU time a request and latency of servers on one thread and on two.
//!
//! | file | one idea |
//! |---|---|
//! | [`servers`] | the same server in the natural style of rustlet, tokio and may |
//! | [`http`] | `examples/hello_http`'s protocol, which knows no sockets: all servers run it |
//! | [`child`] | a server in a process of its own |
//! | [`client`] | the load: one thread, epoll, keep-alive, so many requests in flight a connection |
//!
//! Every server is this program again in a child process, so that the load's CPU time is not counted: the child's CPU clock (all its
//! threads, user and system) is read at both ends of a window. Servers of one thread are pinned to core 0; those of two have both
//! cores. The load is this process: pinned to core 1, where it shares with the second worker. A round visits the
//! servers in turn; a ratio in the table is the median of the rounds' ratios, each between two windows that lie next to each other, because
//! neighbours come and go. Latency is from the write of a request to the read of its answer, of all rounds together: in a closed loop
//! that is mostly the queue of the other connections.
//!
//! What is not measured: TLS, bodies, clients far away. rustlet's `connection::serve` has timeouts for each wait, and a roster;
//! the others have neither, being the loops that one writes first.
//!
//! ```text
//! cargo bench --bench http
//! cargo bench --bench http -- --rounds 99 --connections 50 --pipeline 16
//! ```

#[path = "http/child.rs"]
mod child;
#[path = "http/client.rs"]
mod client;
#[path = "../examples/hello_http/http/mod.rs"]
mod http;
#[path = "http/servers.rs"]
mod servers;
mod support;

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use child::Child;
use client::{Latency, Sample};
use support::arguments;
use support::workload::median;

/// How to run a server: it announces its address, and serves until its process is killed.
type Serve = fn(child::Announce);

/// A server, and how many threads it has.
struct Contender {
    name: &'static str,
    serve: Serve,
    threads: usize,
}

const CONTENDERS: [Contender; 5] = [
    Contender {
        name: "rustlet, one thread",
        serve: servers::rustlet_one,
        threads: 1,
    },
    Contender {
        name: "tokio, current thread",
        serve: servers::tokio_current,
        threads: 1,
    },
    Contender {
        name: "rustlet, two workers",
        serve: servers::rustlet_two,
        threads: 2,
    },
    Contender {
        name: "tokio, two workers",
        serve: servers::tokio_two,
        threads: 2,
    },
    Contender {
        name: "may, two workers",
        serve: servers::may_two,
        threads: 2,
    },
];

impl Contender {
    /// rustlet's with as many threads: the first of them.
    fn rustlet(&self) -> usize {
        let mut contenders = CONTENDERS.iter();
        let found = contenders.position(|contender| contender.threads == self.threads);
        found.expect("there is this one at least")
    }
}

struct Results {
    samples: Vec<Sample>,
    latency: Latency,
}

/// How a load looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Requests in flight on each.
    pub(crate) pipeline: usize,
}

fn measure(shape: Shape, rounds: usize, window: Duration) -> Vec<Results> {
    let children: Vec<_> = CONTENDERS
        .iter()
        .map(|contender| Child::start(contender.name))
        .collect();
    let mut results: Vec<_> = CONTENDERS
        .iter()
        .map(|_| Results {
            samples: Vec::new(),
            latency: Latency::new(),
        })
        .collect();
    for _ in 0..rounds {
        for (child, results) in children.iter().zip(&mut results) {
            let sample = client::run(child, shape, window, &mut results.latency);
            results.samples.push(sample.expect("the server answers"));
        }
    }
    results
}

fn tabulate(shape: Shape, results: &[Results]) {
    let ratio = |index: usize| {
        let rustlet = CONTENDERS[index].rustlet();
        let pairs = results[rustlet].samples.iter().zip(&results[index].samples);
        let ratios = pairs
            .map(|(rustlet, other)| rustlet.cpu_nanos_a_request() / other.cpu_nanos_a_request());
        median(ratios.collect())
    };
    let mut table = Table::new();
    let Shape {
        connections,
        pipeline,
    } = shape;
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        format!("{connections} connections, {pipeline} in flight each"),
        "CPU ns a request".into(),
        "rustlet's / this".into(),
        "requests a second".into(),
        "busy %".into(),
        "p50 µs".into(),
        "p99 µs".into(),
        "p99.9 µs".into(),
    ]);
    for (index, contender) in CONTENDERS.iter().enumerate() {
        let Results { samples, latency } = &results[index];
        let middle = |of: fn(&Sample) -> f64| median(samples.iter().map(of).collect());
        let missed = if ratio(index) > 1.0 { " MISSED" } else { "" };
        table.add_row([
            contender.name.into(),
            format!("{:.0}", middle(Sample::cpu_nanos_a_request)),
            format!("{:.2}{missed}", ratio(index)),
            format!("{:.0}", middle(Sample::requests_a_second)),
            format!("{:.0}", 100.0 * middle(Sample::busy)),
            format!("{:.0}", latency.micros(0.5)),
            format!("{:.0}", latency.micros(0.99)),
            format!("{:.0}", latency.micros(0.999)),
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
        child::serve(contender.expect("the parent knows the names"));
        return;
    }
    let smoke = arguments::is_smoke_test();
    let window = Duration::from_millis(if smoke { 20 } else { 200 });
    let rounds = arguments::value("--rounds").unwrap_or(if smoke { 1 } else { 25 });
    let pipeline = arguments::value("--pipeline");
    let shapes = match arguments::value("--connections") {
        Some(connections) => vec![(connections, pipeline.unwrap_or(1))],
        None if smoke => vec![(5, 2)],
        None => vec![(50, 1), (1_000, 1), (50, 16)],
    };
    child::raise_descriptor_limit();
    child::pin_to(child::CLIENT_CORE);
    for (connections, pipeline) in shapes {
        let shape = Shape {
            connections,
            pipeline,
        };
        tabulate(shape, &measure(shape, rounds, window));
    }
}
