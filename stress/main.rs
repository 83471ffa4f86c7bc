//! `rustlet-stress`: works the library hard, and checks that nothing breaks.
//!
//! ```sh
//! cargo run --release --features stress --bin rustlet-stress -- all --seconds 60
//! cargo run --release --features stress --bin rustlet-stress -- ring,locks --chaos kill=0.01,delay=0.05
//! ```
//!
//! ```text
//! main ── supervisor ── a process for each workload ── worker: step after step
//!            │  └─ board: counters in memory that both processes map
//!            ├─ display: what happens now
//!            └─ report, plot: what happened
//! ```
//!
//! Each workload has a process of its own, so that a crash and a hang are outcomes with a name, a seed and a step, and
//! the other workloads go on. [`workload`] says what a workload is; adding one is a file in `workloads/` and a line in its `mod.rs`.
//!
//! Rejected: a generator of random calls over the whole library as the one workload (that is [`workloads`]' `trace`). What breaks a
//! switch, a timer and a socket are different things, and an invariant has to be thought of for each.

mod args;
mod board;
mod chaos;
mod crew;
mod display;
mod histogram;
mod plot;
mod report;
mod supervisor;
mod trace;
mod witness;
mod worker;
mod workload;
mod workloads;

use std::process::ExitCode;

use args::Command;

/// What the command line was wrong about is told with this status.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run(args)) => status(match &args.board {
            Some(path) => supervisor::be_the_child(&args, path),
            None => supervisor::run_all(&args),
        }),
        Ok(Command::Replay(file, workers)) => status(workloads::replay(&file, workers)),
        Ok(Command::Say(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("rustlet-stress: {error}");
            ExitCode::from(USAGE)
        }
    }
}

/// Whether all was clean, as an exit status.
fn status(ended: std::io::Result<bool>) -> ExitCode {
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rustlet-stress: {error}");
            ExitCode::FAILURE
        }
    }
}
