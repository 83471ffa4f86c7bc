//! The shape of a workload, and comparing two of them fairly.
//!
//! A workload is set up once and then run for any number of rounds; it reports the CPU time of the rounds
//! alone. Criterion drives it through `iter_custom`; [`compare`] drives several of them in turns (A B C, A
//! B C, …), so that a neighbour who wakes up in the middle disturbs all of them alike.

use std::time::Duration;

/// Something to measure, set up.
pub(crate) trait Workload {
    /// Operations in one round: switches, greenlets, timers.
    fn operations(&self) -> u64;

    /// Does `rounds` rounds; returns the CPU time of them, without what surrounds them.
    fn run(&mut self, rounds: u64) -> Duration;
}

/// How long a sample should be: long enough for the clock, short enough to take turns often.
const SAMPLE: Duration = Duration::from_millis(20);

/// Median nanoseconds for one operation of each workload, from `samples` samples taken in turns.
pub(crate) fn compare(workloads: &mut [&mut dyn Workload], samples: usize) -> Vec<f64> {
    let rounds: Vec<u64> = workloads
        .iter_mut()
        .map(|workload| calibrate(&mut **workload))
        .collect();
    let mut measured = vec![Vec::with_capacity(samples); workloads.len()];
    for _ in 0..samples {
        for (index, workload) in workloads.iter_mut().enumerate() {
            let time = workload.run(rounds[index]).as_nanos() as f64;
            measured[index].push(time / (rounds[index] * workload.operations()) as f64);
        }
    }
    measured.into_iter().map(median).collect()
}

/// How many rounds make a sample. Also warms everything up.
fn calibrate(workload: &mut dyn Workload) -> u64 {
    let mut rounds = 1;
    loop {
        let time = workload.run(rounds);
        if time >= SAMPLE / 2 {
            return (rounds as f64 * SAMPLE.as_secs_f64() / time.as_secs_f64()).ceil() as u64;
        }
        rounds *= 2;
    }
}

/// The middle one; the lower of two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    assert!(!values.is_empty(), "a median of nothing");
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}
