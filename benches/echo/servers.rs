//! An echo server in the natural style of rustlet, tokio, may and std.
//!
//! The four are the same program: accept, start something for each connection, which reads into a buffer
//! of its own and writes back what it read, until the end of the stream. None of them is tuned, but for
//! `may`'s number of workers.
#![allow(unsafe_code)] // may's spawn is unsafe; see there.

use std::io::{Read, Write};

use crate::BUFFER;
use crate::child::Announce;

const ANY_PORT: &str = "127.0.0.1:0";

/// The same three lines on all streams that look blocking.
macro_rules! echo {
    ($stream:ident) => {{
        let mut buffer = [0; BUFFER];
        while let Ok(received @ 1..) = $stream.read(&mut buffer) {
            if $stream.write_all(&buffer[..received]).is_err() {
                break;
            }
        }
    }};
}

pub(crate) fn rustlet(announce: Announce) {
    let listener = rustlet::net::TcpListener::bind(ANY_PORT).expect("a port");
    announce(listener.local_addr().expect("a bound socket"));
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        rustlet::spawn(move || echo!(stream));
    }
}

pub(crate) fn tokio(announce: Announce) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(ANY_PORT)
            .await
            .expect("a port");
        announce(listener.local_addr().expect("a bound socket"));
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

pub(crate) fn may(announce: Announce) {
    // One worker, as the others have one thread; and the core is chosen by the parent.
    may::config().set_workers(1).set_worker_pin(false);
    let accept = move || {
        let listener = may::net::TcpListener::bind(ANY_PORT).expect("a port");
        announce(listener.local_addr().expect("a bound socket"));
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            // SAFETY: may asks for coroutines that touch no thread-local across a suspension and stay
            // within their stack (32 KiB): this uses a socket and a buffer of 1 KiB.
            unsafe { may::coroutine::spawn(move || echo!(stream)) };
        }
    };
    // SAFETY: as above, with a listener and no buffer.
    let acceptor = unsafe { may::coroutine::spawn(accept) };
    acceptor.join().expect("it accepts for ever");
}

pub(crate) fn std_threads(announce: Announce) {
    let listener = std::net::TcpListener::bind(ANY_PORT).expect("a port");
    announce(listener.local_addr().expect("a bound socket"));
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        std::thread::spawn(move || echo!(stream));
    }
}
