//! A server in a process of its own; one with one thread on a core of its own.
//!
//! The child is this program with [`SERVE`] and a server's name. It prints its address in one line, and
//! serves until it is killed: when its [`Child`] is dropped, or when the parent dies.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{self, Command, Stdio};

use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::contest::Contender;
use crate::support::{arguments, policy};

/// The argument that makes this program a server.
pub(crate) const SERVE: &str = "--serve";
const SERVER_CORE: usize = 0;
pub(crate) const CLIENT_CORE: usize = 1;

/// Tells the parent where a server listens.
pub(crate) type Announce = fn(SocketAddr);

/// A running server.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    pub(crate) addr: SocketAddr,
    pub(crate) threads: usize,
}

impl Child {
    /// Starts a server, and waits until it listens.
    pub(crate) fn start(contender: &Contender) -> Child {
        let program = std::env::current_exe().expect("the path of this program");
        let mut process = Command::new(program)
            .args([SERVE, contender.name])
            .args(arguments::has(policy::BATCH).then_some(policy::BATCH))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let output = process.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the server says where it listens");
        let addr = line.trim().parse().expect("an address");
        Child {
            process,
            addr,
            threads: contender.threads,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The child's side: serves for ever.
pub(crate) fn serve(contender: &Contender) {
    // A parent that dies does not drop its children.
    set_parent_process_death_signal(Some(Signal::KILL)).expect("a signal of one's own");
    raise_descriptor_limit();
    // Before any runtime starts a thread: threads inherit it.
    match contender.threads {
        1 => policy::pin_to(SERVER_CORE),
        _ => {
            unpin(); // the parent was pinned, and that is inherited too
            policy::be_batch_if_asked();
        }
    }
    (contender.serve)(|addr| println!("{addr}"));
}

/// Lets this thread, and those that it will start, run everywhere.
fn unpin() {
    let mut cores = CpuSet::new();
    (0..CpuSet::MAX_CPU).for_each(|core| cores.set(core));
    if let Err(error) = sched_setaffinity(None, &cores) {
        eprintln!("still pinned: {error}");
    }
}

/// As many descriptors as this user may have: a connection is one.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        eprintln!("limit of descriptors not raised: {error}");
    }
}
