//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use lexopt::Arg::Long;
use lexopt::ValueExt;

use crate::http::limits::Limits;

pub(crate) const HELP: &str = "\
An HTTP/1.1 server with one greenlet a connection, for load generators.

Usage: cargo run --release --example hello_http -- [OPTIONS]

  --addr ADDR      where to listen; port 0 for one that is free (127.0.0.1:8080)
  --workers N      threads that serve (1)
  --idle MS        how long a connection may be without a request (75000)
  --head MS        how long the head of a request may take (10000)
  --body MS        how long the body of one may take (60000)
  --grace MS       how long requests in work may take when the server ends (10000)
  --help           this text

  GET /            Hello, World!
  POST /echo       the body that was sent

The first line that it prints ends with the address. SIGTERM and Ctrl-C end it in good order.
";

#[derive(Clone, Debug)]
pub(crate) struct Args {
    pub(crate) addr: SocketAddr,
    pub(crate) workers: usize,
    pub(crate) grace: Duration,
    pub(crate) limits: Limits,
}

/// `None`, if help is asked for.
pub(crate) fn parse() -> Result<Option<Args>, lexopt::Error> {
    let mut args = Args {
        addr: SocketAddr::from(([127, 0, 0, 1], 8080)),
        workers: 1,
        grace: Duration::from_secs(10),
        limits: Limits::default(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("addr") => args.addr = parser.value()?.parse()?,
            Long("workers") => args.workers = parser.value()?.parse()?,
            Long("idle") => args.limits.idle = duration(&mut parser)?,
            Long("head") => args.limits.head_time = duration(&mut parser)?,
            Long("body") => args.limits.body_time = duration(&mut parser)?,
            Long("grace") => args.grace = duration(&mut parser)?,
            Long("help") | lexopt::Arg::Short('h') => return Ok(None),
            _ => return Err(arg.unexpected()),
        }
    }
    match args.workers {
        0 => Err("there must be at least one worker".into()),
        _ => Ok(Some(args)),
    }
}

fn duration(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    match parser.value()?.parse::<u32>()? {
        0 => Err("there must be some time".into()),
        millis => Ok(Duration::from_millis(millis.into())),
    }
}
