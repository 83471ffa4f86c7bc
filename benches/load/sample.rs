//! What was seen of a server in one window.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Answers of a window, how late they were, and the server's CPU time in it.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) latency: Latency,
}

impl Sample {
    pub(crate) fn cpu_nanos_a_request(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.latency.answers() as f64
    }

    pub(crate) fn requests_a_second(&self) -> f64 {
        self.latency.answers() as f64 / self.wall.as_secs_f64()
    }

    /// CPU time of the server by wall time: 1 for a core that never waits.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    pub(crate) fn p50(&self) -> f64 {
        self.latency.micros(0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.latency.micros(0.99)
    }
}

/// From request to answer.
#[derive(Clone, Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Latency {
        Latency(Histogram::new(3).expect("three digits are allowed"))
    }

    pub(crate) fn note(&mut self, took: Duration, answers: usize) {
        // It grows as needed: nothing is too long for it.
        let noted = self.0.record_n(took.as_nanos() as u64, answers as u64);
        noted.expect("room for it");
    }

    fn answers(&self) -> u64 {
        self.0.len()
    }

    fn micros(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1000.0
    }
}
