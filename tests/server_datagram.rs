//! A server for datagrams: each gets a greenlet, a full server leaves the rest to the system, and it ends in good
//! order.

mod support;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustlet::net::UdpSocket;
use rustlet::server::{DatagramServer, Incident};
use rustlet::sync::Event;
use rustlet::{Pool, sleep, spawn, yield_now};

const WHILE: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);

fn echo(socket: &UdpSocket, data: Vec<u8>, peer: SocketAddr) -> io::Result<usize> {
    socket.send_to(&data, peer)
}

fn client(server: &DatagramServer) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(server.local_addr()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

fn assert_answered(client: &UdpSocket, data: &[u8]) {
    client.send(data).unwrap();
    let mut answer = vec![0; data.len() + 1];
    assert_eq!(client.recv(&mut answer).unwrap(), data.len());
    assert_eq!(&answer[..data.len()], data);
}

#[test]
fn each_datagram_has_a_greenlet() {
    let _watchdog = support::watchdog();
    let server = DatagramServer::bind("127.0.0.1:0").unwrap();
    assert!(!server.is_started());
    let names = Rc::new(RefCell::new(Vec::new()));
    let noted = names.clone();
    server
        .start(move |socket, data, peer| {
            noted
                .borrow_mut()
                .push(rustlet::current().name().map(String::from));
            sleep(Duration::from_millis(1)); // it waits in the middle of things
            echo(socket, data, peer)
        })
        .unwrap();
    assert!(server.is_started() && server.start(echo).is_err());
    let clients = Vec::from_iter((0..20_u8).map(|n| {
        let client = client(&server);
        spawn(move || assert_answered(&client, &vec![n; n as usize]))
    }));
    for client in clients {
        client.join().unwrap();
    }
    // The largest that there is, and it arrives whole.
    assert_answered(&client(&server), &vec![7; 65_507]);
    let text = format!("{server:?}");
    assert!(
        text.starts_with("DatagramServer { addrs: [127.0.0.1:"),
        "{text}"
    );
    server.stop(LONG);
    let names = names.borrow();
    assert_eq!(names.len(), 21);
    assert!(
        names.iter().all(|name| name
            .as_deref()
            .is_some_and(|n| n.starts_with("serving 127."))),
        "{names:?}"
    );
    let addr = server.local_addr();
    assert!(server.is_closed() && server.start(echo).is_err());
    UdpSocket::bind(addr).expect("the port is free again");
}

#[test]
fn a_full_server_leaves_datagrams_to_the_system() {
    let _watchdog = support::watchdog();
    let gate = Arc::new(Event::new());
    let (running, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let pool = Arc::new(Pool::new(3));
    for builder in [
        DatagramServer::builder().max_connections(3),
        DatagramServer::builder().pool(pool),
    ] {
        gate.clear();
        most.set(0);
        let server = builder
            .socket(UdpSocket::bind("127.0.0.1:0").unwrap())
            .build()
            .unwrap();
        let (opens, running, seen) = (gate.clone(), running.clone(), most.clone());
        server
            .start(move |socket, data, peer| {
                running.set(running.get() + 1);
                seen.set(seen.get().max(running.get()));
                opens.wait();
                running.set(running.get() - 1);
                echo(socket, data, peer)
            })
            .unwrap();
        let client = client(&server);
        for n in 0..10 {
            client.send(&[n]).unwrap();
        }
        sleep(WHILE);
        assert_eq!((server.handlers(), server.is_full()), (3, true));
        gate.set();
        let mut answers = Vec::from_iter((0..10).map(|_| {
            let mut answer = [0];
            client.recv(&mut answer).unwrap();
            answer[0]
        }));
        answers.sort_unstable();
        assert_eq!(answers, Vec::from_iter(0..10), "none was lost");
        assert_eq!(most.get(), 3);
        server.stop(LONG);
    }
}

#[test]
fn failures_concern_their_own_datagram() {
    let _watchdog = support::watchdog();
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = log.clone();
    let server = DatagramServer::builder()
        .socket(UdpSocket::bind("127.0.0.1:0").unwrap())
        .on_error(move |incident: &Incident<'_>| {
            told.lock().unwrap().push(incident.to_string());
        })
        .build()
        .unwrap();
    server
        .start(|socket, data, peer| match &data[..] {
            b"fail" => Err(io::Error::other("as it was told")),
            b"panic" => panic!("as it was told"),
            _ => echo(socket, data, peer),
        })
        .unwrap();
    let client = client(&server);
    for bad in ["fail", "panic"] {
        client.send(bad.as_bytes()).unwrap();
        assert_answered(&client, b"good");
    }
    // A client that has gone: its answer comes back refused, and nobody minds.
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    gone.send_to(b"x", server.local_addr()).unwrap();
    drop(gone);
    assert_answered(&client, b"good");
    server.stop(LONG);
    let peer = client.local_addr().unwrap();
    assert_eq!(
        *log.lock().unwrap(),
        [
            format!("serving {peer} failed: as it was told"),
            format!("the handler for {peer} panicked: as it was told"),
        ]
    );
}

#[test]
fn it_pauses_and_goes_on() {
    let _watchdog = support::watchdog();
    let server = DatagramServer::bind("127.0.0.1:0").unwrap();
    server.start(echo).unwrap();
    let client = client(&server);
    assert_answered(&client, b"one");
    server.stop_accepting();
    client.send(b"two").unwrap();
    client.set_read_timeout(Some(WHILE)).unwrap();
    assert!(client.recv(&mut [0; 8]).is_err());
    client.set_read_timeout(Some(LONG)).unwrap();
    server.start_accepting();
    assert_eq!(client.recv(&mut [0; 8]).unwrap(), 3, "it was kept");
    server.close();
    server.wait().unwrap();
}

#[test]
fn stop_waits_for_answers_then_kills() {
    let _watchdog = support::watchdog();
    let gate = Arc::new(Event::new());
    let server = DatagramServer::bind("127.0.0.1:0").unwrap();
    let opens = gate.clone();
    server
        .start(move |socket, data, peer| {
            match &data[..] {
                b"for ever" => sleep(Duration::from_secs(1000)),
                _ => opens.wait(),
            }
            echo(socket, data, peer)
        })
        .unwrap();
    let client = client(&server);
    client.send(b"for ever").unwrap();
    client.send(b"for a while").unwrap();
    while server.handlers() < 2 {
        yield_now();
    }
    let stopping = {
        let server = server.clone();
        spawn(move || server.stop(Duration::from_secs(2) * support::slowdown()))
    };
    yield_now();
    assert!(server.is_closed());
    client.send(b"too late").unwrap();
    yield_now();
    assert_eq!(server.handlers(), 2, "nothing is received any more");
    gate.set();
    let mut answer = [0; 16];
    let len = client.recv(&mut answer).unwrap();
    assert_eq!(&answer[..len], b"for a while", "it could answer");
    let stopped = stopping.join().unwrap();
    assert_eq!((stopped.killed, stopped.left), (1, 0));
    assert_eq!(server.handlers(), 0);
    UdpSocket::bind(server.local_addr()).expect("the socket has gone with the last handler");
}

#[test]
fn another_thread_ends_it() {
    let _watchdog = support::watchdog();
    let server = DatagramServer::bind("127.0.0.1:0").unwrap();
    let remote = server.clone();
    let other = thread::spawn(move || {
        let client = client(&remote);
        for n in 0..10 {
            assert_answered(&client, &[n]);
        }
        remote.stop(LONG)
    });
    server.serve_forever(echo).unwrap();
    let stopped = other.join().unwrap();
    assert_eq!((stopped.killed, stopped.left), (0, 0));
}

#[test]
fn two_sockets_and_none() {
    let _watchdog = support::watchdog();
    let error = DatagramServer::builder().build().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    let server = DatagramServer::builder()
        .socket(UdpSocket::bind("127.0.0.1:0").unwrap())
        .socket(UdpSocket::bind("127.0.0.1:0").unwrap())
        .build()
        .unwrap();
    server.start(echo).unwrap();
    for &addr in server.local_addrs() {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        // The answer comes from the socket that was asked.
        client.connect(addr).unwrap();
        assert_answered(&client, b"x");
    }
    server.stop(LONG);
}
