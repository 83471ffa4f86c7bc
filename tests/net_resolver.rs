//! Host names: resolved beside the greenlets, with std's errors, and abandoned in good order.

mod support;

use std::io::{Read, Write};
use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream, ToSocketAddrs};
use rustlet::{spawn, yield_now};

#[test]
fn localhost_is_here() {
    let _watchdog = support::watchdog();
    let addrs = Vec::from_iter("localhost:80".to_socket_addrs().unwrap());
    assert!(!addrs.is_empty());
    assert!(
        addrs
            .iter()
            .all(|addr| addr.ip().is_loopback() && addr.port() == 80)
    );
    let std_addrs = std::net::ToSocketAddrs::to_socket_addrs("localhost:80").unwrap();
    assert_eq!(addrs, Vec::from_iter(std_addrs));
}

#[test]
fn connecting_by_name_works() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("localhost:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = spawn(move || listener.accept().unwrap().0.write_all(b"x").unwrap());
    let mut stream = TcpStream::connect(("localhost", port)).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    server.join().unwrap();
}

#[test]
fn an_unknown_name_is_an_error_as_in_std() {
    let _watchdog = support::watchdog();
    // Reserved: it exists nowhere (RFC 6761), and no query needs to leave this machine to say so.
    let ours = ("no-such-host.invalid", 80).to_socket_addrs().unwrap_err();
    let stds = std::net::ToSocketAddrs::to_socket_addrs(&("no-such-host.invalid", 80)).unwrap_err();
    assert_eq!(ours.kind(), stds.kind());
    assert!(TcpStream::connect("no-such-host.invalid:80").is_err());
    assert!(("bad\0name", 80).to_socket_addrs().is_err());
}

#[test]
fn the_others_go_on_meanwhile() {
    let _watchdog = support::watchdog();
    let turns = support::Counter::default();
    let counted = turns.clone();
    let spinner = spawn(move || {
        loop {
            counted.add();
            yield_now();
        }
    });
    // An answer that is there before the caller has parked needs no turn of the others; were the
    // thread blocked each time, this would never end.
    while turns.get() == 0 {
        ("localhost", 1).to_socket_addrs().unwrap();
    }
    spinner.kill().unwrap();
}

#[test]
fn more_names_than_threads_from_several_hubs() {
    let _watchdog = support::watchdog();
    let hubs = [(); 3].map(|()| {
        std::thread::spawn(|| {
            let lookups = Vec::from_iter((0..50).map(|port| {
                spawn(move || {
                    let mut addrs = ("localhost", port).to_socket_addrs().unwrap();
                    assert!(addrs.all(|addr| addr.port() == port));
                })
            }));
            for lookup in lookups {
                lookup.join().unwrap();
            }
        })
    });
    for hub in hubs {
        hub.join().unwrap();
    }
}

#[test]
fn limits_and_kills_leave_the_answer_behind() {
    let _watchdog = support::watchdog();
    for round in 0..50 {
        let limit = Duration::from_micros(round * 10);
        // In time or not, both are fine; what follows must not be disturbed by a late answer.
        let _ = rustlet::timeout(limit, || ("localhost", 1).to_socket_addrs());
        let lookup = spawn(|| drop(("localhost", 1).to_socket_addrs()));
        yield_now();
        lookup.kill().unwrap();
    }
    // Threads whose hub has ended before the answer came.
    std::thread::spawn(|| {
        spawn(|| drop(("localhost", 1).to_socket_addrs()));
        yield_now();
    })
    .join()
    .unwrap();
    assert!(("localhost", 1).to_socket_addrs().is_ok());
}
