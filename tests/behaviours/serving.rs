//! Sockets, host names and servers.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::server::StreamServer;
use rustlet::{sleep, spawn, spawn_local, yield_now};

use super::{HOUR, SHORT};
use crate::support::{self, Counter};

#[test]
fn b02_blocking_style_everywhere() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Every call below blocks in std; here all of them run on one thread.
    let server = spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().unwrap();
            spawn(move || {
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                sleep(SHORT);
                stream.write_all(text.to_uppercase().as_bytes()).unwrap();
            });
        }
    });
    let clients = [1, 2, 3].map(|number| {
        spawn(move || {
            let mut stream = TcpStream::connect(("localhost", port)).unwrap(); // resolves, too
            write!(stream, "client {number}").unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
    });
    let answers = clients.map(|client| client.join().unwrap());
    assert_eq!(answers, ["CLIENT 1", "CLIENT 2", "CLIENT 3"]);
    server.join().unwrap();
}

/// As gevent; but a second reader is welcome.
#[test]
fn b14_close_wakes_the_readers() {
    let _watchdog = support::watchdog();
    let (ours, _theirs) = support::tcp_pair::<TcpStream>();
    let ours = Rc::new(ours);
    let readers = [(); 2].map(|()| {
        let ours = ours.clone();
        spawn_local(move || (&*ours).read(&mut [0]))
    });
    yield_now();
    ours.close();
    for reader in readers {
        let read = reader.join().unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    }
    assert!((&*ours).read(&mut [0]).is_err());
}

/// gevent leaves handlers running if there is no pool; here they are ended in both cases.
#[test]
fn b15_a_server_stops_in_order() {
    let _watchdog = support::watchdog();
    let server = StreamServer::builder()
        .bind("127.0.0.1:0")
        .unwrap()
        .max_connections(2)
        .build()
        .unwrap();
    let ended = Counter::default();
    let killed = ended.clone();
    server
        .start(move |mut stream: TcpStream, _| {
            let _guard = killed.on_drop();
            let mut request = [0];
            stream.read_exact(&mut request)?; // the first byte says whether to end
            if request == *b"s" {
                sleep(HOUR);
            }
            stream.write_all(&request)
        })
        .unwrap();
    let connect = |byte| {
        let mut stream = TcpStream::connect(server.local_addr()).unwrap();
        stream.write_all(&[byte]).unwrap();
        stream
    };
    let end = |mut stream: TcpStream| {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    // It does not accept while the pool is full.
    let clients = [connect(b's'), connect(b's'), connect(b'q')];
    while !server.is_full() {
        yield_now();
    }
    sleep(SHORT);
    assert_eq!(server.connections(), 2);

    // The listener is closed at once, who ends in time is waited for, who does not is killed.
    let [stays, _, waits] = clients;
    let stopped = server.stop(SHORT);
    assert_eq!((stopped.killed, stopped.left), (2, 0));
    assert_eq!(ended.get(), 2);
    assert!(TcpStream::connect(server.local_addr()).is_err());
    assert_eq!(end(stays), b"");
    assert_eq!(end(waits), b"");
}

#[test]
fn s03_names_are_resolved_while_the_others_run() {
    let _watchdog = support::watchdog();
    let turns = Rc::new(Cell::new(0));
    let counted = turns.clone();
    let neighbour = spawn_local(move || {
        loop {
            counted.set(counted.get() + 1);
            yield_now();
        }
    });
    // Whatever it gives. An answer that is there before the wait begins is no wait: on a busy machine, another one.
    for _ in 0..100 {
        drop(TcpStream::connect("localhost:1"));
        if turns.get() > 0 {
            break;
        }
    }
    assert!(turns.get() > 0);
    neighbour.kill().unwrap();
}
