//! `max_connections`: a full server stops accepting, and goes on when a handler has ended, however it ended.

mod support;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustlet::net::TcpStream;
use rustlet::server::StreamServer;
use rustlet::{Pool, sleep, yield_now};

const WHILE: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

fn server(most: usize) -> StreamServer {
    StreamServer::builder()
        .bind("127.0.0.1:0")
        .unwrap()
        .max_connections(most)
        .on_error(|_| {})
        .build()
        .unwrap()
}

/// Greets, and then does what the client's byte says.
fn handler(mut stream: TcpStream, _: std::net::SocketAddr) -> io::Result<()> {
    stream.write_all(b"!")?;
    let mut command = [0];
    stream.read_exact(&mut command)?;
    match command[0] {
        b'p' => std::panic::resume_unwind(Box::new("of this test")),
        b'e' => Err(io::Error::other("of this test")),
        b'k' => {
            rustlet::current().kill();
            unreachable!("it unwinds at once")
        }
        _ => Ok(()),
    }
}

fn connect(server: &StreamServer) -> TcpStream {
    TcpStream::connect(server.local_addr()).unwrap()
}

fn assert_greeted(mut client: &TcpStream) {
    client.set_read_timeout(Some(LONG)).unwrap();
    client.read_exact(&mut [0]).unwrap();
}

fn assert_not_greeted(mut client: &TcpStream) {
    client.set_read_timeout(Some(WHILE)).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn accepting_pauses_when_full_and_goes_on() {
    let _watchdog = support::watchdog();
    let server = server(2);
    server.start(handler).unwrap();
    let [mut short, long] = [(); 2].map(|()| connect(&server));
    assert_greeted(&short);
    assert!(!server.is_full() || server.connections() == 2);
    assert_greeted(&long);
    assert!(server.is_full());
    let more = [(); 3].map(|()| connect(&server));
    for client in &more {
        assert_not_greeted(client);
    }
    assert_eq!(server.connections(), 2, "they are in the backlog");

    short.write_all(b"x").unwrap();
    assert_greeted(&more[0]);
    assert_not_greeted(&more[1]);
    assert_eq!(server.connections(), 2);
    drop((short, long, more));
    assert_eq!(server.stop(LONG).killed, 0);
}

#[test]
fn whatever_ends_a_handler_makes_room() {
    let _watchdog = support::watchdog();
    let server = server(1);
    server.start(handler).unwrap();
    for command in [b"p", b"e", b"k", b"x", b"p"] {
        let mut client = connect(&server);
        assert_greeted(&client);
        client.write_all(command).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    drop(connect(&server)); // gone before it is accepted, or read from
    assert_greeted(&connect(&server));
    server.stop(LONG);
}

/// An acceptor that waits for clients holds no slot.
#[test]
fn listeners_share_the_slots() {
    let _watchdog = support::watchdog();
    let server = StreamServer::builder()
        .bind("127.0.0.1:0")
        .and_then(|builder| builder.bind("127.0.0.1:0"))
        .unwrap()
        .max_connections(1)
        .build()
        .unwrap();
    server.start(handler).unwrap();
    let addrs = server.local_addrs().to_vec();
    for addr in [addrs[0], addrs[1], addrs[1], addrs[0]] {
        let mut client = TcpStream::connect(addr).unwrap();
        assert_greeted(&client);
        client.write_all(b"x").unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
    assert!(!server.is_full());
    server.stop(LONG);
}

#[test]
fn it_can_pause_and_go_on_while_full() {
    let _watchdog = support::watchdog();
    let server = server(1);
    server.start(handler).unwrap();
    let mut first = connect(&server);
    assert_greeted(&first);
    let second = connect(&server);
    sleep(WHILE); // the acceptor waits for a slot
    server.stop_accepting();
    first.write_all(b"x").unwrap();
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
    while server.is_full() {
        yield_now(); // a slot comes free a little after its greenlet has ended
    }
    assert_not_greeted(&second);
    assert!(!server.is_full(), "the acceptor took no slot with it");
    server.start_accepting();
    assert_greeted(&second);
    yield_now();
    drop(second);
    server.stop(LONG);
}

/// Two servers, and whatever else runs in the pool.
#[test]
fn a_pool_may_be_shared() {
    let _watchdog = support::watchdog();
    let pool = Arc::new(Pool::new(3));
    let [one, two] = [(); 2].map(|()| {
        let builder = StreamServer::builder().bind("127.0.0.1:0").unwrap();
        let server = builder.pool(pool.clone()).build().unwrap();
        server.start(handler).unwrap();
        server
    });
    let other = pool.spawn(|| sleep(Duration::from_secs(3600)));
    let of_one = connect(&one);
    assert_greeted(&of_one);
    assert!(!two.is_full());
    let of_two = connect(&two);
    assert_greeted(&of_two);
    assert_eq!(pool.len(), 3);
    assert!(one.is_full() && two.is_full());
    let [later_one, later_two] = [&one, &two].map(connect);
    assert_not_greeted(&later_one);
    assert_not_greeted(&later_two);

    // One slot comes free; one of the two gets it.
    other.kill().unwrap();
    while one.connections() + two.connections() < 3 {
        yield_now();
    }
    sleep(WHILE);
    assert_eq!(one.connections() + two.connections(), 3);
    assert!(pool.is_full());

    // A server's end is not the pool's.
    let extra = two.connections();
    assert_eq!(one.stop(Duration::ZERO).killed, 3 - extra);
    assert_greeted(&later_two);
    assert_eq!(two.connections(), 2);
    while pool.len() > 2 {
        yield_now(); // a slot comes free a little after its greenlet has ended
    }
    drop((of_two, later_two));
    assert_eq!(two.stop(LONG).killed, 0);
    pool.join();
}

#[test]
fn a_full_pool_makes_a_server_pause_and_its_kill_ends_handlers() {
    let _watchdog = support::watchdog();
    let pool = Arc::new(Pool::new(1));
    let builder = StreamServer::builder().bind("127.0.0.1:0").unwrap();
    let server = builder.pool(pool.clone()).build().unwrap();
    server.start(handler).unwrap();
    for command in [b"x", b"p", b"k"] {
        let mut client = connect(&server);
        assert_greeted(&client);
        let next = connect(&server);
        assert_not_greeted(&next);
        client.write_all(command).unwrap();
        assert_greeted(&next);
        (&next).write_all(b"x").unwrap();
    }
    let client = connect(&server);
    assert_greeted(&client);
    pool.kill();
    assert_eq!(server.connections(), 0);
    assert!(server.is_started());
    server.stop(LONG);
}
