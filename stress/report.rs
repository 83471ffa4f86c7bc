//! What happened: a table and each failure on standard output, all of it as JSON in a file.

use std::io;
use std::path::Path;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::HumanCount;
use serde_json::{Value, json};

use crate::args::Args;
use crate::display::{quantity, short};
use crate::supervisor::{Outcome, Sample, Verdict};

pub(crate) fn print(args: &Args, outcomes: &[Outcome]) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header([
        "workload",
        "verdict",
        "seconds",
        "steps",
        "operations",
        "rate",
        "timed",
        "p50",
        "p99",
        "p99.9",
        "max",
    ]);
    for outcome in outcomes {
        let unit = outcome.workload.unit();
        let verdict = match outcome.verdict {
            Verdict::Clean => "clean",
            Verdict::Failed { .. } => "FAILED",
            Verdict::Crashed { .. } => "CRASHED",
            Verdict::Hung { .. } => "HUNG",
        };
        let quantile = |share| outcome.times.quantile(share).map_or(String::new(), short);
        table.add_row([
            outcome.workload.name().to_owned(),
            verdict.to_owned(),
            format!("{:.1}", outcome.seconds),
            HumanCount(outcome.steps).to_string(),
            HumanCount(outcome.operations).to_string(),
            format!("{} {unit}/s", quantity(outcome.rate())),
            outcome.workload.timed().unwrap_or_default().to_owned(),
            quantile(0.5),
            quantile(0.99),
            quantile(0.999),
            quantile(1.0),
        ]);
    }
    for column in [2, 3, 4, 7, 8, 9, 10] {
        let column = table.column_mut(column).expect("it is in the header");
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!(
        "{}",
        table
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect::<String>()
    );

    for outcome in outcomes {
        failure(args, outcome);
    }
    let clean = outcomes.iter().filter(|outcome| outcome.clean()).count();
    let chaos: u64 = outcomes.iter().map(|outcome| outcome.chaos).sum();
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let steps: u64 = outcomes.iter().map(|outcome| outcome.steps).sum();
    println!(
        "rustlet-stress: {clean} of {} workloads clean, {} steps in {seconds:.0} s, chaos struck {} times, seed {:#x}",
        outcomes.len(),
        HumanCount(steps),
        HumanCount(chaos),
        args.seed
    );
}

fn failure(args: &Args, outcome: &Outcome) {
    let name = outcome.workload.name();
    let (step, said) = match &outcome.verdict {
        Verdict::Clean => return,
        Verdict::Failed { step, message } => {
            println!("{name} FAILED in step {step}: {message}");
            (*step, "")
        }
        Verdict::Crashed { step, how, said } => {
            println!("{name} CRASHED in step {step}: {how}");
            (*step, said.as_str())
        }
        Verdict::Hung { step, phase, said } => {
            let patience = args.patience.as_secs_f64();
            println!("{name} HUNG in step {step} ({phase}): no progress for {patience} s");
            (*step, said.as_str())
        }
    };
    for line in said.lines() {
        println!("    | {line}");
    }
    let again = args.reproduce(outcome.workload, Some(step));
    println!(
        "  seed {:#x}; to run the step again:\n    {again}\n",
        args.seed
    );
}

pub(crate) fn write_json(args: &Args, outcomes: &[Outcome], path: &Path) -> io::Result<()> {
    let all = Vec::from_iter(outcomes.iter().map(|outcome| of(args, outcome)));
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let value = json!({
        "rustlet": env!("CARGO_PKG_VERSION"),
        "architecture": std::env::consts::ARCH,
        "kernel": kernel.trim(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "seed": format!("{:#x}", args.seed),
        "workers": args.workers,
        "greenlets": args.greenlets,
        "chaos": { "kill": args.chaos.kill, "delay": args.chaos.delay, "panic": args.chaos.panic },
        "slowdown": args.slowdown,
        "clean": outcomes.iter().all(Outcome::clean),
        "workloads": all,
    });
    let text = serde_json::to_string_pretty(&value).expect("no map here has keys that are no text");
    std::fs::write(path, text + "\n")
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn of(args: &Args, outcome: &Outcome) -> Value {
    let micros = |time: Option<Duration>| time.map(|time| time.as_nanos() as f64 / 1e3);
    let quantile = |share| micros(outcome.times.quantile(share));
    let (verdict, failure) = match &outcome.verdict {
        Verdict::Clean => ("clean", Value::Null),
        Verdict::Failed { step, message } => {
            ("failed", json!({ "step": step, "message": message }))
        }
        Verdict::Crashed { step, how, said } => (
            "crashed",
            json!({ "step": step, "message": how, "stderr": said }),
        ),
        Verdict::Hung { step, phase, said } => (
            "hung",
            json!({ "step": step, "message": phase, "stderr": said }),
        ),
    };
    let sample = |sample: &Sample| {
        json!([
            sample.at,
            sample.rate,
            micros(sample.p50),
            micros(sample.p99)
        ])
    };
    json!({
        "name": outcome.workload.name(),
        "verdict": verdict,
        "failure": failure,
        "reproduce": args.reproduce(outcome.workload, failure["step"].as_u64()),
        "seconds": outcome.seconds,
        "steps": outcome.steps,
        "unit": outcome.workload.unit(),
        "operations": outcome.operations,
        "rate": outcome.rate(),
        "chaos": outcome.chaos,
        "timed": outcome.workload.timed(),
        "times": outcome.times.count(),
        "micros": { "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "p999": quantile(0.999), "max": quantile(1.0) },
        "samples_are": ["seconds", "rate", "p50_micros", "p99_micros"],
        "samples": Vec::from_iter(outcome.samples.iter().map(sample)),
    })
}
