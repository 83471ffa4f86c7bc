//! A server of hyper's on rustlet's sockets: one greenlet a connection, HTTP/1 or HTTP/2 as the client begins, and
//! handlers that block.
//!
//! ```text
//!   accept ──► a greenlet: which protocol? ──► HTTP/1: requests one after the other, right there
//!                                          └─► HTTP/2: hyper spawns a greenlet for each stream
//! ```
//! A handler is plain code that sleeps, reads files and asks other servers; it blocks its greenlet and nobody else.
//! It is given the whole body, which is awaited before: on HTTP/1 the connection that would bring the rest is polled by the same
//! greenlet.

use std::io;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::{Executor, HyperTimer, block_on};

use super::fetch;

/// How an HTTP/2 connection begins, of one whose client knows that it will be one.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(30);

/// Accepts connections for ever.
///
/// # Errors
/// Of accepting; those of one connection are its own and are printed.
pub(crate) fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let stream = stream?;
        rustlet::spawn(move || {
            if let Err(error) = connection(stream) {
                eprintln!("a connection failed: {error}");
            }
        });
    }
    Ok(())
}

/// Serves one connection to its end.
fn connection(stream: TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    stream.set_nodelay(true)?;
    let service = service_fn(answer);
    if begins_as_http2(&stream)? {
        let mut builder = http2::Builder::new(Executor);
        builder.timer(HyperTimer).keep_alive_interval(PATIENCE);
        block_on(builder.serve_connection(stream, service))?;
    } else {
        let mut builder = http1::Builder::new();
        builder.timer(HyperTimer).header_read_timeout(PATIENCE);
        builder.pipeline_flush(true);
        block_on(builder.serve_connection(stream, service))?;
    }
    Ok(())
}

/// Looks at what the client sends first, and leaves it in the socket.
fn begins_as_http2(stream: &TcpStream) -> io::Result<bool> {
    let limit = Instant::now() + PATIENCE;
    let mut start = [0; PREFACE.len()];
    loop {
        let seen = stream.peek(&mut start)?;
        if seen == 0 || start[..seen] != PREFACE[..seen] || Instant::now() > limit {
            return Ok(false);
        }
        if seen == PREFACE.len() {
            return Ok(true);
        }
        // A preface in several packets. A look again would find the same bytes at once.
        rustlet::sleep(Duration::from_millis(1));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    // Plain code from here on.
    let (status, body) = match handle(&head.method, head.uri.path(), head.uri.query(), body) {
        Ok(answer) => answer,
        Err(error) => (
            StatusCode::BAD_GATEWAY,
            Bytes::from(format!("{error}\n").into_bytes()),
        ),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

/// Answers a request, in the way of code that blocks.
fn handle(
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: Bytes,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let argument = query.unwrap_or_default();
    Ok(match (path, method) {
        ("/", &Method::GET) => (StatusCode::OK, Bytes::from_static(b"Hello, World!\n")),
        ("/echo", &Method::POST) => (StatusCode::OK, body),
        ("/sleep", &Method::GET) => {
            let millis = argument.parse().unwrap_or(100);
            rustlet::sleep(Duration::from_millis(millis));
            (StatusCode::OK, format!("slept for {millis} ms\n").into())
        }
        ("/file", &Method::GET) => {
            let text = rustlet::fs::read("/proc/version")?;
            (StatusCode::OK, text.into())
        }
        // Asks another server, or this one: /ask?http://127.0.0.1:8080/sleep?20
        ("/ask", &Method::GET) => fetch::get(&argument.parse()?, fetch::Version::Http1)?,
        _ => (
            StatusCode::NOT_FOUND,
            Bytes::from_static(b"404 Not Found\n"),
        ),
    })
}
