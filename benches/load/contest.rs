//! Servers in turns, and the table.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::child::{self, Child};
use super::client;
use super::sample::Sample;
use super::{Protocol, Shape};
use crate::support::workload::median;
use crate::support::{arguments, policy};

/// How to run a server: it announces its address, and serves until its process is killed.
pub(crate) type Serve = fn(child::Announce);

/// A server.
#[derive(Clone, Copy)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) serve: Serve,
    pub(crate) threads: usize,
    /// rustlet's server that does the same as this: what the ratios are of.
    pub(crate) like: &'static str,
    /// How much more than this one's CPU time a request rustlet's may take; of two threads also, of its p99.
    pub(crate) bound: Option<f64>,
}

/// What a bench of servers is.
pub(crate) struct Contest {
    pub(crate) contenders: &'static [Contender],
    pub(crate) protocol: Protocol,
    /// What is measured if no shape is asked for, of servers with one thread and with two.
    pub(crate) shapes: [&'static [Shape]; 2],
}

impl Contest {
    /// The program: one of the servers, or the client that measures them all.
    pub(crate) fn main(&self) {
        if let Some(name) = arguments::value::<String>(child::SERVE) {
            let mut contenders = self.contenders.iter();
            let contender = contenders.find(|contender| contender.name == name);
            child::serve(contender.expect("the parent knows the names"));
            return;
        }
        let smoke = arguments::is_smoke_test();
        let window = Duration::from_millis(if smoke { 20 } else { 200 });
        let rounds = arguments::value("--rounds").unwrap_or(if smoke { 1 } else { 25 });
        let asked = Shape::asked_for(smoke);
        let threads_asked = arguments::value::<usize>("--threads");
        child::raise_descriptor_limit();
        policy::pin_to(child::CLIENT_CORE);
        for (threads, shapes) in [1, 2].into_iter().zip(self.shapes) {
            if threads_asked.is_some_and(|asked| asked != threads) {
                continue;
            }
            let contenders = self.contenders.iter();
            let contenders = Vec::from_iter(contenders.filter(|this| this.threads == threads));
            for &shape in asked.as_deref().unwrap_or(shapes) {
                let samples = self.measure(&contenders, shape, rounds, window);
                println!("{}\n", tabulate(&contenders, shape, &samples));
            }
        }
    }

    /// The samples of each.
    fn measure(
        &self,
        contenders: &[&Contender],
        shape: Shape,
        rounds: usize,
        window: Duration,
    ) -> Vec<Vec<Sample>> {
        let children = Vec::from_iter(contenders.iter().map(|contender| Child::start(contender)));
        let mut samples = vec![Vec::with_capacity(rounds); children.len()];
        for _ in 0..rounds {
            for (child, samples) in children.iter().zip(&mut samples) {
                let sample = client::run(child, self.protocol, shape, window);
                samples.push(sample.expect("the server answers"));
            }
        }
        samples
    }
}

fn tabulate(contenders: &[&Contender], shape: Shape, samples: &[Vec<Sample>]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).set_header([
        shape.to_string(),
        "CPU ns a request".into(),
        "rustlet's / this".into(),
        "requests a second".into(),
        "busy %".into(),
        "p50 µs".into(),
        "p99 µs".into(),
        "rustlet's / this".into(),
    ]);
    for (contender, here) in contenders.iter().zip(samples) {
        let middle = |of: fn(&Sample) -> f64| median(here.iter().map(of).collect());
        let like = contenders
            .iter()
            .position(|like| like.name == contender.like);
        let rustlets = &samples[like.expect("one of those with as many threads")];
        let ratio = |of: fn(&Sample) -> f64, bound: Option<f64>| {
            let pairs = rustlets.iter().zip(here);
            let ratio = median(pairs.map(|(ours, this)| of(ours) / of(this)).collect());
            // Hundredths are more than can be told from noise.
            let missed = bound.filter(|&bound| (ratio * 100.0).round() > (bound * 100.0).round());
            let missed = missed.map(|bound| format!(" MISSED {bound:.2}"));
            format!("{ratio:.2}{}", missed.unwrap_or_default())
        };
        let late_bound = contender.bound.filter(|_| contender.threads > 1);
        table.add_row([
            contender.name.into(),
            format!("{:.0}", middle(Sample::cpu_nanos_a_request)),
            ratio(Sample::cpu_nanos_a_request, contender.bound),
            format!("{:.0}", middle(Sample::requests_a_second)),
            format!("{:.0}", 100.0 * middle(Sample::busy)),
            format!("{:.0}", middle(Sample::p50)),
            format!("{:.0}", middle(Sample::p99)),
            ratio(Sample::p99, late_bound),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
