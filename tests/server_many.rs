//! A thousand connections, and letting others run while many come at once.

mod support;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use rustlet::net::TcpStream;
use rustlet::server::StreamServer;
use rustlet::sync::Event;
use rustlet::{spawn, yield_now};

const LONG: Duration = Duration::from_secs(30);

#[test]
fn a_thousand_connections_at_once() {
    const CLIENTS: u32 = 1000;
    let _watchdog = support::watchdog();
    let server = StreamServer::bind("127.0.0.1:0").unwrap();
    server
        .start(|stream: TcpStream, _| io::copy(&mut &stream, &mut &stream))
        .unwrap();
    let addr = server.local_addr();
    let (here, go_on) = (Rc::new(Cell::new(0)), Rc::new(Event::new()));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let (here, go_on) = (here.clone(), go_on.clone());
            rustlet::spawn_local(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                let mut echo = |word: u32| {
                    stream.write_all(&word.to_le_bytes()).unwrap();
                    let mut answer = [0; 4];
                    stream.read_exact(&mut answer).unwrap();
                    assert_eq!(u32::from_le_bytes(answer), word);
                };
                echo(n);
                here.set(here.get() + 1);
                go_on.wait();
                echo(!n);
            })
        })
        .collect();
    while here.get() < CLIENTS {
        rustlet::sleep(Duration::from_millis(1));
    }
    assert_eq!(server.connections(), CLIENTS as usize);
    go_on.set();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(server.stop(LONG).killed, 0);
    assert_eq!(server.connections(), 0);
}

/// Up to `max_accept` connections in a row, then the handlers (and everybody else) have their turn.
#[test]
fn a_flood_of_clients_lets_others_run() {
    let _watchdog = support::watchdog();
    for most in [1, 10, 100] {
        let server = StreamServer::builder()
            .bind("127.0.0.1:0")
            .unwrap()
            .max_accept(most)
            .build()
            .unwrap();
        let addr = server.local_addr();
        let clients = Vec::from_iter((0..250).map(|_| std::net::TcpStream::connect(addr).unwrap()));
        let (seen, itself) = (Rc::new(Cell::new(None)), server.clone());
        let first = seen.clone();
        server
            .start(move |mut stream: TcpStream, _| {
                first.set(first.get().or(Some(itself.connections())));
                let _ = stream.read(&mut [0]);
            })
            .unwrap();
        while seen.get().is_none() {
            yield_now();
        }
        assert!(seen.get() <= Some(2 * most), "{seen:?} of {most}");
        while server.connections() < clients.len() {
            yield_now();
        }
        drop(clients);
        assert_eq!(server.stop(LONG).killed, 0);
    }
}

/// Some clients connect and disconnect, some are cut off, some are served; the server ends empty.
#[test]
fn clients_that_come_and_go() {
    let _watchdog = support::watchdog();
    let server = StreamServer::builder()
        .bind("127.0.0.1:0")
        .unwrap()
        .max_connections(7)
        .on_error(|_| {})
        .build()
        .unwrap();
    server
        .start(|mut stream: TcpStream, _| -> io::Result<()> {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            match byte[0] % 3 {
                0 => std::panic::resume_unwind(Box::new("of this test")),
                1 => stream.write_all(&byte),
                _ => Err(io::Error::other("of this test")),
            }
        })
        .unwrap();
    let addr = server.local_addr();
    let clients: Vec<_> = (0..200u8)
        .map(|n| {
            spawn(move || {
                let mut stream = TcpStream::connect(addr)?;
                if n % 5 > 0 {
                    stream.write_all(&[n])?;
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer)?;
                    assert_eq!(answer, [n].repeat(usize::from(n % 3 == 1)));
                }
                io::Result::Ok(())
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap().unwrap();
    }
    let stopped = server.stop(LONG);
    assert_eq!((stopped.killed, server.connections()), (0, 0));
    assert!(!server.is_full());
}
