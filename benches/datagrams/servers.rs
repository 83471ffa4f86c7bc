//! An echo server for each protocol in the natural style of rustlet, tokio and std.

use std::io::{Read, Write};
use std::path::Path;

use crate::BUFFER;
use crate::process::Announce;

const ANY_PORT: &str = "127.0.0.1:0";

/// The same lines on all sockets that look blocking.
macro_rules! echo_datagrams {
    ($socket:expr, $announce:ident) => {{
        let socket = $socket.expect("a port");
        $announce(&socket.local_addr().expect("a bound socket").to_string());
        let mut buffer = [0; BUFFER];
        loop {
            let (received, peer) = socket.recv_from(&mut buffer).expect("a datagram");
            // A client that has gone is no concern of this.
            let _ = socket.send_to(&buffer[..received], peer);
        }
    }};
}

macro_rules! echo_streams {
    ($listener:expr, $place:ident, $announce:ident, $spawn:path) => {{
        let listener = $listener.expect("a socket");
        $announce($place.to_str().expect("text"));
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            $spawn(move || {
                let mut buffer = [0; BUFFER];
                while let Ok(received @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..received]).is_err() {
                        break;
                    }
                }
            });
        }
    }};
}

pub(crate) fn std_udp(_: &Path, announce: Announce) {
    echo_datagrams!(std::net::UdpSocket::bind(ANY_PORT), announce)
}

pub(crate) fn std_unix(place: &Path, announce: Announce) {
    let listener = std::os::unix::net::UnixListener::bind(place);
    echo_streams!(listener, place, announce, std::thread::spawn)
}

pub(crate) fn rustlet_udp(_: &Path, announce: Announce) {
    echo_datagrams!(rustlet::net::UdpSocket::bind(ANY_PORT), announce)
}

pub(crate) fn rustlet_unix(place: &Path, announce: Announce) {
    let listener = rustlet::net::UnixListener::bind(place);
    echo_streams!(listener, place, announce, rustlet::spawn)
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime")
}

pub(crate) fn tokio_udp(_: &Path, announce: Announce) {
    tokio_runtime().block_on(async {
        let socket = tokio::net::UdpSocket::bind(ANY_PORT).await.expect("a port");
        announce(&socket.local_addr().expect("a bound socket").to_string());
        let mut buffer = [0; BUFFER];
        loop {
            let (received, peer) = socket.recv_from(&mut buffer).await.expect("a datagram");
            let _ = socket.send_to(&buffer[..received], peer).await;
        }
    });
}

pub(crate) fn tokio_unix(place: &Path, announce: Announce) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    tokio_runtime().block_on(async {
        let listener = tokio::net::UnixListener::bind(place).expect("a socket");
        announce(place.to_str().expect("text"));
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                let mut buffer = [0; BUFFER];
                while let Ok(received @ 1..) = stream.read(&mut buffer).await {
                    if stream.write_all(&buffer[..received]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
}
