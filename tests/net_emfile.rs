//! Running out of descriptors: accepting backs off, recovers, and loses nobody; the rest gets the
//! error and works again once there is room.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::{sleep, spawn, yield_now};

/// EMFILE's number on Linux.
const EMFILE: i32 = 24;

/// Opens files until the limit, leaving `left` descriptors.
fn use_up(limit: u64, left: usize) -> Vec<File> {
    let rlimit = Rlimit {
        current: Some(limit),
        maximum: Some(limit),
    };
    setrlimit(Resource::Nofile, rlimit).unwrap();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files.truncate(files.len() - left);
    files
}

fn in_child(name: &str, test: impl FnOnce()) {
    match support::is_child() {
        true => test(),
        false => support::child(name).run().assert_passed(),
    }
}

#[test]
fn accept_backs_off_recovers_and_loses_nobody() {
    in_child("accept_backs_off_recovers_and_loses_nobody", || {
        const CLIENTS: usize = 20;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        sleep(Duration::from_millis(1));
        // The server's side of a connection finds no descriptor while its clients' are open.
        let server = spawn(move || {
            for _ in 0..CLIENTS {
                let (mut stream, _) = listener.accept().unwrap();
                spawn(move || {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    stream.write_all(&byte).unwrap();
                });
            }
        });
        yield_now(); // it is registered, and waits
        let mut files = use_up(100, CLIENTS);
        let clients = Vec::from_iter((0..CLIENTS).map(|n| {
            // std's connect, which does not run the server meanwhile.
            let mut stream = TcpStream::from(std::net::TcpStream::connect(addr).unwrap());
            spawn(move || {
                stream.write_all(&[n as u8]).unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                assert_eq!(byte, [n as u8]);
            })
        }));
        assert!(File::open("/dev/null").is_err(), "nothing is left");

        // It waits, without being busy about it, and the others go on.
        let (before, cpu) = (rustlet::stats(), support::process_cpu_time());
        sleep(Duration::from_millis(300));
        let switches = rustlet::stats().switches - before.switches;
        let used = support::process_cpu_time() - cpu;
        assert!(switches < 50, "{switches} switches in 300 ms");
        assert!(
            used < Duration::from_millis(100) * support::slowdown(),
            "{used:?}"
        );
        assert!(!server.is_finished());
        assert!(clients.iter().all(|client| !client.is_finished()));

        // One descriptor is enough for everybody: each connection passes it on.
        files.pop();
        for client in clients {
            client.join().unwrap();
        }
        server.join().unwrap();
    });
}

#[test]
fn accept_reports_what_does_not_pass_and_goes_on_later() {
    in_child(
        "accept_reports_what_does_not_pass_and_goes_on_later",
        || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let acceptor = spawn(move || {
                let start = Instant::now();
                let error = listener.accept().unwrap_err();
                assert!(
                    start.elapsed() >= Duration::from_millis(500),
                    "it was patient"
                );
                assert_eq!(error.raw_os_error(), Some(EMFILE));
                listener
            });
            yield_now();
            let files = use_up(100, 1);
            let mut client = TcpStream::connect(addr).unwrap();
            client.write_all(b"x").unwrap();
            let listener = acceptor.join().unwrap();
            drop(files);
            // The connection has been in the queue all the while.
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0]).unwrap();
        },
    );
}

#[test]
fn accept_can_be_interrupted_while_it_backs_off() {
    in_child("accept_can_be_interrupted_while_it_backs_off", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let acceptor = spawn(move || drop(listener.accept()));
        yield_now();
        let files = use_up(100, 1);
        let _client = TcpStream::connect(addr).unwrap();
        sleep(Duration::from_millis(20));
        acceptor.kill().unwrap();
        assert!(acceptor.join().unwrap_err().is_killed());
        drop(files);
    });
}

#[test]
fn connecting_and_cloning_report_it() {
    in_child("connecting_and_cloning_report_it", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let client = TcpStream::connect(addr).unwrap();
        let files = use_up(100, 0);
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EMFILE));
        let error = client.try_clone().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EMFILE));
        let error = TcpListener::bind("127.0.0.1:0").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(EMFILE));
        drop(files);
        TcpStream::connect(addr).unwrap();
    });
}

/// A hub that waits for descriptors needs an epoll instance and an eventfd; without them it still runs what needs none.
#[test]
fn a_hub_without_descriptors_runs_greenlets_and_timers() {
    in_child(
        "a_hub_without_descriptors_runs_greenlets_and_timers",
        || {
            let (mut reader, _peer) = support::tcp_pair::<std::net::TcpStream>();
            reader.set_nonblocking(true).unwrap();
            assert!(reader.read(&mut [0]).is_err());
            let mut waits = TcpStream::from(reader);
            let files = use_up(100, 0);
            let sleeper = spawn(|| {
                sleep(Duration::from_millis(5));
                rustlet::park_timeout(Duration::from_millis(5));
                1
            });
            assert_eq!(sleeper.join().unwrap(), 1);
            // Other threads' wake-ups arrive.
            let parked = spawn(|| rustlet::park().unwrap());
            let handle = parked.handle();
            let waker = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(20));
                handle.unpark();
            });
            parked.join().unwrap();
            waker.join().unwrap();
            // A wait for a socket needs them, and says so.
            let error = waits.read(&mut [0]).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(EMFILE));
            drop(files);
            waits
                .set_read_timeout(Some(Duration::from_millis(1)))
                .unwrap();
            let error = waits.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        },
    );
}
