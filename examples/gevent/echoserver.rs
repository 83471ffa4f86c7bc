//! cargo run --example gevent_echoserver [port]
//!
//! gevent's `echoserver.py`: a `StreamServer` that sends each line back; a client that says `quit` ends its
//! connection. With a port (gevent's: 16000), serves until it is interrupted: try `telnet localhost 16000`.
//! Without one, talks to itself and ends.
//!
//! | gevent | here |
//! |---|---|
//! | `StreamServer(('127.0.0.1', 16000), echo)` | `StreamServer::bind(("127.0.0.1", 16000))`, and the handler goes to `serve_forever` |
//! | `socket.makefile(mode='rb')` | `BufReader::new(&stream)`: std's own, over a stream that yields |

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::time::Duration;

use rustlet::net::TcpStream;
use rustlet::server::StreamServer;

/// Runs for each connection in a greenlet of its own. An error that it returns is logged.
fn echo(mut stream: TcpStream, address: SocketAddr) -> io::Result<()> {
    println!("New connection from {address}");
    stream.write_all(b"Welcome to the echo server! Type quit to exit.\r\n")?;
    // `&TcpStream` reads and writes, too, so one half can be buffered and the other not.
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        if line.trim().eq_ignore_ascii_case("quit") {
            println!("client quit");
            return Ok(());
        }
        (&stream).write_all(format!("{line}\r\n").as_bytes())?;
        println!("echoed {line:?}");
    }
    println!("client disconnected");
    Ok(())
}

fn client(server: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(server)?;
    let mut lines = BufReader::new(&stream).lines();
    for say in ["hello", "is there an echo?", "quit"] {
        println!("client got {:?}", lines.next().transpose()?);
        (&stream).write_all(format!("{say}\n").as_bytes())?;
    }
    println!("client got {:?}", lines.next().transpose()?);
    Ok(())
}

fn main() -> io::Result<()> {
    if let Some(port) = std::env::args().nth(1) {
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let server = StreamServer::bind(("127.0.0.1", port))?;
        println!("Starting echo server on {}", server.local_addr());
        return server.serve_forever(echo);
    }
    let server = StreamServer::bind("127.0.0.1:0")?;
    server.start(echo)?;
    client(server.local_addr())?;
    server.stop(Duration::from_secs(1));
    Ok(())
}

// Prints (the port differs):
//
// New connection from 127.0.0.1:41112
// client got Some("Welcome to the echo server! Type quit to exit.")
// echoed "hello"
// client got Some("hello")
// echoed "is there an echo?"
// client got Some("is there an echo?")
// client quit
// client got None
