//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::prelude::*;

use crate::chaos::Chaos;
use crate::workload::Workload;
use crate::workloads;

const HELP: &str = "\
Works rustlet hard and checks that nothing breaks.

    rustlet-stress <workload[,workload...]|all> [options]

    --seconds S     for how long in all; several workloads share it      [10 each]
    --seed N        decides all that is random, decimal or 0x...         [random, printed]
    --workers W     worker threads; 1 works on one thread                [cores, at most 4]
    --greenlets G   how many greenlets to work with, about               [1000]
    --chaos WHAT    kill=0.01,delay=0.05,panic=0.001: what is thrown in  [nothing]
    --step K        only step K of each workload, as a failure says it   [from 0 until time is over]
    --steps N       at most N steps of each workload
    --json FILE     the outcome with all samples
    --plot FILE     rates and latencies over time, as SVG
    --hang S        no step may be without progress for so long          [60]
    --in-process    no process of its own for each workload: for debuggers and checkers
    --replay FILE   runs a saved trace (see `trace`), on one thread unless --workers says otherwise
    --list          the workloads, with what each checks

Exit status: 0 if every invariant held, 1 if one did not, 2 for a wrong command line.
RUSTLET_TEST_SLOWDOWN=N (an emulator, a sanitizer) divides work and multiplies patience;
RUSTLET_TEST_RUNNER has the words before the program when it cannot be executed directly.
";

/// What to do.
#[derive(Clone)]
pub(crate) struct Args {
    pub(crate) workloads: Vec<&'static dyn Workload>,
    /// For each workload.
    pub(crate) time: Duration,
    pub(crate) seed: u64,
    pub(crate) workers: usize,
    pub(crate) greenlets: usize,
    pub(crate) chaos: Chaos,
    pub(crate) first_step: u64,
    pub(crate) steps: Option<u64>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) plot: Option<PathBuf>,
    pub(crate) patience: Duration,
    pub(crate) in_process: bool,
    /// Set by the tool for its own children: the file of the board.
    pub(crate) board: Option<PathBuf>,
    pub(crate) slowdown: u32,
}

/// What the command line asks for.
pub(crate) enum Command {
    Run(Args),
    /// Run the trace in this file on so many workers.
    Replay(PathBuf, usize),
    /// Print this.
    Say(String),
}

pub(crate) fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Command, lexopt::Error> {
    let slowdown = slowdown()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut args = Args {
        workloads: Vec::new(),
        time: Duration::ZERO,
        seed: fastrand::u64(..),
        workers: cores.min(4),
        greenlets: 1000,
        chaos: Chaos::default(),
        first_step: 0,
        steps: None,
        json: None,
        plot: None,
        patience: Duration::from_secs(60) * slowdown,
        in_process: false,
        board: None,
        slowdown,
    };
    let (mut seconds, mut workers, mut replay) = (None, None, None);
    let mut parser = lexopt::Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Value(names) => named(&names.string()?, &mut args.workloads)?,
            Long("seconds") => seconds = Some(time(parser.value()?.parse()?)?),
            Long("seed") => args.seed = parser.value()?.parse_with(number)?,
            Long("workers") => workers = Some(parser.value()?.parse_with(positive)?),
            Long("greenlets") => args.greenlets = parser.value()?.parse_with(positive)?,
            Long("chaos") => args.chaos = parser.value()?.parse()?,
            Long("step") => {
                args.first_step = parser.value()?.parse_with(number)?;
                args.steps = args.steps.or(Some(1));
            }
            Long("steps") => args.steps = Some(parser.value()?.parse_with(number)?),
            Long("json") => args.json = Some(parser.value()?.into()),
            Long("plot") => args.plot = Some(parser.value()?.into()),
            Long("hang") => args.patience = time(parser.value()?.parse()?)?,
            Long("replay") => replay = Some(parser.value()?.into()),
            Long("in-process") => args.in_process = true,
            Long("board") => args.board = Some(parser.value()?.into()),
            Long("list") => return Ok(Command::Say(list())),
            Short('h') | Long("help") => return Ok(Command::Say(HELP.to_owned())),
            _ => return Err(argument.unexpected()),
        }
    }
    if let Some(file) = replay {
        return Ok(Command::Replay(file, workers.unwrap_or(1)));
    }
    args.workers = workers.unwrap_or(args.workers);
    if args.workloads.is_empty() {
        return Err("which workload? `all`, or some of --list; --help says more".into());
    }
    let workloads = args.workloads.len() as u32;
    args.time = match (seconds, args.steps) {
        (Some(all), _) => all / workloads,
        (None, Some(_)) => Duration::MAX,
        (None, None) => Duration::from_secs(10),
    };
    Ok(Command::Run(args))
}

fn named(names: &str, found: &mut Vec<&'static dyn Workload>) -> Result<(), String> {
    for name in names.split(',') {
        if name == "all" {
            found.extend(workloads::ALL);
            continue;
        }
        found.push(workloads::named(name).ok_or_else(|| {
            let all = Vec::from_iter(workloads::ALL.iter().map(|one| one.name()));
            format!("no workload {name:?}; there are all, {}", all.join(", "))
        })?);
    }
    Ok(())
}

fn list() -> String {
    let lines = workloads::ALL
        .iter()
        .map(|one| format!("{:9} {}\n", one.name(), one.about()));
    lines.collect()
}

/// Decimal or `0x…`.
fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| format!("{text:?}: {error}"))
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(format!("{text:?}: a whole number above 0 is wanted")),
    }
}

fn time(seconds: f64) -> Result<Duration, String> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(format!("{seconds}: a time above 0 is wanted, in seconds")),
    }
}

fn slowdown() -> Result<u32, String> {
    match std::env::var("RUSTLET_TEST_SLOWDOWN") {
        Ok(text) => match text.parse() {
            Ok(factor) if factor > 0 => Ok(factor),
            _ => Err(format!(
                "RUSTLET_TEST_SLOWDOWN={text}: not a positive whole number"
            )),
        },
        Err(_) => Ok(1),
    }
}

impl Args {
    /// The command that runs `step` of `workload` again, alone.
    pub(crate) fn reproduce(&self, workload: &dyn Workload, step: Option<u64>) -> String {
        let mut words = format!(
            "rustlet-stress {} --seed {:#x} --workers {} --greenlets {}",
            workload.name(),
            self.seed,
            self.workers,
            self.greenlets
        );
        if self.chaos.any() {
            words += &format!(" --chaos {}", self.chaos);
        }
        if let Some(step) = step {
            words += &format!(" --step {step}");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(words: &str) -> Result<Args, String> {
        match parse(words.split(' ').map(OsString::from)).map_err(|error| error.to_string())? {
            Command::Run(args) => Ok(args),
            Command::Say(text) => Err(text),
            Command::Replay(file, _) => Err(file.display().to_string()),
        }
    }

    #[test]
    fn several_workloads_share_the_time() {
        let args = run("ring,switch --seconds 30 --seed 0x10").unwrap();
        assert_eq!(args.time, Duration::from_secs(15));
        assert_eq!((args.workloads.len(), args.seed), (2, 16));
        assert_eq!(run("all").unwrap().workloads.len(), workloads::ALL.len());
    }

    #[test]
    fn a_failing_step_is_said_in_words_that_are_read_again() {
        let args = run("ring --seed 7 --workers 3 --greenlets 9 --chaos kill=0.5").unwrap();
        let words = args.reproduce(args.workloads[0], Some(4));
        let again = run(words.strip_prefix("rustlet-stress ").unwrap()).unwrap();
        assert_eq!((again.seed, again.workers, again.greenlets), (7, 3, 9));
        assert_eq!(
            (again.first_step, again.steps, again.chaos),
            (4, Some(1), args.chaos)
        );
    }

    #[test]
    fn wrong_words_are_named() {
        for (words, named) in [
            ("rnig", "no workload \"rnig\""),
            ("ring --seconds 0", "above 0"),
            ("ring --workers 0", "above 0"),
            ("ring --chaos nap=1", "\"nap\""),
            ("--seconds 3", "which workload"),
        ] {
            let Err(error) = run(words) else {
                panic!("{words} was taken")
            };
            assert!(error.contains(named), "{error}");
        }
    }
}
