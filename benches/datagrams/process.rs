//! A server in a process of its own, on a core of its own.
//!
//! The child is this program with [`SERVE`], a protocol and a server's name. It prints where it is in one line, and
//! serves until it is killed: when its [`Child`] is dropped, or when the parent dies.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{self, Command, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::support::policy;
use crate::{CONTENDERS, Protocol, SERVER_CORE};

/// The argument that makes this program a server; what follows says which, and where.
const SERVE: &str = "--serve";

/// Tells the parent where a server is.
pub(crate) type Announce = fn(&str);

/// A running server.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    pub(crate) protocol: Protocol,
    /// An IP address and a port, or a path.
    pub(crate) place: String,
    /// Has the socket of a Unix server.
    _directory: tempfile::TempDir,
}

impl Child {
    /// Starts the server called `name`, and waits until it is there.
    pub(crate) fn start(protocol: Protocol, name: &str) -> Child {
        let directory = tempfile::tempdir().expect("a directory");
        let mut process = Command::new(std::env::current_exe().expect("the path of this program"))
            .args([SERVE, &format!("{protocol:?}"), name])
            .arg(directory.path().join("socket"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let output = process.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .expect("the server says where it is");
        Child {
            process,
            protocol,
            place: line.trim().to_owned(),
            _directory: directory,
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

/// The child's side: serves for ever. False in the parent.
pub(crate) fn serve_if_asked() -> bool {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(SERVE) {
        return false;
    }
    let [protocol, name, place] = [(); 3].map(|()| arguments.next().expect("three arguments"));
    let mut contenders = CONTENDERS.iter();
    let contender = contenders
        .find(|contender| contender.name == name)
        .expect("the parent knows the names");
    // A parent that dies does not drop its children.
    set_parent_process_death_signal(Some(Signal::KILL)).expect("a signal of one's own");
    policy::pin_to(SERVER_CORE); // before any runtime starts a thread: threads inherit it
    let serve = match protocol == format!("{:?}", Protocol::Udp) {
        true => contender.udp,
        false => contender.unix,
    };
    serve(Path::new(&place), |place| println!("{place}"));
    true
}
