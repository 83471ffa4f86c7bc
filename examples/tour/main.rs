//! cargo run --release --example tour
//!
//! Why this library exists, in ten seconds: one process and one OS thread hold an HTTP/1.1 server
//! and 10,000 clients that keep their connections open. Server and client are the plain blocking
//! code below; each connection is a greenlet at either end. Then the same two functions run on
//! `std::thread`, and a table shows both.
//!
//! Read [`serve`], [`client`] and [`greenlets`]; the rest is plumbing:
//!
//! | file | one idea |
//! |---|---|
//! | [`http`] | HTTP/1.1 over anything that reads and writes |
//! | [`page`] | what the server answers; the clients know it too |
//! | [`plan`] | who asks when: a pure function of the client's number |
//! | [`workers`] | `--workers N`: the same on several cores |
//! | [`threads`] | the same tour on `std::thread`, in a process of its own |
//! | [`limits`] | descriptors, ports and threads: what the machine bears |
//! | [`measure`], [`process`], [`progress`], [`table`] | counting, asking the kernel, showing |
//! | [`args`] | the command line; `--help` prints it |
//!
//! `--serve 127.0.0.1:8080` keeps the server up, for `curl`, a browser or `wrk`.
//!
//! The last line of the output is for programs. The exit status is 1 if any response was missing
//! or wrong.

mod args;
mod http;
mod limits;
mod measure;
mod page;
mod plan;
mod process;
mod progress;
mod table;
mod threads;
mod workers;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use args::{Args, Mode};
use measure::{Stats, Summary};
use plan::Plan;
use rustlet::net::{TcpListener, TcpStream};
use workers::Served;

/// The server's end of one connection: answers requests until the client goes.
///
/// Nothing here knows of greenlets. Where it reads and there is nothing to read, the greenlet is
/// suspended and the thread does something else; the loop, the buffer and the error handling stay as they
/// are in one's first network program.
fn serve(stream: impl Read + Write) -> io::Result<()> {
    let mut connection = http::Connection::new(stream);
    while let Some(request) = connection.read_request()? {
        let page = page::answer(&request.path);
        connection.respond(&request, &page)?;
        if !request.keep_alive {
            break;
        }
    }
    Ok(())
}

/// One client: connects, sends its requests with pauses between them, and checks every response.
///
/// It is given `connect` and `sleep` so that [`threads`] can run it, too.
fn client<S: Read + Write>(
    number: usize,
    plan: &Plan,
    stats: &Stats,
    connect: impl FnOnce() -> io::Result<S>,
    sleep: fn(Duration),
) -> io::Result<()> {
    sleep(plan.start(number));
    let mut connection = http::Connection::new(connect()?);
    let _open = stats.connected();
    for request in 0..plan.requests {
        ask(&mut connection, plan.path(number, request), stats)?;
        sleep(plan.pause(number, request));
    }
    Ok(())
}

/// One request; its latency runs from the first byte written to the last byte read.
fn ask<S: Read + Write>(
    connection: &mut http::Connection<S>,
    path: String,
    stats: &Stats,
) -> io::Result<()> {
    let start = Instant::now();
    let response = connection.get(&path)?;
    stats.answered(start.elapsed());
    if response.status == 200 && response.body == page::answer(&path).body.as_bytes() {
        stats.correct();
        Ok(())
    } else {
        Err(io::Error::other(format!("wrong response to {path}")))
    }
}

/// The tour: a server and all clients, on this thread (or on the workers of a runtime, if called there).
///
/// There is no runtime to build and no `async fn`. [`threads::run`] is the same with
/// `std::net` and `std::thread`.
fn greenlets(plan: &Arc<Plan>) -> io::Result<(Summary, Arc<Served>)> {
    let (stats, served) = (Arc::new(Stats::new()), Arc::new(Served::new()));
    let listeners = plan.addresses().map(TcpListener::bind);
    let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
    let addresses: Vec<_> = listeners
        .iter()
        .map(TcpListener::local_addr)
        .collect::<io::Result<_>>()?;
    for listener in listeners {
        let served = served.clone();
        rustlet::spawn(move || accept(&listener, &served));
    }

    // Where descriptors are short by a few, the last clients wait for the first ones to leave.
    let late = plan.clients - plan.at_once;
    let mut first = VecDeque::new();
    for number in 0..plan.clients {
        let (plan, stats) = (plan.clone(), stats.clone());
        let address = plan.pick(&addresses, number);
        let before = (number >= plan.at_once)
            .then(|| first.pop_front())
            .flatten();
        let greenlet = rustlet::spawn(move || {
            before.map(rustlet::Greenlet::join);
            let connect = || TcpStream::connect(address);
            stats.done(client(number, &plan, &stats, connect, rustlet::sleep));
        });
        if number < late {
            first.push_back(greenlet);
        }
    }

    let watcher = {
        let (plan, stats) = (plan.clone(), stats.clone());
        let count = || workers::totals().0;
        rustlet::spawn(move || progress::watch("greenlets", &plan, &stats, rustlet::sleep, count))
    };
    watcher.join().map_err(io::Error::other)?;
    Ok((stats.summary(plan, Some(workers::totals().1)), served))
}

/// Gives each connection a greenlet. A connection that fails concerns nobody but its client.
fn accept(listener: &TcpListener, served: &Arc<Served>) {
    for stream in listener.incoming() {
        let served = served.clone();
        match stream {
            Ok(stream) => drop(rustlet::spawn(move || {
                served.one_here();
                serve(stream)
            })),
            Err(error) => eprintln!("tour: accept: {error}"),
        }
    }
}

/// `--serve`: the server alone, until it is interrupted.
fn serve_forever(address: SocketAddr, workers: usize) -> io::Result<()> {
    let wanted = 1_000_000;
    let limit = limits::raise_descriptors(wanted);
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    println!("serving http://{address}/ on {workers} thread(s), until Ctrl-C; try");
    println!("  curl -i http://{address}/hello");
    println!("  wrk -t 1 -c 1000 -d 5 http://{address}/hello");
    println!(
        "It has descriptors for {} connections.",
        limits::spare(limit)
    );
    workers::run(workers, move || {
        accept(&listener, &Arc::new(Served::new()));
        Ok(())
    })
}

/// The whole show: greenlets here, threads in a child process, the table, the line for programs.
fn tour(args: &Args) -> io::Result<bool> {
    let plan = Arc::new(limits::scaled_down(args.plan.clone()));
    println!(
        "An HTTP/1.1 server and {} clients that keep their connections open, in this process, on {}.",
        table::count(plan.clients),
        match args.workers {
            1 => "this one thread".to_owned(),
            n => format!("{n} worker threads"),
        }
    );
    println!(
        "Each end of each connection is a greenlet that runs plain blocking code. {} requests a client, a pause of {} ms or so after each.",
        plan.requests,
        plan.pause.as_millis()
    );
    let for_workers = plan.clone();
    let (greenlets, served) = workers::run(args.workers, move || greenlets(&for_workers))?;
    let threads = match args.threads {
        true => threads::run_in_child(&plan),
        false => None,
    };
    table::print(&greenlets, threads.as_ref());
    if args.workers > 1 {
        println!("{}", served.line());
    }
    println!("{}", greenlets.line("tour"));
    Ok(greenlets.errors == 0)
}

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(args) => args,
        Err(error) => {
            eprintln!("tour: {error} (--help lists what there is)");
            return ExitCode::from(2);
        }
    };
    let result = match args.mode {
        Mode::Help => {
            print!("{}", args::HELP);
            Ok(true)
        }
        Mode::Serve(address) => serve_forever(address, args.workers).map(|()| true),
        Mode::ThreadsChild => threads::child(&args.plan).map(|()| true),
        Mode::Tour => tour(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tour: {error}");
            ExitCode::FAILURE
        }
    }
}
