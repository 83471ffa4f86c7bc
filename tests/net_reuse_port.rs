//! Listeners that share a port: each gets its share of the connections, and none of another's.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::thread;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{spawn, yield_now};

#[test]
fn both_get_connections() {
    let _watchdog = support::watchdog();
    let first = TcpListener::bind_reuse_port("127.0.0.1:0").unwrap();
    let addr = first.local_addr().unwrap();
    let second = TcpListener::bind_reuse_port(addr).unwrap();
    assert_eq!(second.local_addr().unwrap(), addr);
    let flags = rustix::io::fcntl_getfd(&first).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let shares = [first, second].map(|listener| {
        spawn(move || {
            // Each says how many it has had.
            let mut count = 0_u32;
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                count += 1;
                stream.write_all(&count.to_ne_bytes()).unwrap();
            }
        })
    });
    // By a hash of the client's port: that one of two gets none of so many would be a wonder (2^-200).
    let mut answers = Vec::new();
    for _ in 0..200 {
        let mut count = [0; 4];
        TcpStream::connect(addr)
            .unwrap()
            .read_exact(&mut count)
            .unwrap();
        answers.push(u32::from_ne_bytes(count));
    }
    // Two sequences of consecutive numbers, mixed.
    let highest = *answers.iter().max().unwrap();
    let ones = answers.iter().filter(|&&answer| answer == 1).count();
    assert_eq!(ones, 2, "both have had a first one");
    assert!((100..200).contains(&highest), "{highest}");
    for share in shares {
        share.kill().unwrap();
    }
}

#[test]
fn on_a_thread_each() {
    let _watchdog = support::watchdog();
    let first = TcpListener::bind_reuse_port("127.0.0.1:0").unwrap();
    let addr = first.local_addr().unwrap();
    let second = TcpListener::bind_reuse_port(addr).unwrap();
    let workers = [first, second].map(|listener| {
        thread::spawn(move || {
            let mut served = 0;
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                if byte == *b"q" {
                    return served;
                }
                stream.write_all(&byte).unwrap();
                served += 1;
            }
        })
    });
    for _ in 0..100 {
        let mut stream = TcpStream::connect(addr).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    // Until both have heard it. A worker that has ended takes its listener along, and the other gets all.
    let mut finished = 0;
    while finished < 2 {
        if let Ok(mut stream) = TcpStream::connect(addr) {
            let _ = stream.write_all(b"q");
            let _ = stream.read(&mut [0]);
        }
        finished = workers.iter().filter(|worker| worker.is_finished()).count();
    }
    let served = workers.map(|worker| worker.join().unwrap());
    assert_eq!(served.iter().sum::<u32>(), 100);
    assert!(served.iter().all(|&served| served > 0), "{served:?}");
}

#[test]
fn who_did_not_ask_for_it_does_not_share() {
    let _watchdog = support::watchdog();
    let shared = TcpListener::bind_reuse_port("127.0.0.1:0").unwrap();
    let error = TcpListener::bind(shared.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let alone = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = TcpListener::bind_reuse_port(alone.local_addr().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let error = TcpListener::bind_reuse_port("no address").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    // And it can be closed under those who wait, like any other.
    let clone = shared.try_clone().unwrap();
    let acceptor = spawn(move || clone.accept().is_err());
    yield_now();
    shared.close();
    assert!(acceptor.join().unwrap());
}
