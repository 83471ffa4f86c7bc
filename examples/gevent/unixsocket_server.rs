//! cargo run --example gevent_unixsocket_server [path]
//!
//! gevent's `unixsocket_server.py`: an HTTP server on a Unix socket. With a path, serves there until it is interrupted:
//! try `curl --unix-socket PATH http://localhost/`, or `cargo run --example gevent_unixsocket_client PATH`. Without
//! one, talks to itself in a temporary directory and ends.
//!
//! | gevent | here |
//! |---|---|
//! | `listener.bind(sockname)`, after removing what is there | `UnixListener::bind(path)`, after removing what is there |
//! | `WSGIServer(listener, application)` | a `StreamServer` for the listener, whose handler is `web::serve` of `web.rs` beside this file |

#[path = "web.rs"]
mod web;

use std::io;
use std::path::Path;
use std::time::Duration;

use rustlet::net::{UnixListener, UnixStream};
use rustlet::server::StreamServer;
use web::Message;

fn application(request: &Message) -> Message {
    match request.path.as_str() {
        "/" => Message::html(200, "<h1>Hello, unix world</h1>"),
        _ => Message::html(404, "<h1>Not Found</h1>"),
    }
}

fn listen(path: &Path) -> io::Result<StreamServer<UnixListener>> {
    // A server that was interrupted has left its file behind.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    StreamServer::new(UnixListener::bind(path)?)
}

fn main() -> io::Result<()> {
    if let Some(path) = std::env::args_os().nth(1) {
        let server = listen(path.as_ref())?;
        println!("Serving on {}", Path::new(&path).display());
        return server.serve_forever(|stream, _| web::serve(stream, application));
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("socket");
    let server = listen(&path)?;
    server.start(|stream, _| web::serve(stream, application))?;
    for target in ["/", "/nothing"] {
        let stream = UnixStream::connect(&path)?;
        let response = web::ask(stream, "localhost", "GET", target, "")?;
        println!("{target}: {} {}", response.status, response.text());
    }
    server.stop(Duration::from_secs(1));
    Ok(())
}

// Prints:
//
// /: 200 <h1>Hello, unix world</h1>
// /nothing: 404 <h1>Not Found</h1>
