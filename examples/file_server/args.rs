//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::Arg::{Long, Value};
use lexopt::ValueExt;

pub(crate) const HELP: &str = "\
Serves the files of a directory over HTTP/1.1, with one greenlet a connection.

Usage: cargo run --release --example file_server -- [DIR] [OPTIONS]

  DIR              the directory (the current one)
  --addr ADDR      where to listen; port 0 for one that is free (127.0.0.1:8080)
  --workers N      threads that serve (1)
  --hidden         also names that begin with a dot
  --grace MS       how long downloads may take when the server ends (10000)
  --help           this text

The first line that it prints ends with the address. SIGTERM and Ctrl-C end it in good order.
";

#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) dir: PathBuf,
    pub(crate) addr: SocketAddr,
    pub(crate) workers: usize,
    pub(crate) hidden: bool,
    pub(crate) grace: Duration,
}

/// `None`, if help is asked for.
pub(crate) fn parse() -> Result<Option<Args>, lexopt::Error> {
    let mut args = Args {
        dir: PathBuf::from("."),
        addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
        workers: 1,
        hidden: false,
        grace: Duration::from_secs(10),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(dir) => args.dir = dir.into(),
            Long("addr") => args.addr = parser.value()?.parse()?,
            Long("workers") => args.workers = parser.value()?.parse()?,
            Long("hidden") => args.hidden = true,
            Long("grace") => {
                args.grace = Duration::from_millis(parser.value()?.parse::<u32>()?.into())
            }
            Long("help") | lexopt::Arg::Short('h') => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    match args.workers {
        0 => Err("there must be at least one worker".into()),
        _ => Ok(Some(args)),
    }
}
