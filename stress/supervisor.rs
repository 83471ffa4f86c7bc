//! Runs each workload in a process of its own, watches it, and says what became of it.
//!
//! The process is this program again with `--board FILE`. It ends by itself when its time is over. If its counters
//! stand still for longer than `--hang` says, or if one step outlives all time that it was given, it is aborted, and has hung.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::args::Args;
use crate::board::Board;
use crate::display::Display;
use crate::histogram::Times;
use crate::workload::Workload;
use crate::{plot, report, worker};

/// How often the counters are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// The time between two samples.
const SAMPLE: Duration = Duration::from_millis(250);
/// What follows these words on standard error is why an invariant failed.
const FAILED: &str = "rustlet-stress: failed: ";
/// How many lines of the child's standard error are kept.
const LAST_LINES: usize = 60;

/// What became of a workload.
pub(crate) enum Verdict {
    Clean,
    /// An invariant did not hold.
    Failed {
        step: u64,
        message: String,
    },
    /// The process died.
    Crashed {
        step: u64,
        how: String,
        said: String,
    },
    /// Nothing moved any more.
    Hung {
        step: u64,
        phase: String,
        said: String,
    },
}

/// What happened between two looks.
pub(crate) struct Sample {
    /// Seconds after the workload began.
    pub(crate) at: f64,
    /// Operations a second.
    pub(crate) rate: f64,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
}

/// One workload's numbers and end.
pub(crate) struct Outcome {
    pub(crate) workload: &'static dyn Workload,
    pub(crate) verdict: Verdict,
    pub(crate) seconds: f64,
    pub(crate) steps: u64,
    pub(crate) operations: u64,
    pub(crate) chaos: u64,
    pub(crate) times: Times,
    pub(crate) samples: Vec<Sample>,
}

impl Outcome {
    pub(crate) fn clean(&self) -> bool {
        matches!(self.verdict, Verdict::Clean)
    }

    pub(crate) fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds.max(1e-9)
    }
}

/// Runs all workloads in turn and reports. Whether all were clean.
pub(crate) fn run_all(args: &Args) -> io::Result<bool> {
    let mut display = Display::new(args);
    let mut outcomes = Vec::new();
    for workload in &args.workloads {
        let outcome = if args.in_process {
            run_here(args, *workload)?
        } else {
            run_child(args, *workload, &mut display)?
        };
        display.done(&outcome);
        outcomes.push(outcome);
    }
    display.end();
    report::print(args, &outcomes);
    if let Some(path) = &args.json {
        report::write_json(args, &outcomes, path)?;
    }
    if let Some(path) = &args.plot {
        plot::write(&outcomes, path)?;
    }
    Ok(outcomes.iter().all(Outcome::clean))
}

/// The child's side: runs its one workload; whether that was clean.
pub(crate) fn be_the_child(args: &Args, path: &Path) -> io::Result<bool> {
    // The tool may be killed; what nobody watches shall not go on.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let ended = worker::run(args, args.workloads[0], Board::open(path)?);
    if let Err(failure) = &ended {
        eprintln!("{FAILED}{failure}");
    }
    Ok(ended.is_ok())
}

fn run_here(args: &Args, workload: &'static dyn Workload) -> io::Result<Outcome> {
    let board = Board::in_file(&tempfile::tempfile()?)?;
    let begun = Instant::now();
    let verdict = match worker::run(args, workload, board) {
        Ok(()) => Verdict::Clean,
        Err(failure) => Verdict::Failed {
            step: board.step.load(Ordering::Relaxed),
            message: failure.to_string(),
        },
    };
    Ok(outcome(workload, board, verdict, begun, Vec::new()))
}

fn outcome(
    workload: &'static dyn Workload,
    board: &Board,
    verdict: Verdict,
    begun: Instant,
    samples: Vec<Sample>,
) -> Outcome {
    Outcome {
        workload,
        verdict,
        seconds: begun.elapsed().as_secs_f64(),
        steps: board.steps_done.load(Ordering::Relaxed),
        operations: board.operations.load(Ordering::Relaxed),
        chaos: board.chaos.load(Ordering::Relaxed),
        times: board.times.copy(),
        samples,
    }
}

fn run_child(
    args: &Args,
    workload: &'static dyn Workload,
    display: &mut Display,
) -> io::Result<Outcome> {
    let file = tempfile::NamedTempFile::new()?;
    let board = Board::in_file(file.as_file())?;
    let begun = Instant::now();
    let mut child = command(args, workload, file.path())?.spawn()?;
    let last_lines = last_lines(&mut child);
    display.begin(workload);

    let mut samples = Sampler::new(board, begun);
    let mut moved = (begun, samples.progress());
    let mut hung = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        std::thread::sleep(LOOK);
        samples.look();
        display.show(workload, board, begun.elapsed(), samples.samples.as_slice());
        let (now, progress) = (Instant::now(), samples.progress());
        if progress != moved.1 {
            moved = (now, progress);
        }
        let late = args.time.saturating_add(args.patience * 2);
        if !hung && (now - moved.0 > args.patience || begun.elapsed() > late) {
            hung = true;
            abort(&mut child);
        }
    };
    samples.look();
    let said = last_lines();
    let verdict = verdict(status, hung, board, said);
    Ok(outcome(workload, board, verdict, begun, samples.samples))
}

fn verdict(status: ExitStatus, hung: bool, board: &Board, said: String) -> Verdict {
    let step = board.step.load(Ordering::Relaxed);
    if hung {
        let phase = board.phase();
        return Verdict::Hung { step, phase, said };
    }
    if status.success() {
        return Verdict::Clean;
    }
    match (board.failed_step(), said.split_once(FAILED)) {
        (Some(step), Some((_, message))) => Verdict::Failed {
            step,
            message: message.trim_end().to_owned(),
        },
        _ => {
            let how = status.to_string();
            Verdict::Crashed { step, how, said }
        }
    }
}

/// SIGABRT, for a core; SIGKILL if that is not enough.
fn abort(child: &mut Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended by itself at last.
        let _ = kill_process(pid, Signal::ABORT);
    }
    let patience = Instant::now();
    while patience.elapsed() < Duration::from_secs(5) {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(LOOK);
    }
    let _ = child.kill();
}

fn command(args: &Args, workload: &dyn Workload, board: &Path) -> io::Result<Command> {
    let program = std::env::current_exe()?.into_os_string();
    let runner = std::env::var("RUSTLET_TEST_RUNNER").unwrap_or_default();
    let runner = runner.split_whitespace().map(OsString::from);
    let mut words = runner.chain([program]);
    let mut command = Command::new(words.next().expect("the program at least"));
    command.args(words).arg(workload.name());
    command.arg("--board").arg(board);
    let mut option = |name: &str, value: String| {
        command.arg(name).arg(value);
    };
    option("--seed", args.seed.to_string());
    option("--workers", args.workers.to_string());
    option("--greenlets", args.greenlets.to_string());
    option("--chaos", args.chaos.to_string());
    option("--hang", args.patience.as_secs_f64().to_string());
    option("--step", args.first_step.to_string());
    option("--steps", args.steps.unwrap_or(u64::MAX).to_string());
    if args.time < Duration::MAX {
        option("--seconds", args.time.as_secs_f64().to_string());
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    Ok(command)
}

/// Reads the child's standard error on a thread. The result waits for the end of it, but not for long: a
/// grandchild that lives on may hold it open.
fn last_lines(child: &mut Child) -> impl FnOnce() -> String + use<> {
    let stderr = child.stderr.take().expect("it is a pipe");
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stderr).split(b'\n').map_while(Result::ok);
        // Nobody listens any more if the child has been given up.
        let _ = lines
            .map(|line| tx.send(line))
            .take_while(Result::is_ok)
            .count();
    });
    move || {
        let mut kept = VecDeque::new();
        while let Ok(line) = rx.recv_timeout(Duration::from_secs(1)) {
            kept.push_back(String::from_utf8_lossy(&line).into_owned());
            if kept.len() > LAST_LINES {
                kept.pop_front();
            }
        }
        Vec::from(kept).join("\n")
    }
}

/// Turns counters into rates and percentiles of intervals.
struct Sampler {
    board: &'static Board,
    begun: Instant,
    last: (Instant, u64, Times),
    samples: Vec<Sample>,
}

impl Sampler {
    fn new(board: &'static Board, begun: Instant) -> Sampler {
        Sampler {
            board,
            begun,
            last: (begun, 0, board.times.copy()),
            samples: Vec::new(),
        }
    }

    fn progress(&self) -> (u64, u64) {
        let operations = self.board.operations.load(Ordering::Relaxed);
        (operations, self.board.steps_done.load(Ordering::Relaxed))
    }

    fn look(&mut self) {
        let now = Instant::now();
        let (then, before, ref times_before) = self.last;
        if now - then < SAMPLE {
            return;
        }
        let (operations, times) = (self.progress().0, self.board.times.copy());
        let between = times.since(times_before);
        self.samples.push(Sample {
            at: (now - self.begun).as_secs_f64(),
            rate: operations.saturating_sub(before) as f64 / (now - then).as_secs_f64(),
            p50: between.quantile(0.5),
            p99: between.quantile(0.99),
        });
        self.last = (now, operations, times);
    }
}
