//! What happens now, on standard error: a bar for the workload at work and a line for each that is done; without a
//! terminal, plain lines every few seconds.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};

use crate::args::Args;
use crate::board::Board;
use crate::supervisor::{Outcome, Sample, Verdict};
use crate::workload::Workload;

/// How often a line is written where no terminal is.
const LINE: Duration = Duration::from_secs(5);
/// Rates of the last this many samples make the little graph.
const GRAPH: usize = 16;
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(crate) struct Display {
    /// Where a terminal is: the bar of all, and that of the workload.
    bars: Option<(MultiProgress, ProgressBar, ProgressBar)>,
    time: Duration,
    /// When the next plain line is due.
    line: Duration,
}

impl Display {
    pub(crate) fn new(args: &Args) -> Display {
        eprintln!(
            "rustlet-stress: seed {:#x}, {} workers, {} greenlets{}{}",
            args.seed,
            args.workers,
            args.greenlets,
            if args.chaos.any() { ", chaos " } else { "" },
            args.chaos
        );
        let terminal = std::io::stderr().is_terminal() && !args.in_process;
        let bars = terminal.then(|| {
            let style =
                |template| ProgressStyle::with_template(template).expect("the template is valid");
            let both = MultiProgress::new();
            let one = both.add(ProgressBar::new(1));
            one.set_style(
                style("{prefix:9.cyan.bold} {bar:20.cyan} {wide_msg}").progress_chars("█▉▊▋▌▍▎▏ "),
            );
            let all = both.add(ProgressBar::new(args.workloads.len() as u64));
            all.set_style(
                style("{prefix:9} {bar:20} {pos} of {len} workloads done, {elapsed}")
                    .progress_chars("━╸ "),
            );
            all.set_prefix("all");
            (both, one, all)
        });
        Display {
            bars,
            time: args.time,
            line: Duration::ZERO,
        }
    }

    pub(crate) fn begin(&mut self, workload: &dyn Workload) {
        self.line = LINE;
        if let Some((_, one, all)) = &self.bars {
            one.set_prefix(workload.name());
            one.set_position(0);
            all.tick();
        }
    }

    pub(crate) fn show(
        &mut self,
        workload: &dyn Workload,
        board: &Board,
        elapsed: Duration,
        samples: &[Sample],
    ) {
        if self.bars.is_none() && elapsed < self.line {
            return;
        }
        self.line = elapsed + LINE;
        let steps = board.steps_done.load(Ordering::Relaxed);
        let last = samples.last();
        let mut words = format!(
            "{:5.1} s  {} steps  {} {}/s",
            elapsed.as_secs_f64(),
            HumanCount(steps),
            quantity(last.map_or(0.0, |last| last.rate)),
            workload.unit(),
        );
        if let (Some(what), Some(last)) = (workload.timed(), last)
            && let (Some(p50), Some(p99)) = (last.p50, last.p99)
        {
            words += &format!("  {what} p50 {} p99 {}", short(p50), short(p99));
        }
        let phase = board.phase();
        let Some((_, one, all)) = &self.bars else {
            eprintln!("{:9} {words}  {phase}", workload.name());
            return;
        };
        // With `--steps` alone there is no time to fill.
        one.set_length(if self.time == Duration::MAX {
            0
        } else {
            self.time.as_millis() as u64
        });
        one.set_position(elapsed.as_millis() as u64);
        one.set_message(format!("{words}  {}  {phase}", graph(samples)));
        all.tick();
    }

    pub(crate) fn done(&mut self, outcome: &Outcome) {
        let verdict = match outcome.verdict {
            Verdict::Clean => "clean",
            Verdict::Failed { .. } => "FAILED",
            Verdict::Crashed { .. } => "CRASHED",
            Verdict::Hung { .. } => "HUNG",
        };
        let line = format!(
            "{:9} {verdict}: {:.1} s, {} steps, {} {}",
            outcome.workload.name(),
            outcome.seconds,
            HumanCount(outcome.steps),
            HumanCount(outcome.operations),
            outcome.workload.unit()
        );
        match &self.bars {
            Some((both, _, all)) => {
                // A terminal that went away has nobody who misses the line.
                let _ = both.println(line);
                all.inc(1);
            }
            None => eprintln!("{line}"),
        }
    }

    pub(crate) fn end(&mut self) {
        if let Some((_, one, all)) = &self.bars {
            one.finish_and_clear();
            all.finish_and_clear();
        }
    }
}

/// The last rates as little columns.
fn graph(samples: &[Sample]) -> String {
    let last = &samples[samples.len().saturating_sub(GRAPH)..];
    let most = last.iter().map(|sample| sample.rate).fold(1.0, f64::max);
    let level = |rate: f64| LEVELS[((rate / most * 8.0) as usize).min(7)];
    last.iter().map(|sample| level(sample.rate)).collect()
}

/// 12_345_678 as "12.3 M".
pub(crate) fn quantity(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2} G", n / 1e9),
        n if n >= 1e6 => format!("{:.1} M", n / 1e6),
        n if n >= 1e4 => format!("{:.0} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// Three digits of a time.
pub(crate) fn short(time: Duration) -> String {
    match time.as_nanos() as f64 {
        nanos if nanos < 1e3 => format!("{nanos:.0} ns"),
        nanos if nanos < 1e5 => format!("{:.1} µs", nanos / 1e3),
        nanos if nanos < 1e6 => format!("{:.0} µs", nanos / 1e3),
        nanos if nanos < 1e8 => format!("{:.1} ms", nanos / 1e6),
        nanos if nanos < 1e9 => format!("{:.0} ms", nanos / 1e6),
        nanos => format!("{:.1} s", nanos / 1e9),
    }
}
