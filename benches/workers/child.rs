//! A peer in a process of its own, which measures when it is told to.
//!
//! The child is this program with [`PEER`] and a name. It reads the name of a program from its standard input and answers with a line of
//! figures, over and over: the CPU nanoseconds of an operation, or `-`, and the nanoseconds. A line without figures says that the peer cannot run the program.
//! It ends with its input, so also when the parent dies. With [`PROGRAM`] it measures so many
//! [`SAMPLES`] of that by itself, for a profiler.

use std::io::{BufRead, BufReader, Write};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

use crate::programs::{self, Peer, Program, Sample};
use crate::support::arguments;

/// The argument that makes this program a peer.
pub(crate) const PEER: &str = "--peer";
const PROGRAM: &str = "--program";
const SAMPLES: &str = "--samples";

/// A running peer.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    /// Taken when it is dropped.
    orders: Option<ChildStdin>,
    figures: BufReader<ChildStdout>,
}

impl Child {
    pub(crate) fn start(peer: &str) -> Child {
        let program = std::env::current_exe().expect("the path of this program");
        let mut process = Command::new(program)
            .args([PEER, peer])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let figures = process.stdout.take().expect("it is piped");
        Child {
            orders: process.stdin.take(),
            process,
            figures: BufReader::new(figures),
        }
    }

    /// Has it measure once; `None` if it cannot run that.
    pub(crate) fn measure(&mut self, program: Program) -> Option<Sample> {
        let orders = self.orders.as_mut().expect("taken by drop alone");
        writeln!(orders, "{program}").expect("the peer listens");
        let mut line = String::new();
        let read = self.figures.read_line(&mut line).expect("the peer answers");
        assert!(read > 0, "the peer ended during {program}");
        let mut words = line.split_whitespace();
        let cpu = words.next()?.parse().ok();
        let nanos: Vec<f64> = words.map(|word| word.parse().expect("a figure")).collect();
        Some(Sample { nanos, cpu })
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}

/// The child's side: measures what it is told to, as long as somebody tells it.
pub(crate) fn serve(peer: &dyn Peer) {
    if let Some(program) = arguments::value::<String>(PROGRAM) {
        let program = program.parse().expect("a program's name");
        for _ in 0..arguments::value(SAMPLES).unwrap_or(10) {
            println!("{:?}", programs::run(program, peer));
        }
        return;
    }
    for line in std::io::stdin().lines() {
        let line = line.expect("the parent writes text");
        let program = line.parse().expect("a program's name");
        let mut answer = String::new();
        if let Some(sample) = programs::run(program, peer) {
            answer = sample.cpu.map_or("-".into(), |cpu| cpu.to_string());
            for nanos in sample.nanos {
                answer += &format!(" {nanos}");
            }
        }
        println!("{answer}");
    }
}
