//! Random programs of many greenlets, checked against a sequential model (`stress/trace`).
//!
//! Plan: a step generates some dozens of programs, small and large, and runs each on its own thread, where every event must be the model's; with
//! workers, a part of them on a runtime too, for what holds in every order. A program that fails is shrunk, each candidate in a process of
//! its own (`--replay`), and saved as `rustlet-stress-SEED.trace` in the present directory. `rustlet-stress --replay FILE` runs such a file again;
//! it belongs into `stress/corpus` with the fix. A program that crashes or hangs takes the step along: `--step` with that
//! step, as the tool says, then tries each program in a process of its own first, and so comes to the same file.
//!
//! Chaos has no part in this: what is thrown in is in the programs.
//!
//! Invariant: the log of each run is the model's log; on workers items and permits are conserved, locks exclude, everything
//! ends or waits as the model says, and all destructors run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::trace::{self, Program};
use crate::workload::{Context, Failure, Workload};

pub(crate) struct Traces;

/// Programs in a step.
const PROGRAMS: usize = 24;
/// How long a candidate may take in a process of its own.
const LIMIT: Duration = Duration::from_secs(10);

impl Workload for Traces {
    fn name(&self) -> &'static str {
        "trace"
    }

    fn about(&self) -> &'static str {
        "random programs against a model: each event in its order; failures are shrunk and saved"
    }

    fn unit(&self) -> &'static str {
        "events"
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        for _ in 0..context.scaled(PROGRAMS) {
            let (seed, size) = (rng.u64(..), rng.usize(8..160));
            let program = trace::generate(seed, size);
            let workers = match context.workers {
                1 => 1,
                most => rng.usize(1..=most),
            };
            context.phase(&format!("program {seed:#x}, {workers} threads"));
            if context.alone && !passes_elsewhere(&program, workers, context.slowdown)? {
                return Err(shrunk(program, seed, workers, context)?);
            }
            match run(&program, workers) {
                Ok(events) => context.count(events as u64),
                Err(_) => return Err(shrunk(program, seed, workers, context)?),
            }
        }
        Ok(())
    }
}

/// How many events there were, or why it failed.
fn run(program: &Program, workers: usize) -> Result<usize, trace::Difference> {
    let ran = match workers {
        1 => trace::check(program),
        workers => trace::check_on_workers(program, workers),
    };
    ran.map(|ran| ran.events)
}

/// Runs the trace in `file`, as `--replay` does; whether it did what it must.
pub(crate) fn replay(file: &Path, workers: usize) -> io::Result<bool> {
    let named =
        |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| named(&error))?;
    let program: Program = text.parse().map_err(|error| named(&error))?;
    match run(&program, workers) {
        Ok(events) => println!("{}: {events} events, as the model says", file.display()),
        Err(difference) => {
            println!("{}: {difference}", file.display());
            return Ok(false);
        }
    }
    Ok(true)
}

/// Saves the smallest program that fails as this one does, and says where.
fn shrunk(
    program: Program,
    seed: u64,
    workers: usize,
    context: &Context,
) -> Result<Failure, Failure> {
    context.phase("shrinking a program that failed");
    let fails = |candidate: &Program| {
        // Progress, so that the tool does not take this for a hang.
        context.count(1);
        matches!(
            passes_elsewhere(candidate, workers, context.slowdown),
            Ok(false)
        )
    };
    let small = trace::shrink(program, fails);
    let why = match passes_elsewhere(&small, workers, context.slowdown)? {
        true => "not every time".to_owned(),
        false => format!("{} operations are left", small.to_string().lines().count()),
    };
    let path = PathBuf::from(format!("rustlet-stress-{seed:#x}.trace"));
    fs::write(&path, small.to_string())?;
    let path = std::path::absolute(path)?;
    Ok(Failure(format!(
        "program {seed:#x} on {workers} threads did not do what it must; shrunk ({why}):\n{small}\nsaved; to run it again: \
         rustlet-stress --replay {} --workers {workers}",
        path.display()
    )))
}

/// Whether a program does what it must, in a process of its own, within a limit.
fn passes_elsewhere(program: &Program, workers: usize, slowdown: u32) -> Result<bool, Failure> {
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), program.to_string())?;
    let runner = std::env::var("RUSTLET_TEST_RUNNER").unwrap_or_default();
    let this = std::env::current_exe()?;
    let mut words = runner
        .split_whitespace()
        .map(Into::into)
        .chain([this.into_os_string()]);
    let mut command = Command::new(words.next().expect("the program at least"));
    command.args(words).arg("--replay").arg(file.path());
    command.arg("--workers").arg(workers.to_string());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn()?;
    let begun = Instant::now();
    while begun.elapsed() < LIMIT * slowdown {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill()?;
    child.wait()?;
    Ok(false)
}
