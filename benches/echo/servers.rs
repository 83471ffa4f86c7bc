//! An echo server in the natural style of rustlet, tokio, may and std.
//!
//! The four are the same program: accept, start something for each connection, which reads into a buffer
//! of its own and writes back what it read, until the end of the stream. None of them is tuned, but for the
//! number of workers. With two of them, rustlet's connections are fresh greenlets, which either may start; with *a listener each*
//! the kernel shares them out.
#![allow(unsafe_code)] // may's spawn is unsafe; see there.

use std::io::{Read, Write};

use crate::BUFFER;
use crate::load::child::Announce;

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

fn rustlet_accept(listener: &rustlet::net::TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        rustlet::spawn(move || echo!(stream));
    }
}

pub(crate) fn rustlet(announce: Announce) {
    let listener = rustlet::net::TcpListener::bind(ANY_PORT).expect("a port");
    announce(listener.local_addr().expect("a bound socket"));
    rustlet_accept(&listener);
}

fn two_workers() -> rustlet::Runtime {
    let runtime = rustlet::Runtime::builder().workers(2).build();
    runtime.expect("two threads")
}

pub(crate) fn rustlet_two(announce: Announce) {
    two_workers().run(move || rustlet(announce));
}

pub(crate) fn rustlet_listeners(announce: Announce) {
    use rustlet::net::TcpListener;

    let runtime = two_workers();
    let first = TcpListener::bind_reuse_port(ANY_PORT).expect("a port");
    let addr = first.local_addr().expect("a bound socket");
    let second = TcpListener::bind_reuse_port(addr).expect("the same port");
    let acceptors = [first, second].into_iter().enumerate();
    // What the listener of a worker accepts stays there: that is what there are two of them for.
    let acceptors = acceptors.map(|(worker, listener)| {
        runtime.handle().spawn_on(worker, move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                rustlet::spawn_local(move || echo!(stream));
            }
        })
    });
    let acceptors = acceptors.collect::<Vec<_>>();
    announce(addr);
    for acceptor in acceptors {
        acceptor.join().expect("it accepts for ever");
    }
}

async fn tokio_serve(announce: Announce) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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
}

pub(crate) fn tokio(announce: Announce) {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime")
        .block_on(tokio_serve(announce));
}

pub(crate) fn tokio_two(announce: Announce) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .build()
        .expect("a runtime");
    // On a worker, as the acceptors of the others.
    let server = runtime.spawn(tokio_serve(announce));
    runtime.block_on(server).expect("it serves for ever");
}

pub(crate) fn may(announce: Announce) {
    may_serve(announce, 1);
}

pub(crate) fn may_two(announce: Announce) {
    may_serve(announce, 2);
}

fn may_serve(announce: Announce, workers: usize) {
    // As many as the others have threads; and the cores are chosen by the parent.
    may::config().set_workers(workers).set_worker_pin(false);
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
