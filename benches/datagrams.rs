//! UDP echo and Unix stream echo: CPU time a request of three servers, and what they get through.
//!
//! | file | one idea |
//! |---|---|
//! | [`servers`] | an echo server for each protocol in the natural style of rustlet, tokio and std |
//! | [`process`] | a server in a process of its own, on a core of its own |
//! | [`client`] | the client: one thread, one request in flight a socket |
//!
//! As in the `echo` bench: every server is this program again, pinned to core 0, and the client is this process, pinned to
//! core 1; a round visits the servers in turn, and a ratio in the table is the median of the rounds' ratios, each
//! between two windows that lie next to each other. std's server is the floor of what a protocol costs: for UDP a
//! loop around two system calls, for Unix sockets a thread a connection.
//!
//! UDP: all clients talk to one socket, which one greenlet (task, loop) serves. Unix: a greenlet a connection.
//!
//! ```text
//! cargo bench --bench datagrams
//! cargo bench --bench datagrams -- --rounds 99 --clients 200
//! ```

#[path = "datagrams/client.rs"]
mod client;
#[path = "datagrams/process.rs"]
mod process;
#[path = "datagrams/servers.rs"]
mod servers;
mod support;

use std::path::Path;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use client::Sample;
use process::Child;
use support::workload::median;
use support::{arguments, policy};

/// Bytes of a request.
const REQUEST: usize = 64;
/// Bytes that a server is ready to receive at once.
const BUFFER: usize = 1024;
const SERVER_CORE: usize = 0;
const CLIENT_CORE: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Udp,
    Unix,
}

/// How to run a server: it tells where it is, and serves until its process is killed. A Unix server is told where.
type Serve = fn(&Path, process::Announce);

struct Contender {
    name: &'static str,
    udp: Serve,
    unix: Serve,
}

const CONTENDERS: [Contender; 3] = [
    Contender {
        name: "std, blocking",
        udp: servers::std_udp,
        unix: servers::std_unix,
    },
    Contender {
        name: "rustlet",
        udp: servers::rustlet_udp,
        unix: servers::rustlet_unix,
    },
    Contender {
        name: "tokio, current thread",
        udp: servers::tokio_udp,
        unix: servers::tokio_unix,
    },
];
/// Where rustlet stands among them.
const RUSTLET: usize = 1;

fn measure(
    protocol: Protocol,
    clients: usize,
    rounds: usize,
    window: Duration,
) -> Vec<Vec<Sample>> {
    let children = CONTENDERS.map(|contender| Child::start(protocol, contender.name));
    let mut samples = vec![Vec::new(); CONTENDERS.len()];
    for _ in 0..rounds {
        for (child, samples) in children.iter().zip(&mut samples) {
            samples.push(client::run(child, clients, window).expect("the server answers"));
        }
    }
    samples
}

fn tabulate(protocol: Protocol, clients: usize, samples: &[Vec<Sample>]) {
    let medians = |of: fn(&Sample) -> f64| -> Vec<f64> {
        let samples = samples.iter();
        samples
            .map(|samples| median(samples.iter().map(of).collect()))
            .collect()
    };
    let cpu = medians(Sample::cpu_nanos_a_request);
    let throughput = medians(Sample::requests_a_second);
    let busy = medians(Sample::busy);
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        format!("{protocol:?}, {clients} clients, {REQUEST} bytes"),
        "CPU ns a request".into(),
        "rustlet's / this".into(),
        "requests a second".into(),
        "busy %".into(),
    ]);
    for (index, contender) in CONTENDERS.iter().enumerate() {
        let pairs = samples[RUSTLET].iter().zip(&samples[index]);
        let ratios = pairs
            .map(|(rustlet, other)| rustlet.cpu_nanos_a_request() / other.cpu_nanos_a_request());
        table.add_row([
            contender.name.into(),
            format!("{:.0}", cpu[index]),
            format!("{:.2}", median(ratios.collect())),
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
    if process::serve_if_asked() {
        return;
    }
    let smoke = arguments::is_smoke_test();
    let window = Duration::from_millis(if smoke { 20 } else { 200 });
    let rounds = arguments::value("--rounds").unwrap_or(if smoke { 1 } else { 25 });
    let sizes = match arguments::value("--clients") {
        Some(clients) => vec![clients],
        None if smoke => vec![2],
        None => vec![1, 50],
    };
    policy::pin_to(CLIENT_CORE);
    for protocol in [Protocol::Udp, Protocol::Unix] {
        for &clients in &sizes {
            let samples = measure(protocol, clients, rounds, window);
            tabulate(protocol, clients, &samples);
        }
    }
}
