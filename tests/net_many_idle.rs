//! Ten thousand idle connections: they cost memory alone, the active ones among them work, and all
//! of them are woken at the end.

mod support;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::{sleep, spawn, yield_now};

const CONNECTIONS: usize = 10_000;

/// How many connections (two descriptors each) this process may have.
fn affordable() -> usize {
    let needed = 2 * CONNECTIONS as u64 + 200;
    let wanted = Rlimit {
        current: Some(needed),
        maximum: Some(needed),
    };
    let now = getrlimit(Resource::Nofile);
    if now.current.is_some_and(|now| now < needed) && setrlimit(Resource::Nofile, wanted).is_err() {
        let most = Rlimit {
            current: now.maximum,
            ..now
        };
        let _ = setrlimit(Resource::Nofile, most);
    }
    let limit = getrlimit(Resource::Nofile)
        .current
        .unwrap_or(needed)
        .min(needed);
    (limit as usize - 200) / 2 / support::slowdown() as usize
}

#[test]
fn ten_thousand_idle_connections() {
    if !support::is_child() {
        return support::child("ten_thousand_idle_connections")
            .limit(Duration::from_secs(120))
            .run()
            .assert_passed();
    }
    let count = affordable();
    if count < CONNECTIONS {
        println!("RLIMIT_NOFILE allows {count} connections only");
    }
    let before = support::rss_bytes();
    let start = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let served = support::Counter::default();
    let ended = served.clone();
    let server = spawn(move || {
        let connections = Vec::from_iter((0..count).map(|_| {
            let (stream, _) = listener.accept().unwrap();
            let ended = ended.clone();
            spawn(move || {
                let mut block = [0; 64];
                loop {
                    match (&stream).read(&mut block).unwrap() {
                        0 => break,
                        read => (&stream).write_all(&block[..read]).unwrap(),
                    }
                }
                ended.add();
            })
        }));
        for connection in connections {
            connection.join().unwrap();
        }
    });
    let mut clients = Vec::from_iter((0..count).map(|_| TcpStream::connect(addr).unwrap()));
    // The last of them are yet to be accepted, and to begin to wait.
    while rustlet::stats().live < count + 1 {
        sleep(Duration::from_millis(1));
    }
    yield_now();
    let opened = start.elapsed();

    // Nobody does anything, and that is what it costs.
    let (stats, cpu) = (rustlet::stats(), support::process_cpu_time());
    sleep(Duration::from_millis(200));
    let polls = rustlet::stats().polls - stats.polls;
    let used = support::process_cpu_time() - cpu;
    assert_eq!(stats.live, count + 1);
    assert!(polls <= 10, "{polls} polls in 200 ms of silence");
    assert!(
        used < Duration::from_millis(50) * support::slowdown(),
        "{used:?}"
    );

    // A few speak, each to its own greenlet.
    for client in clients.iter_mut().step_by(97) {
        client.write_all(b"hello").unwrap();
        let mut echo = [0; 5];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(&echo, b"hello");
    }

    // The two sides of a debug build's connection; sockets are the kernel's memory, not ours.
    let each = (support::rss_bytes() - before) / count;
    println!("{count} connections in {opened:?}, {each} bytes of memory each");
    assert!(each < 16 * 1024, "{each} bytes for each idle connection");

    drop(clients);
    server.join().unwrap();
    assert_eq!(served.get(), count);
}
