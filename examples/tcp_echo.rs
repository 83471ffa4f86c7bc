//! cargo run --example tcp_echo
//!
//! An echo server, one greenlet a connection, and three clients, all on one thread. Change `rustlet::net`
//! to `std::net` and `rustlet::spawn` to `std::thread::spawn`, and it is the same program on threads.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;

use rustlet::net::{TcpListener, TcpStream};

/// Sends back what comes, until the client has said all it had to say.
fn echo(stream: TcpStream) {
    if let Err(error) = io::copy(&mut &stream, &mut &stream) {
        eprintln!("a connection failed: {error}");
    }
}

fn client(name: &str, server: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect(server)?;
    writeln!(&stream, "{name} was here")?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    Ok(answer)
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    rustlet::spawn(move || {
        for stream in listener.incoming().flatten() {
            rustlet::spawn(move || echo(stream));
        }
    });

    let clients =
        ["Ada", "Edsger", "Grace"].map(|name| rustlet::spawn(move || client(name, server)));
    for client in clients {
        let answer = client.join().expect("clients do not panic")?;
        print!("echo: {answer}");
    }
    Ok(()) // The server ends with the thread.
}

// Prints:
//
// echo: Ada was here
// echo: Edsger was here
// echo: Grace was here
