//! cargo run --example gevent_udp_client [port [message]]
//!
//! gevent's `udp_client.py`: sends a message to the server of `gevent_udp_server`, and prints the answer. Without a
//! port (gevent's: 9000) it starts a server that it can talk to, and shows what happens when there is none: the
//! refusal comes back as an error of the connected socket.
//!
//! | gevent | here |
//! |---|---|
//! | `socket.socket(type=SOCK_DGRAM)`, `sock.connect(address)` | `UdpSocket::bind("127.0.0.1:0")`, `connect`: std's socket is bound when it is made |
//! | `sock.recvfrom(8192)` | `recv_from(&mut buffer)` |

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustlet::net::UdpSocket;

fn client(address: SocketAddr, message: &str) -> io::Result<()> {
    let sock = UdpSocket::bind("127.0.0.1:0")?;
    sock.connect(address)?;
    sock.set_read_timeout(Some(Duration::from_secs(30)))?;
    println!("Sending {} bytes to {}", message.len(), address.ip());
    sock.send(message.as_bytes())?;
    let mut data = [0; 8192];
    let (length, address) = sock.recv_from(&mut data)?;
    let data = String::from_utf8_lossy(&data[..length]);
    println!("{}: got {data:?}", address.ip());
    Ok(())
}

/// Answers one datagram.
fn server(socket: &UdpSocket) -> io::Result<()> {
    let mut data = [0; 8192];
    let (length, peer) = socket.recv_from(&mut data)?;
    let answer = format!("Received {length} bytes");
    socket.send_to(answer.as_bytes(), peer)?;
    Ok(())
}

fn main() -> io::Result<()> {
    let mut args = std::env::args().skip(1);
    if let Some(port) = args.next() {
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let message = args.next().unwrap_or_else(|| "Hello".into());
        return client(([127, 0, 0, 1], port).into(), &message);
    }
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let server = rustlet::spawn(move || server(&socket));
    client(address, "Hello")?;
    server.join().map_err(io::Error::other)??; // and with it its socket has gone
    match client(address, "anybody?") {
        Ok(()) => println!("somebody else has taken the port"),
        Err(error) => println!("nobody there: {}", error.kind()),
    }
    Ok(())
}

// Prints:
//
// Sending 5 bytes to 127.0.0.1
// 127.0.0.1: got "Received 5 bytes"
// Sending 8 bytes to 127.0.0.1
// nobody there: connection refused
