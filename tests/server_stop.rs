//! `stop(timeout)`: first the listener, then waiting, then killing; whoever calls it, and however often.

mod support;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustlet::net::TcpStream;
use rustlet::server::StreamServer;
use rustlet::{sleep, spawn, yield_now};

const WHILE: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

fn listening() -> StreamServer {
    StreamServer::bind("127.0.0.1:0").unwrap()
}

/// A client whose handler runs: it has been greeted.
fn greeted(server: &StreamServer) -> TcpStream {
    let mut stream = TcpStream::connect(server.local_addr()).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    stream
}

/// Waits for the peer to close; an error is an end, too.
fn assert_ended(mut stream: TcpStream) {
    stream.set_read_timeout(Some(LONG)).unwrap();
    match stream.read(&mut [0; 16]) {
        Ok(bytes) => assert_eq!(bytes, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

#[test]
fn clients_are_refused_at_once_and_running_handlers_finish() {
    let _watchdog = support::watchdog();
    let server = listening();
    server
        .start(|mut stream: TcpStream, _| -> io::Result<()> {
            stream.write_all(b"!")?;
            let mut work = [0];
            stream.read_exact(&mut work)?;
            stream.write_all(&work)
        })
        .unwrap();
    let mut client = greeted(&server);
    let itself = server.clone();
    let stopper = spawn(move || itself.stop(LONG));
    yield_now();
    let error = TcpStream::connect(server.local_addr()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    assert!(!stopper.is_finished(), "it waits");
    client.write_all(b"7").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "7");
    let stopped = stopper.join().unwrap();
    assert_eq!((stopped.killed, stopped.left), (0, 0));
}

#[test]
fn late_handlers_are_killed_and_their_sockets_closed() {
    let _watchdog = support::watchdog();
    let server = listening();
    let unwound = support::Counter::default();
    let counter = unwound.clone();
    server
        .start(move |mut stream: TcpStream, _| {
            let _on_drop = counter.on_drop();
            stream.write_all(b"!").unwrap();
            sleep(HOUR);
        })
        .unwrap();
    let clients = [(); 3].map(|()| greeted(&server));
    let start = Instant::now();
    let stopped = server.stop(WHILE);
    assert!(start.elapsed() >= WHILE, "they had their time");
    assert_eq!((stopped.killed, stopped.left), (3, 0));
    assert_eq!(unwound.get(), 3);
    assert_eq!(server.connections(), 0);
    clients.into_iter().for_each(assert_ended);
    assert_eq!(server.stop(LONG).killed, 0, "once more");
}

/// They were accepted, and their greenlets have not run: they never do.
#[test]
fn connections_that_have_not_begun_are_closed() {
    let _watchdog = support::watchdog();
    let server = listening();
    let begun = support::Counter::default();
    let counter = begun.clone();
    server
        .start(move |_, _| {
            counter.add();
        })
        .unwrap();
    let connect = || std::net::TcpStream::connect(server.local_addr()).unwrap();
    let clients = [(); 3].map(|()| connect());
    while server.connections() == 0 {
        yield_now();
    }
    let stopped = server.stop(Duration::ZERO);
    assert_eq!(stopped.killed, 3);
    assert_eq!(begun.get(), 0);
    assert_eq!(server.connections(), 0);
    clients
        .into_iter()
        .for_each(|client| assert_ended(client.into()));
}

#[test]
fn a_handler_may_stop_its_server_and_goes_on() {
    let _watchdog = support::watchdog();
    let server = listening();
    let (itself, finished) = (server.clone(), support::Counter::default());
    let counter = finished.clone();
    let client = spawn({
        let server = server.clone();
        move || {
            let other = greeted(&server);
            let mut client = greeted(&server);
            client.write_all(b"quit").unwrap();
            let mut rest = String::new();
            client.read_to_string(&mut rest).unwrap();
            assert_ended(other);
            rest
        }
    });
    let handler = move |mut stream: TcpStream, _: SocketAddr| {
        stream.write_all(b"!").unwrap();
        let mut command = [0; 4];
        stream.read_exact(&mut command).unwrap();
        let stopped = itself.stop(WHILE);
        yield_now();
        sleep(WHILE);
        write!(stream, "killed {}", stopped.killed).unwrap();
        counter.add();
    };
    server.serve_forever(handler).unwrap();
    assert_eq!(finished.get(), 1, "serve_forever waited for the handler");
    assert_eq!(client.join().unwrap(), "killed 1");
}

/// Each would wait for the other.
#[test]
fn two_handlers_may_stop_it_at_once() {
    let _watchdog = support::watchdog();
    let server = listening();
    let (itself, finished) = (server.clone(), support::Counter::default());
    let counter = finished.clone();
    server
        .start(move |mut stream: TcpStream, _| {
            stream.write_all(b"!").unwrap();
            let _ = stream.read(&mut [0]);
            let stopped = itself.stop(HOUR);
            assert_eq!(stopped.killed, 0);
            counter.add();
        })
        .unwrap();
    let clients = [(); 2].map(|()| greeted(&server));
    for mut client in &clients {
        client.write_all(b"x").unwrap();
    }
    server.wait().unwrap();
    assert_eq!(finished.get(), 2);
    clients.into_iter().for_each(assert_ended);
}

#[test]
fn a_handler_that_stops_with_patience_is_killed_by_an_outsider_without() {
    let _watchdog = support::watchdog();
    let server = listening();
    let itself = server.clone();
    server
        .start(move |mut stream: TcpStream, _| {
            stream.write_all(b"!").unwrap();
            if stream.read(&mut [0]).unwrap_or(0) > 0 {
                itself.stop(HOUR);
                sleep(HOUR);
            }
        })
        .unwrap();
    let [mut stopping, other] = [(); 2].map(|()| greeted(&server));
    stopping.write_all(b"x").unwrap();
    while !server.is_closed() {
        yield_now();
    }
    assert_eq!(server.stop(WHILE).killed, 2);
    [stopping, other].into_iter().for_each(assert_ended);
}

#[test]
fn several_may_stop_it_at_once() {
    let _watchdog = support::watchdog();
    let server = listening();
    server
        .start(|mut stream: TcpStream, _| {
            stream.write_all(b"!").unwrap();
            sleep(HOUR);
        })
        .unwrap();
    let client = greeted(&server);
    let stoppers = [HOUR, WHILE, HOUR].map(|timeout| {
        let server = server.clone();
        spawn(move || server.stop(timeout).killed)
    });
    let killed = stoppers.map(|stopper| stopper.join().unwrap());
    assert_eq!(killed, [0, 1, 0]);
    assert_ended(client);
}

/// The acceptor waits for a slot, not for the listener.
#[test]
fn it_stops_while_accepting_pauses() {
    let _watchdog = support::watchdog();
    let server = StreamServer::builder()
        .bind("127.0.0.1:0")
        .unwrap()
        .max_connections(1)
        .build()
        .unwrap();
    server
        .start(|mut stream: TcpStream, _| -> io::Result<()> {
            stream.write_all(b"!")?;
            stream.read_exact(&mut [0])
        })
        .unwrap();
    let mut running = greeted(&server);
    let waiting = TcpStream::connect(server.local_addr()).unwrap();
    sleep(WHILE);
    let itself = server.clone();
    let stopper = spawn(move || itself.stop(LONG));
    yield_now();
    assert!(!stopper.is_finished());
    running.write_all(b"x").unwrap();
    assert_eq!(stopper.join().unwrap().killed, 0);
    assert_ended(waiting); // from the backlog; it was never accepted
}

/// It waits no longer than a second for those who do not heed the kill, and nobody waits for them
/// afterwards.
#[test]
fn stubborn_handlers_are_given_up() {
    let _watchdog = support::watchdog();
    let server = listening();
    let give_in = Arc::new(AtomicBool::new(false));
    let flag = give_in.clone();
    server
        .start(move |mut stream: TcpStream, _| {
            stream.write_all(b"!").unwrap();
            while !flag.load(Ordering::Relaxed) {
                let _ = catch_unwind(|| sleep(Duration::from_millis(1)));
            }
        })
        .unwrap();
    let client = greeted(&server);
    let stopped = server.stop(Duration::ZERO);
    assert_eq!((stopped.killed, stopped.left), (1, 1));
    server.wait().unwrap();
    assert_eq!(server.connections(), 1);
    give_in.store(true, Ordering::Relaxed);
    assert_ended(client);
    assert_eq!(server.connections(), 0);
    assert_eq!(server.stop(LONG).killed, 0);
}

/// `stop` in a destructor that runs because of a panic cannot wait, and must not panic.
#[test]
fn it_can_be_stopped_while_unwinding() {
    struct StopOnDrop(StreamServer);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            let stopped = self.0.stop(HOUR);
            assert_eq!((stopped.killed, stopped.left), (1, 1));
        }
    }
    let _watchdog = support::watchdog();
    let server = listening();
    server
        .start(|mut stream: TcpStream, _| {
            stream.write_all(b"!").unwrap();
            sleep(HOUR);
        })
        .unwrap();
    let client = greeted(&server);
    let guard = StopOnDrop(server.clone());
    let result = catch_unwind(AssertUnwindSafe(move || {
        let _guard = guard;
        panic!("of this test");
    }));
    assert!(result.is_err());
    assert!(server.is_closed());
    assert_ended(client);
    server.wait().unwrap();
}

/// A kill or a timeout of the caller leaves the server closed, and its connections running.
#[test]
fn stop_may_be_interrupted() {
    let _watchdog = support::watchdog();
    let server = listening();
    server
        .start(|mut stream: TcpStream, _| {
            stream.write_all(b"!").unwrap();
            sleep(HOUR);
        })
        .unwrap();
    let client = greeted(&server);
    assert!(rustlet::timeout(WHILE, || server.stop(HOUR)).is_err());
    assert!(server.is_closed());
    assert_eq!(server.connections(), 1);
    assert_eq!(server.stop(Duration::ZERO).killed, 1);
    assert_ended(client);
}
