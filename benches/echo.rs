//! TCP echo: CPU time a request of servers on one thread and on two, what they get through, and how late they answer.
//!
//! | file | one idea |
//! |---|---|
//! | [`servers`] | an echo server in the natural style of rustlet, tokio, may and std |
//! | [`bare`] | the floor: the strongest plain epoll loop |
//! | [`child`] | a server in a process of its own, on a core of its own |
//! | [`client`] | the client: one thread, epoll, one request in flight a connection |
//!
//! Every server is this program again, in a child process; the client is this process, pinned to core 1. Servers of one thread are pinned to
//! core 0; those of two have both cores, and share the second with the client, which then sleeps when it has nothing
//! to read. Those with one thread are compared with each other, and so are those with two. A round visits the servers in turn, connects anew, warms up, and then counts
//! requests for a window; the child's CPU clock (all its threads, user and system) is read at both ends
//! of it. Windows are short and rounds many, because neighbours come and go: a ratio in the table is the
//! median of the rounds' ratios, each between two windows that lie next to each other. The other columns
//! are medians, and the best round. What `rustlet` must not exceed is marked if it does.
//!
//! CPU time a request is the figure to look at. It depends on how busy the server is: one that waits for the
//! client goes to sleep more often, and pays for that; `busy` says how much of its core the server used.
//! Requests a second are what both cores' neighbours left over. Latency is from the write of a request to the read of its
//! answer: in a closed loop that is mostly the queue of the other connections. Loopback: not for what a network does.
//!
//! ```text
//! cargo bench --bench echo
//! cargo bench --bench echo -- --rounds 99 --connections 50 --threads 2
//! cargo bench --bench echo -- --threads 2 --batch     # the servers' threads are batch threads: RuntimeBuilder::batch
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
use client::{Latency, Sample};
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
    threads: usize,
    bound: Option<f64>,
}

const CONTENDERS: [Contender; 9] = [
    Contender {
        name: "bare epoll loop",
        serve: bare::serve,
        threads: 1,
        bound: Some(1.15),
    },
    Contender {
        name: "rustlet",
        serve: servers::rustlet,
        threads: 1,
        bound: None,
    },
    Contender {
        name: "tokio, current thread",
        serve: servers::tokio,
        threads: 1,
        bound: Some(1.0),
    },
    Contender {
        name: "may, one worker",
        serve: servers::may,
        threads: 1,
        bound: Some(1.0),
    },
    Contender {
        name: "std, a thread each",
        serve: servers::std_threads,
        threads: 1,
        bound: None,
    },
    Contender {
        name: "rustlet, two workers",
        serve: servers::rustlet_two,
        threads: 2,
        bound: None,
    },
    Contender {
        name: "rustlet, a listener each",
        serve: servers::rustlet_listeners,
        threads: 2,
        bound: None,
    },
    Contender {
        name: "tokio, two workers",
        serve: servers::tokio_two,
        threads: 2,
        bound: Some(1.0),
    },
    Contender {
        name: "may, two workers",
        serve: servers::may_two,
        threads: 2,
        bound: Some(1.0),
    },
];
/// What is compared: those with so many threads, of which the one called that is rustlet.
#[derive(Clone, Copy)]
struct Group {
    threads: usize,
    rustlet: &'static str,
}

const GROUPS: [Group; 2] = [
    Group {
        threads: 1,
        rustlet: "rustlet",
    },
    Group {
        threads: 2,
        rustlet: "rustlet, two workers",
    },
];

impl Group {
    fn contenders(self) -> Vec<&'static Contender> {
        let all = CONTENDERS.iter();
        all.filter(|contender| contender.threads == self.threads)
            .collect()
    }

    /// A server of one thread has a core of its own; one of two shares the client's.
    fn client_sleeps(self) -> bool {
        self.threads > 1
    }
}

/// What was seen of one server.
struct Results {
    samples: Vec<Sample>,
    latency: Latency,
}

fn measure(group: Group, connections: usize, rounds: usize, window: Duration) -> Vec<Results> {
    let contenders = group.contenders().into_iter();
    let mut all: Vec<_> = contenders
        .map(|contender| {
            let results = Results {
                samples: Vec::new(),
                latency: Latency::new(),
            };
            (Child::start(contender.name), results)
        })
        .collect();
    for _ in 0..rounds {
        for (child, results) in &mut all {
            let load = client::Shape {
                connections,
                sleeps: group.client_sleeps(),
            };
            let sample = client::run(child, load, window, &mut results.latency);
            results.samples.push(sample.expect("the server answers"));
        }
    }
    all.into_iter().map(|(_, results)| results).collect()
}

fn tabulate(group: Group, connections: usize, results: &[Results]) {
    let contenders = group.contenders();
    let samples: Vec<_> = results.iter().map(|results| &results.samples).collect();
    let rustlet = contenders
        .iter()
        .position(|contender| contender.name == group.rustlet)
        .expect("it is one of them");
    let medians = |of: fn(&Sample) -> f64| -> Vec<f64> {
        let samples = samples.iter();
        samples
            .map(|samples| median(samples.iter().map(of).collect()))
            .collect()
    };
    let cpu = medians(Sample::cpu_nanos_a_request);
    let ratio = |index: usize| {
        let pairs = samples[rustlet].iter().zip(samples[index]);
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
        "p50 µs".into(),
        "p99 µs".into(),
    ]);
    for (index, contender) in contenders.iter().enumerate() {
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
            format!("{:.0}", results[index].latency.micros(0.5)),
            format!("{:.0}", results[index].latency.micros(0.99)),
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
    let sizes = match arguments::value("--connections") {
        Some(connections) => vec![connections],
        None if smoke => vec![5],
        None => vec![50, 1_000],
    };
    child::raise_descriptor_limit();
    child::pin_to(CLIENT_CORE);
    let threads = arguments::value::<usize>("--threads");
    for group in GROUPS {
        if threads.is_some_and(|threads| threads != group.threads) {
            continue;
        }
        for &connections in &sizes {
            let results = measure(group, connections, rounds, window);
            tabulate(group, connections, &results);
        }
    }
}
