//! The same server in the natural style of rustlet, tokio and may.
//!
//! All run [`Exchange`]: read what there is, answer all of it, write the answers at once. rustlet's with timeouts is the loop of
//! `examples/hello_http`, tokio's has the same limit for each wait; the others are the same lines without. None of them is tuned,
//! but for the number of threads.
#![allow(unsafe_code)] // may's spawn is unsafe; see there.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http::connection::Service;
use crate::http::exchange::{Exchange, Step, Wait};
use crate::http::limits::Limits;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::roster::Roster;
use crate::http::server;
use crate::load::child::Announce;

const ANY_PORT: &str = "127.0.0.1:0";

struct Hello;

impl Service for Hello {
    type Payload = Infallible;

    fn answer(&mut self, request: &Request<'_>, reply: Reply<'_>) -> Option<Infallible> {
        hello(request, reply)
    }

    fn send(
        &mut self,
        _: &rustlet::net::TcpStream,
        _: &[u8],
        payload: Infallible,
    ) -> io::Result<()> {
        match payload {}
    }
}

fn hello(request: &Request<'_>, reply: Reply<'_>) -> Option<Infallible> {
    let (path, _) = request.head.path_and_query();
    match path {
        "/" => reply.begin(reply::OK).body(reply::TEXT, b"Hello, World!\n"),
        _ => reply.begin(reply::NOT_FOUND).body(reply::TEXT, b""),
    }
    None
}

/// Answers what has come; whether to read on.
fn advance(exchange: &mut Exchange, limits: &Limits) -> Step<Infallible> {
    exchange.advance(limits, || false, hello)
}

/// The loop without timeouts, on all streams that look blocking.
fn serve(mut stream: impl Read + Write, limits: &Limits) -> io::Result<()> {
    let mut exchange = Exchange::new();
    loop {
        let step = advance(&mut exchange, limits);
        if !exchange.output().is_empty() {
            stream.write_all(exchange.output())?;
            exchange.written();
        }
        match step {
            Step::Again => {}
            Step::Read(_) => match stream.read(exchange.room())? {
                0 => return Ok(()),
                received => exchange.received(received),
            },
            Step::Send(_) | Step::Close { .. } => return Ok(()),
        }
    }
}

fn rustlet(announce: Announce) -> io::Result<()> {
    let listener = rustlet::net::TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?);
    let limits = Arc::<Limits>::default();
    for stream in listener.incoming() {
        let (stream, limits) = (stream?, limits.clone());
        rustlet::spawn(move || {
            stream.set_nodelay(true)?;
            serve(stream, &limits)
        });
    }
    Ok(())
}

pub(crate) fn rustlet_one(announce: Announce) {
    rustlet(announce).expect("it serves for ever");
}

pub(crate) fn rustlet_two(announce: Announce) {
    let served = server::on_workers(2, move || rustlet(announce));
    served.expect("two threads").expect("it serves for ever");
}

fn rustlet_timed(announce: Announce) -> io::Result<()> {
    let listener = rustlet::net::TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?);
    let (roster, limits) = (Arc::<Roster>::default(), Arc::<Limits>::default());
    server::run(&listener, &roster, &limits, || Hello)
}

pub(crate) fn rustlet_one_timed(announce: Announce) {
    rustlet_timed(announce).expect("it serves for ever");
}

pub(crate) fn rustlet_two_timed(announce: Announce) {
    let served = server::on_workers(2, move || rustlet_timed(announce));
    served.expect("two threads").expect("it serves for ever");
}

async fn tokio_serve(announce: Announce, timed: bool) {
    let listener = tokio::net::TcpListener::bind(ANY_PORT)
        .await
        .expect("a port");
    announce(listener.local_addr().expect("a bound socket"));
    let limits = Arc::<Limits>::default();
    loop {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let limits = limits.clone();
        tokio::spawn(async move {
            stream.set_nodelay(true)?;
            let mut exchange = Exchange::new();
            loop {
                let step = advance(&mut exchange, &limits);
                if !exchange.output().is_empty() {
                    let writing = stream.write_all(exchange.output());
                    within(timed.then_some(limits.write_time), writing).await?;
                    exchange.written();
                }
                let wait = match step {
                    Step::Again => continue,
                    Step::Read(wait) => wait,
                    Step::Send(_) | Step::Close { .. } => break,
                };
                let limit = match wait {
                    Wait::Idle => limits.idle,
                    Wait::Head => limits.head_time,
                    Wait::Body => limits.body_time,
                };
                let reading = stream.read(exchange.room());
                match within(timed.then_some(limit), reading).await? {
                    0 => break,
                    received => exchange.received(received),
                }
            }
            io::Result::Ok(())
        });
    }
}

/// Waits, with a limit as tokio's users set one, or without.
async fn within<T>(
    limit: Option<Duration>,
    wait: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, wait).await?,
        None => wait.await,
    }
}

fn on_one_thread(server: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().expect("a runtime");
    runtime.block_on(server);
}

fn on_two_workers(server: impl Future<Output = ()> + Send + 'static) {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let builder = builder.worker_threads(2).enable_all();
    let runtime = builder.build().expect("a runtime");
    // On a worker, as a server's main loop that is told to be fast.
    let server = runtime.spawn(server);
    runtime.block_on(server).expect("it serves for ever");
}

pub(crate) fn tokio_one(announce: Announce) {
    on_one_thread(tokio_serve(announce, false));
}

pub(crate) fn tokio_two(announce: Announce) {
    on_two_workers(tokio_serve(announce, false));
}

pub(crate) fn tokio_one_timed(announce: Announce) {
    on_one_thread(tokio_serve(announce, true));
}

pub(crate) fn tokio_two_timed(announce: Announce) {
    on_two_workers(tokio_serve(announce, true));
}

pub(crate) fn may_two(announce: Announce) {
    // Without a guard that says so, the default of 32 KiB is not much for fields of 3 KiB and a parser. In words.
    may::config().set_stack_size(8 * 1024);
    may::config().set_workers(2).set_worker_pin(false);
    let accept = move || {
        let listener = may::net::TcpListener::bind(ANY_PORT).expect("a port");
        announce(listener.local_addr().expect("a bound socket"));
        let limits = Arc::<Limits>::default();
        for stream in listener.incoming() {
            let stream = stream.expect("a connection");
            let limits = limits.clone();
            // SAFETY: may asks for coroutines that touch no thread-local across a suspension and stay within their
            // stack: the only thread-local, the date's, is read in a function that does not suspend and is not inlined.
            unsafe {
                may::coroutine::spawn(move || {
                    stream.set_nodelay(true)?;
                    serve(stream, &limits)
                })
            };
        }
    };
    // SAFETY: as above, with a listener.
    let acceptor = unsafe { may::coroutine::spawn(accept) };
    acceptor.join().expect("it accepts for ever");
}
