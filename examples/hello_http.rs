//! cargo run --release --example hello_http -- --addr 127.0.0.1:8080 --workers 2
//!
//! HTTP/1.1 as load generators want it: one greenlet a connection, keep-alive, pipelining (the answers to requests that
//! came together are one write), on as many threads as asked for. Also what the world wants: limits of size and time, and each
//! mistake of a client answered as the standard says ([`http`] has the table).
//!
//! | module | one idea |
//! |---|---|
//! | [`args`] | the command line |
//! | [`http`] | the protocol; `examples/file_server.rs` uses it, too |
//!
//! ```text
//! $ curl http://127.0.0.1:8080/
//! Hello, World!
//! $ wrk -c 100 -t 2 -d 10 http://127.0.0.1:8080/
//! $ h2load --h1 -c 100 -n 1000000 -m 16 http://127.0.0.1:8080/      # 16 requests at a time on each connection
//! ```

#[path = "hello_http/args.rs"]
mod args;
#[path = "hello_http/http/mod.rs"]
mod http;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::Arc;

use args::Args;
use http::connection::Service;
use http::reply::{self, Reply};
use http::request::Request;
use http::roster::Roster;
use http::server;
use rustlet::net::{TcpListener, TcpStream};

/// What the server answers.
struct Hello;

impl Service for Hello {
    type Payload = Infallible;

    fn answer(&mut self, request: &Request<'_>, reply: Reply<'_>) -> Option<Infallible> {
        let (path, _) = request.head.path_and_query();
        match (path, request.head.method) {
            ("/", "GET" | "HEAD") => reply.begin(reply::OK).body(reply::TEXT, b"Hello, World!\n"),
            ("/echo", "POST" | "PUT") => reply.begin(reply::OK).body(reply::TEXT, request.body),
            ("/" | "*", "OPTIONS") => allow(reply.begin(reply::NO_CONTENT), path).empty(),
            ("/" | "/echo", _) => allow(reply.begin(reply::METHOD_NOT_ALLOWED), path)
                .body(reply::TEXT, b"405 Method Not Allowed\n"),
            _ => reply
                .begin(reply::NOT_FOUND)
                .body(reply::TEXT, b"404 Not Found\n"),
        }
        None
    }

    fn send(&mut self, _: &TcpStream, _: &[u8], payload: Infallible) -> io::Result<()> {
        match payload {}
    }
}

fn allow<'o>(fields: reply::Fields<'o>, path: &str) -> reply::Fields<'o> {
    let methods = match path {
        "/echo" => "POST, PUT",
        _ => "GET, HEAD, OPTIONS",
    };
    fields.field("Allow", methods)
}

fn serve(args: Args) -> io::Result<()> {
    let listener = TcpListener::bind(args.addr)?;
    println!("serving http://{}", listener.local_addr()?);
    let (roster, limits) = (Arc::<Roster>::default(), Arc::new(args.limits));
    server::run_until_signal(listener, roster, limits, args.grace, || Hello)
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(args) = args::parse()? else {
        print!("{}", args::HELP);
        return Ok(());
    };
    server::on_workers(args.workers, move || serve(args))??;
    Ok(())
}
