//! cargo run --example gevent_udp_server [port]
//!
//! gevent's `udp_server.py`: a `DatagramServer` that answers each datagram with its length. With a port (gevent's:
//! 9000), serves until it is interrupted: try `cargo run --example gevent_udp_client 9000 hello`. Without one,
//! talks to itself and ends.
//!
//! | gevent | here |
//! |---|---|
//! | a subclass of `DatagramServer` with `handle(self, data, address)` | a closure; `self.socket` is its first argument |
//! | `self.socket.sendto(data, address)` | `socket.send_to(&data, address)` |

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustlet::net::UdpSocket;
use rustlet::server::DatagramServer;

/// Runs for each datagram in a greenlet of its own. An error that it returns is logged.
fn handle(socket: &UdpSocket, data: Vec<u8>, address: SocketAddr) -> io::Result<()> {
    println!("{}: got {:?}", address.ip(), String::from_utf8_lossy(&data));
    let answer = format!("Received {} bytes", data.len());
    socket.send_to(answer.as_bytes(), address)?;
    Ok(())
}

fn main() -> io::Result<()> {
    if let Some(port) = std::env::args().nth(1) {
        let port: u16 = port.parse().map_err(io::Error::other)?;
        let server = DatagramServer::bind(("127.0.0.1", port))?;
        println!("Receiving datagrams on {}", server.local_addr());
        return server.serve_forever(handle);
    }
    let server = DatagramServer::bind("127.0.0.1:0")?;
    server.start(handle)?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(server.local_addr())?;
    client.set_read_timeout(Some(Duration::from_secs(30)))?;
    for message in ["Hello", "", "another one"] {
        client.send(message.as_bytes())?;
        let mut answer = [0; 64];
        let length = client.recv(&mut answer)?;
        println!(
            "client got {:?}",
            String::from_utf8_lossy(&answer[..length])
        );
    }
    server.stop(Duration::from_secs(1));
    Ok(())
}

// Prints:
//
// 127.0.0.1: got "Hello"
// client got "Received 5 bytes"
// 127.0.0.1: got ""
// client got "Received 0 bytes"
// 127.0.0.1: got "another one"
// client got "Received 11 bytes"
