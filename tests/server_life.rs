//! A server's life: it listens, is started, pauses and goes on, closes; and who may make it do so.

mod support;

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::server::StreamServer;
use rustlet::{spawn, spawn_local, yield_now};

/// Long enough for anything on loopback that is going to happen.
const WHILE: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

/// Answers each byte with itself.
fn echo(stream: TcpStream, _: SocketAddr) -> io::Result<u64> {
    io::copy(&mut &stream, &mut &stream)
}

fn serving() -> StreamServer {
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    server.start(echo).unwrap();
    server
}

/// A connection that has sent its request.
fn request(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"ping").unwrap();
    stream
}

fn assert_answered(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ping");
}

fn assert_not_answered(mut stream: &TcpStream) {
    stream.set_read_timeout(Some(WHILE)).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

fn assert_refused(addr: SocketAddr) {
    let error = TcpStream::connect(addr).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn it_listens_first_and_accepts_once_started() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = StreamServer::new(listener).unwrap();
    assert_eq!(server.local_addr(), addr);
    assert!(!server.is_started() && !server.is_closed());
    let early = request(addr);
    assert_not_answered(&early);
    assert_eq!(server.connections(), 0);

    server.start(echo).unwrap();
    assert!(server.is_started());
    assert_answered(&early);
    assert_answered(&request(addr));
    server.stop(LONG.min(WHILE));
    assert!(!server.is_started() && server.is_closed());
    assert_refused(addr);
    assert_eq!(server.local_addr(), addr);
}

#[test]
fn it_pauses_and_goes_on() {
    let _watchdog = support::watchdog();
    let server = serving();
    let addr = server.local_addr();
    let before = request(addr);
    assert_answered(&before);

    server.stop_accepting();
    server.stop_accepting();
    let meanwhile = request(addr);
    assert_not_answered(&meanwhile);
    assert_eq!(server.connections(), 1);
    (&before).write_all(b"ping").unwrap();
    assert_answered(&before);
    assert!(server.is_started(), "it is still there");

    server.start_accepting();
    server.start_accepting();
    assert_answered(&meanwhile);
    assert_answered(&request(addr));
    drop((before, meanwhile));
    assert_eq!(server.stop(LONG).killed, 0);
    server.start_accepting();
    assert_refused(addr);
}

#[test]
fn pausing_before_the_start_holds() {
    let _watchdog = support::watchdog();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    server.stop_accepting();
    server.start(echo).unwrap();
    let client = request(server.local_addr());
    assert_not_answered(&client);
    server.start_accepting();
    assert_answered(&client);
    drop(client);
    server.stop(LONG);
}

/// Even if its connection was waiting, and its acceptor about to run.
#[test]
fn nothing_is_accepted_once_stop_accepting_has_returned() {
    let _watchdog = support::watchdog();
    let server = serving();
    rustlet::sleep(WHILE); // the acceptor waits
    let client = std::net::TcpStream::connect(server.local_addr()).unwrap();
    server.stop_accepting();
    rustlet::sleep(WHILE);
    assert_eq!(server.connections(), 0);
    server.start_accepting();
    while server.connections() == 0 {
        yield_now();
    }
    drop(client);
    server.stop(LONG);
}

/// Before anybody else has run.
#[test]
fn clients_are_refused_as_soon_as_close_returns() {
    let _watchdog = support::watchdog();
    let server = serving();
    rustlet::sleep(WHILE); // the acceptor waits
    let mut queued = std::net::TcpStream::connect(server.local_addr()).unwrap();
    server.close();
    let error = std::net::TcpStream::connect(server.local_addr()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    let error = queued.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    server.wait().unwrap();
}

#[test]
fn serve_forever_returns_when_it_was_stopped() {
    let _watchdog = support::watchdog();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let itself = server.clone();
    let serving = spawn(move || itself.serve_forever(echo));
    assert_answered(&request(addr));
    assert!(server.is_started() && !serving.is_finished());
    server.stop(LONG);
    assert!(!server.is_started());
    serving.join().unwrap().unwrap();
    assert_refused(addr);
}

#[test]
fn a_started_server_can_be_waited_for() {
    let _watchdog = support::watchdog();
    let server = serving();
    let client = request(server.local_addr());
    assert_answered(&client);
    let itself = server.clone();
    let waiter = spawn(move || itself.wait());
    yield_now();
    server.close();
    rustlet::sleep(WHILE);
    assert!(!waiter.is_finished(), "a connection is there");
    drop(client);
    waiter.join().unwrap().unwrap();
    assert_eq!(server.connections(), 0);
}

/// gevent's `serve_forever` in a greenlet that is killed.
#[test]
fn an_interrupted_serve_forever_closes() {
    let _watchdog = support::watchdog();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    let itself = server.clone();
    let serving = spawn(move || itself.serve_forever(echo));
    let client = request(addr);
    assert_answered(&client);
    serving.kill().unwrap();
    assert!(serving.join().unwrap_err().is_killed());
    assert!(server.is_closed());
    assert_refused(addr);
    (&client).write_all(b"ping").unwrap();
    assert_answered(&client); // connections go on
    drop(client);

    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let result = rustlet::timeout(WHILE, || server.serve_forever(echo));
    assert!(result.is_err() && server.is_closed());
}

#[test]
fn it_starts_once() {
    let _watchdog = support::watchdog();
    let server = serving();
    let error = server.start(echo).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let error = server.serve_forever(echo).unwrap_err();
    assert_eq!(error.to_string(), "the server was started already");
    assert!(server.is_started());
    server.close();
    server.close();
    let error = server.start(echo).unwrap_err();
    assert_eq!(error.to_string(), "the server is closed");
    server.wait().unwrap();

    let never = StreamServer::bind("127.0.0.1:0").unwrap();
    never.close();
    never.wait().unwrap();
    assert_refused(never.local_addr());
    assert_eq!(never.stop(LONG).killed, 0);
    assert!(never.start(echo).is_err());

    assert!(StreamServer::builder().build().is_err());
}

#[test]
fn dropping_the_handle_stops_only_what_was_not_started() {
    let _watchdog = support::watchdog();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let addr = server.local_addr();
    drop(server);
    assert_refused(addr);

    let server = serving();
    let addr = server.local_addr();
    drop(server);
    assert_answered(&request(addr));
}

/// The handler owns what it captured until the last of the server's greenlets has ended.
#[test]
fn the_handler_is_dropped_with_the_server() {
    let _watchdog = support::watchdog();
    let dropped = support::Counter::default();
    let captured = dropped.on_drop();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let itself = server.clone();
    let handler = move |_: TcpStream, _: SocketAddr| {
        let _both = (&captured, &itself);
    };
    server.start(handler).unwrap();
    drop(TcpStream::connect(server.local_addr()).unwrap());
    assert_eq!(dropped.get(), 0);
    server.stop(LONG);
    assert_eq!(dropped.get(), 1);
}

#[test]
fn the_listeners_are_closed_when_stop_returns() {
    let _watchdog = support::watchdog();
    if !support::is_child() {
        return support::child("the_listeners_are_closed_when_stop_returns")
            .run()
            .assert_passed();
    }
    let first = serving();
    assert_answered(&request(first.local_addr()));
    first.stop(LONG); // what a hub needs is open
    let before = support::open_fds();
    let server = StreamServer::builder()
        .bind("127.0.0.1:0")
        .and_then(|builder| builder.bind("127.0.0.1:0"))
        .unwrap()
        .build()
        .unwrap();
    assert_eq!(server.local_addrs().len(), 2);
    server.start(echo).unwrap();
    for &addr in server.local_addrs() {
        assert_answered(&request(addr));
    }
    server.stop(LONG);
    assert_eq!(support::open_fds(), before);
    StreamServer::bind(server.local_addr()).expect("the port is free again");
}

/// Neither the handler nor what it captures need be `Send`.
#[test]
fn handlers_stay_on_their_thread() {
    let _watchdog = support::watchdog();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let counter = count.clone();
    server
        .start(move |_, _| counter.set(counter.get() + 1))
        .unwrap();
    for _ in 0..3 {
        let mut end = TcpStream::connect(server.local_addr()).unwrap();
        assert_eq!(end.read(&mut [0]).unwrap(), 0);
    }
    assert_eq!(count.get(), 3);
    server.stop(LONG);
}

#[test]
fn another_thread_may_steer_it() {
    let _watchdog = support::watchdog();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let remote = server.clone();
    let other = thread::spawn(move || {
        let addr = remote.local_addr();
        let first = request(addr);
        assert_answered(&first);
        remote.stop_accepting();
        // By the second answer the server's thread has heard of it.
        for _ in 0..2 {
            (&first).write_all(b"ping").unwrap();
            assert_answered(&first);
        }
        let second = request(addr);
        assert_not_answered(&second);
        remote.start_accepting();
        assert_answered(&second);
        assert_eq!(remote.connections(), 2);
        drop(first);
        while remote.connections() > 1 {
            thread::yield_now();
        }
        let stopped = remote.stop(WHILE);
        assert_eq!((stopped.killed, stopped.left), (1, 0));
        assert_refused(addr);
    });
    server.serve_forever(echo).unwrap();
    other.join().unwrap();
}

#[test]
fn it_closes_when_its_thread_ends() {
    let _watchdog = support::watchdog();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let there = server.clone();
    let client = thread::spawn(move || {
        there.start(echo).unwrap();
        let client = request(there.local_addr());
        assert_answered(&client);
        std::net::TcpStream::from(client)
    })
    .join()
    .unwrap();
    assert!(server.is_closed());
    assert_eq!(server.connections(), 0);
    server.wait().unwrap();
    assert_refused(server.local_addr());
    assert_eq!((&client).read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn it_is_shown_with_its_addresses() {
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    let text = format!("{server:?}");
    assert!(text.contains(&server.local_addr().to_string()), "{text}");
    assert!(text.contains("started: false"), "{text}");
    // A handle to whatever thread, and in whatever greenlet.
    fn sendable<T: Send + Sync + Clone>(_: &T) {}
    sendable(&server);
    spawn_local(move || drop(server)).join().unwrap();
}
