//! The same server in the natural style of rustlet, tokio and may.
//!
//! All run [`Exchange`]: read what there is, answer all of it, write the answers at once. rustlet's is the loop of
//! `examples/hello_http` with its timeouts; the others are the same three lines without. None of them is tuned, but for the
//! number of threads.
#![allow(unsafe_code)] // may's spawn is unsafe; see there.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::child::Announce;
use crate::http::connection::Service;
use crate::http::exchange::{Exchange, Step};
use crate::http::limits::Limits;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;
use crate::http::roster::Roster;
use crate::http::server;

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

fn rustlet(announce: Announce) -> io::Result<()> {
    let listener = rustlet::net::TcpListener::bind(ANY_PORT)?;
    announce(listener.local_addr()?);
    let (roster, limits) = (Arc::<Roster>::default(), Arc::<Limits>::default());
    server::run(&listener, &roster, &limits, || Hello)
}

pub(crate) fn rustlet_one(announce: Announce) {
    rustlet(announce).expect("it serves for ever");
}

pub(crate) fn rustlet_two(announce: Announce) {
    let served = server::on_workers(2, move || rustlet(announce));
    served.expect("two threads").expect("it serves for ever");
}

async fn tokio_serve(announce: Announce) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
                    stream.write_all(exchange.output()).await?;
                    exchange.written();
                }
                match step {
                    Step::Again => {}
                    Step::Read(_) => match stream.read(exchange.room()).await? {
                        0 => break,
                        received => exchange.received(received),
                    },
                    Step::Send(_) | Step::Close { .. } => break,
                }
            }
            io::Result::Ok(())
        });
    }
}

pub(crate) fn tokio_current(announce: Announce) {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime")
        .block_on(tokio_serve(announce));
}

pub(crate) fn tokio_two(announce: Announce) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .build()
        .expect("a runtime");
    // On a worker, as a server's main loop that is told to be fast.
    let server = runtime.spawn(tokio_serve(announce));
    runtime.block_on(server).expect("it serves for ever");
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
                    let _ = may_serve(stream, &limits);
                })
            };
        }
    };
    // SAFETY: as above, with a listener.
    let acceptor = unsafe { may::coroutine::spawn(accept) };
    acceptor.join().expect("it accepts for ever");
}

fn may_serve(mut stream: may::net::TcpStream, limits: &Limits) -> io::Result<()> {
    stream.set_nodelay(true)?;
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
