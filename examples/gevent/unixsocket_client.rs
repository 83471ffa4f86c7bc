//! cargo run --example gevent_unixsocket_client [path]
//!
//! gevent's `unixsocket_client.py`: sends a request to the server of `gevent_unixsocket_server` by hand, and prints
//! the response as it comes. Without a path it starts a server that it can talk to.
//!
//! | gevent | here |
//! |---|---|
//! | `socket.socket(AF_UNIX)`, `s.connect(path)` | `UnixStream::connect(path)` |
//! | `s.send(b'GET / HTTP/1.0\r\n\r\n')`, `s.recv(1024)` | `write_all`, `read_to_string` |

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use rustlet::net::{UnixListener, UnixStream};

fn client(path: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(b"GET / HTTP/1.0\r\nconnection: close\r\n\r\n")?;
    let mut data = String::new();
    stream.read_to_string(&mut data)?;
    println!("received {} bytes", data.len());
    println!("{data}");
    Ok(())
}

/// Answers one request, whatever it asks for.
fn server(listener: &UnixListener) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    for line in BufReader::new(&stream).lines() {
        if line?.is_empty() {
            break;
        }
    }
    (&stream).write_all(b"HTTP/1.0 200 OK\r\n\r\nHello from a greenlet")
}

fn main() -> io::Result<()> {
    if let Some(path) = std::env::args_os().nth(1) {
        return client(path.as_ref());
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path)?;
    let server = rustlet::spawn(move || server(&listener));
    client(&path)?;
    server.join().map_err(io::Error::other)?
}

// Prints:
//
// received 40 bytes
// HTTP/1.0 200 OK
//
// Hello from a greenlet
