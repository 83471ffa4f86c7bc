//! cargo run --example gevent_wsgiserver [port]
//!
//! gevent's `wsgiserver.py`: hello world over HTTP. With a port (gevent's: 8088), serves until it is interrupted: try
//! `curl -i http://127.0.0.1:8088/`. Without one, asks itself and ends.
//!
//! | gevent | here |
//! |---|---|
//! | `pywsgi.WSGIServer(('', 8088), hello_world)` | a `StreamServer` whose handler is `web::serve`: HTTP/1.1 in a hundred lines, in `web.rs` beside this file. The library has no HTTP server of its own |
//! | `env`, `start_response` | a request comes in, a response goes out |

#[path = "web.rs"]
mod web;

use std::io;
use std::time::Duration;

use rustlet::server::StreamServer;
use web::Message;

fn hello_world(request: &Message) -> Message {
    match request.path.as_str() {
        "/" => Message::html(200, "<b>hello world</b>"),
        _ => Message::html(404, "<h1>Not Found</h1>"),
    }
}

fn main() -> io::Result<()> {
    if let Some(port) = std::env::args().nth(1) {
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let server = StreamServer::bind(("127.0.0.1", port))?;
        println!("Serving on http://{}/", server.local_addr());
        // To start the server in the background, call start(); here there is nothing else to do.
        return server.serve_forever(|stream, _| web::serve(stream, hello_world));
    }
    let server = StreamServer::bind("127.0.0.1:0")?;
    server.start(|stream, _| web::serve(stream, hello_world))?;
    for path in ["/", "/nothing"] {
        let response = web::fetch(&format!("http://{}{path}", server.local_addr()))?;
        println!("{path}: {} {}", response.status, response.text());
    }
    server.stop(Duration::from_secs(1));
    Ok(())
}

// Prints:
//
// /: 200 <b>hello world</b>
// /nothing: 404 <h1>Not Found</h1>
