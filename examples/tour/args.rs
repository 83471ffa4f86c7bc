//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::Arg::Long;
use lexopt::ValueExt;

use crate::plan::Plan;

pub(crate) const HELP: &str = "\
An HTTP server and thousands of clients in one process, on one OS thread (or a few); then the same on threads.

Usage: cargo run --release --example tour -- [OPTIONS]

  --clients N     clients, each with a connection of its own (10000)
  --requests N    requests of each client (6)
  --pause MS      pause of a client after each request, on average (500)
  --workers N     worker threads for server and clients (1: this thread, and no other)
  --no-threads    leave out the comparison with std::thread
  --serve ADDR    only the server, at ADDR (such as 127.0.0.1:8080), until Ctrl-C
  --help          this text
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Tour,
    Serve(SocketAddr),
    Help,
    /// The part on threads, reported to the parent process.
    ThreadsChild,
}

#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) mode: Mode,
    pub(crate) plan: Plan,
    /// Threads for server and clients.
    pub(crate) workers: usize,
    /// Whether to compare with threads.
    pub(crate) threads: bool,
}

pub(crate) fn parse() -> Result<Args, lexopt::Error> {
    let mut args = Args {
        mode: Mode::Tour,
        plan: Plan {
            clients: 10_000,
            at_once: 10_000,
            requests: 6,
            pause: Duration::from_millis(500),
        },
        workers: 1,
        threads: true,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("clients") => args.plan.clients = at_least_one(&mut parser)?,
            Long("requests") => args.plan.requests = at_least_one(&mut parser)?,
            Long("pause") => {
                args.plan.pause = Duration::from_millis(parser.value()?.parse::<u32>()?.into());
            }
            Long("workers") => args.workers = at_least_one(&mut parser)?,
            Long("no-threads") => args.threads = false,
            Long("serve") => args.mode = Mode::Serve(parser.value()?.parse()?),
            Long("threads-child") => args.mode = Mode::ThreadsChild,
            Long("help") | lexopt::Arg::Short('h') => args.mode = Mode::Help,
            _ => return Err(arg.unexpected()),
        }
    }
    args.plan.at_once = args.plan.clients;
    Ok(args)
}

fn at_least_one(parser: &mut lexopt::Parser) -> Result<usize, lexopt::Error> {
    match parser.value()?.parse::<u32>()? {
        0 => Err("there must be at least one".into()),
        n => Ok(n as usize),
    }
}

/// The arguments with which the child process is started.
pub(crate) fn for_child(plan: &Plan) -> [String; 7] {
    let Plan {
        clients,
        requests,
        pause,
        at_once: _, // the child finds out itself
    } = plan;
    [
        "--threads-child".to_owned(),
        "--clients".to_owned(),
        clients.to_string(),
        "--requests".to_owned(),
        requests.to_string(),
        "--pause".to_owned(),
        pause.as_millis().to_string(),
    ]
}
