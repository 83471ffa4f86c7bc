//! The same tour on `std::thread`: two threads a connection, in a child process, so that memory and threads
//! are counted apart.
//!
//! Compare [`run`] with `greenlets` in `main.rs`: but for names, the difference is the `use` lines.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use crate::limits;
use crate::measure::{Stats, Summary};
use crate::plan::Plan;
use crate::{args, client, process, progress, serve, table};

/// Begins the line with which the child reports.
const REPORT: &str = "threads";

fn run(plan: &Arc<Plan>) -> io::Result<Summary> {
    let stats = Arc::new(Stats::new());
    let listeners = plan.addresses().map(TcpListener::bind);
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    let addresses: Vec<_> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<_>>()?;
    for listener in listeners {
        // As rustlet's listeners: a backlog of 128 would lose most of this crowd for a second.
        rustix::net::listen(&listener, i32::MAX)?;
        let stats = stats.clone();
        thread::spawn(move || accept(&listener, &stats));
    }

    for number in 0..plan.clients {
        let (plan, stats) = (plan.clone(), stats.clone());
        let address = plan.pick(&addresses, number);
        thread::Builder::new().spawn(move || {
            let connect = || TcpStream::connect(address);
            stats.done(client(number, &plan, &stats, connect, thread::sleep));
        })?;
    }

    let count = || process::status().threads as usize;
    progress::watch("threads", plan, &stats, thread::sleep, count);
    Ok(stats.summary(plan, None))
}

fn accept(listener: &TcpListener, stats: &Stats) {
    for stream in listener.incoming().flatten() {
        if let Err(error) = thread::Builder::new().spawn(move || serve(stream)) {
            stats.failed(&format!("spawning a thread: {error}"));
        }
    }
}

/// What the child process does.
pub(crate) fn child(plan: &Plan) -> io::Result<()> {
    let summary = run(&Arc::new(plan.clone()))?;
    println!("{}", summary.line(REPORT));
    Ok(())
}

/// Starts the child and waits for its report; half as many clients if the machine did not bear
/// as many as its limits promised.
pub(crate) fn run_in_child(plan: &Plan) -> Option<Summary> {
    let (clients, limited_by) = limits::thread_clients(plan.clients);
    println!(
        "The same on std::thread: {} clients, two threads each{}.",
        table::count(clients),
        limited_by.map_or(String::new(), |name| format!(" (what {name} has room for)")),
    );
    for clients in [clients, (clients / 2).max(1)] {
        let plan = Plan {
            clients,
            at_once: clients,
            ..plan.clone()
        };
        match ask_child(&plan) {
            Ok(summary) if summary.errors == 0 => return Some(summary),
            Ok(summary) => failed(clients, &format!("{} errors", summary.errors)),
            Err(error) => failed(clients, &error.to_string()),
        }
    }
    None
}

fn failed(clients: usize, why: &str) {
    println!("{} clients were too many: {why}", table::count(clients));
}

fn ask_child(plan: &Plan) -> io::Result<Summary> {
    let output = Command::new(std::env::current_exe()?)
        .args(args::for_child(plan))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report = text.lines().find_map(|line| Summary::parse(line, REPORT));
    report.ok_or_else(|| {
        io::Error::other(format!(
            "the child process said nothing ({})",
            output.status
        ))
    })
}
