//! cargo run --example gevent_processes
//!
//! gevent's `processes.py`: starts two programs, waits for both at the same time, for no longer than two seconds, and
//! prints what they have printed.
//!
//! | gevent | here |
//! |---|---|
//! | `gevent.wait([p1, p2], timeout=2)` | `rustlet::wait` for a greenlet each, which wait for the processes |
//! | `p1.poll()` | `try_wait` |
//! | `ls` | `printf`, so that what is printed is known |

use std::io::{self, Read};
use std::time::Duration;

use rustlet::process::{Child, Command, Stdio};

fn report(name: &str, mut child: Child) -> io::Result<()> {
    match child.try_wait()? {
        Some(status) if status.success() => {
            let mut text = String::new();
            child
                .stdout
                .take()
                .expect("piped")
                .read_to_string(&mut text)?;
            println!("{name}: {text:?}");
        }
        Some(status) => println!("{name}: {status}"),
        None => println!("{name}: job is still running"),
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let start = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    };
    // Jobs in parallel, one of them too long.
    let jobs = [
        ("uname", start("uname", &[])?),
        ("printf", start("printf", &["one\\ntwo\\n"])?),
        ("sleep", start("sleep", &["1000"])?),
    ];
    let waiters: Vec<_> = jobs
        .iter()
        .map(|(_, job)| {
            let process = job.process();
            rustlet::spawn(move || process.wait())
        })
        .collect();
    rustlet::wait(&waiters, Some(Duration::from_secs(2)), None);

    for (name, job) in jobs {
        report(name, job)?; // and drops the job: the last is killed
    }
    Ok(())
}

// Prints:
//
// uname: "Linux\n"
// printf: "one\ntwo\n"
// sleep: job is still running
