//! cargo run --example gevent_portforwarder [source-address destination-address]
//!
//! gevent's `portforwarder.py`: forwards connections, two greenlets for each, and exits gracefully. Told to stop, it closes
//! the listening socket and waits for the connections that there are, which are not disturbed; told again, it aborts.
//! With two addresses (`127.0.0.1:8080 example.org:80`), forwards between them. Without, it forwards to an echo
//! server of its own, and is told to stop while a client is still talking. What tells it is `SIGTERM` or Ctrl-C.
//!
//! | gevent | here |
//! |---|---|
//! | `gevent.signal_handler(SIGTERM, server.close)` | a greenlet that waits for the signal and calls `server.close()` |
//! | `class PortForwarder(StreamServer)` | a closure that knows the destination |
//! | closes both sockets at the end of either stream | passes the end of a stream on (`shutdown`), so that answers still come back |
//! | `gevent.wait()` | `serve_forever` returns when the server is closed and its last connection has ended |

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use rustlet::net::TcpStream;
use rustlet::server::StreamServer;
use rustlet::signal::{SignalKind, signal};

/// A connection: one direction in this greenlet, the other in one of its own.
fn forward_both(source: TcpStream, peer: SocketAddr, destination: &str) -> io::Result<()> {
    eprintln!("{peer} accepted");
    let destination = TcpStream::connect(destination)?;
    let (source2, destination2) = (source.try_clone()?, destination.try_clone()?);
    let back = rustlet::spawn(move || forward(&destination2, &source2));
    let there = forward(&source, &destination);
    back.join().map_err(io::Error::other)?.and(there)
}

fn forward(mut source: &TcpStream, mut destination: &TcpStream) -> io::Result<()> {
    let route = format!("{}->{}", source.peer_addr()?, destination.peer_addr()?);
    let mut buffer = [0; 1024];
    loop {
        let length = source.read(&mut buffer)?;
        if length == 0 {
            eprintln!("{route}: end");
            // Its peer may have gone; then there is nobody to tell.
            let _ = destination.shutdown(Shutdown::Write);
            return Ok(());
        }
        eprintln!("{route}: {}", buffer[..length].escape_ascii());
        destination.write_all(&buffer[..length])?;
    }
}

/// The first SIGTERM or Ctrl-C closes the listener; the next one aborts.
fn close_on_signals(server: &StreamServer) -> io::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let signals = signal(kind)?; // from here on, none of them ends the process by itself
        let server = server.clone();
        rustlet::spawn(move || -> io::Result<()> {
            loop {
                for _ in 0..signals.recv()? {
                    if server.is_closed() {
                        eprintln!("Multiple exit signals received - aborting.");
                        std::process::exit(1);
                    }
                    eprintln!("Closing listener socket");
                    server.close();
                }
            }
        });
    }
    Ok(())
}

fn run(source: &str, destination: String) -> io::Result<()> {
    let server = StreamServer::bind(source)?;
    close_on_signals(&server)?;
    eprintln!(
        "Starting port forwarder {} -> {destination}",
        server.local_addr()
    );
    server.serve_forever(move |stream, peer| forward_both(stream, peer, &destination))
}

/// All in one process: an echo server, the forwarder before it, and a client.
fn demonstrate() -> io::Result<()> {
    let echo = StreamServer::bind("127.0.0.1:0")?;
    echo.start(|stream: TcpStream, _| io::copy(&mut &stream, &mut &stream))?;
    let destination = echo.local_addr().to_string();

    let forwarder = StreamServer::bind("127.0.0.1:0")?;
    close_on_signals(&forwarder)?;
    let itself = forwarder.clone();
    let client = rustlet::spawn(move || -> io::Result<()> {
        let mut stream = TcpStream::connect(itself.local_addr())?;
        let mut say = |text: &str| {
            stream.write_all(text.as_bytes())?;
            let mut answer = vec![0; text.len()];
            stream.read_exact(&mut answer)?;
            println!("client got {:?}", String::from_utf8_lossy(&answer));
            io::Result::Ok(())
        };
        say("hello through the forwarder")?;
        // As `kill` would.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)?;
        while !itself.is_closed() {
            rustlet::sleep(Duration::from_millis(1));
        }
        let refused = TcpStream::connect(itself.local_addr()).map(drop);
        println!(
            "another client: {}",
            refused.expect_err("it is closed").kind()
        );
        say("I am still connected")
    });
    forwarder.serve_forever(move |stream, peer| forward_both(stream, peer, &destination))?;
    println!("the forwarder has ended");
    client.join().map_err(io::Error::other)??;
    echo.stop(Duration::from_secs(1));
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [] => demonstrate(),
        [source, destination] => run(source, destination.clone()),
        _ => {
            eprintln!("Usage: gevent_portforwarder source-address destination-address");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

// Prints, beside the log on standard error:
//
// client got "hello through the forwarder"
// another client: connection refused
// client got "I am still connected"
// the forwarder has ended
