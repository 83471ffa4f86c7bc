//! A spread connection gets its stack where it starts. If there is none, its client is told, its slot is free again, and the
//! server pauses and goes on.

mod support;

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustlet::Runtime;
use rustlet::net::TcpStream;
use rustlet::server::{Incident, StreamServer};

const LONG: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const GIB: usize = 1 << 30;

fn client(server: &StreamServer) -> std::net::TcpStream {
    let client = std::net::TcpStream::connect(server.local_addr()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

#[test]
fn want_of_stacks_on_a_worker_is_reported() {
    let _watchdog = support::watchdog();
    if support::emulated() {
        println!("not run: the emulator's address space is the process's");
        return;
    }
    if !support::is_child() {
        return support::child("want_of_stacks_on_a_worker_is_reported")
            .run()
            .assert_passed();
    }
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let pauses = Arc::new(Mutex::new(Vec::new()));
    let seen = pauses.clone();
    let server = StreamServer::builder()
        .bind_per_worker("127.0.0.1:0", &runtime.handle())
        .unwrap()
        .stack_size(GIB)
        .max_connections(1)
        .back_off(FIRST_PAUSE, LONG)
        .on_error(move |incident| match incident {
            Incident::Spawn { error, pause, .. } => {
                let text = error.to_string();
                assert!(text.contains("got no stack"), "{text}");
                seen.lock().unwrap().push((*pause, Instant::now()));
            }
            other => panic!("{other}"),
        })
        .build()
        .unwrap();
    // On both workers: what they need is there.
    for worker in 0..2 {
        let there = runtime
            .handle()
            .spawn_on(worker, || drop(support::tcp_pair::<TcpStream>()));
        there.join().unwrap();
    }
    server
        .start_in(&runtime.handle(), |mut stream: TcpStream, _| {
            stream.write_all(b"!")
        })
        .unwrap();
    // Supervisor and acceptors have theirs.
    while runtime
        .metrics()
        .workers
        .iter()
        .map(|worker| worker.parked)
        .sum::<usize>()
        < 3
    {
        std::thread::yield_now();
    }

    let before = getrlimit(Resource::As);
    let set = |current| setrlimit(Resource::As, Rlimit { current, ..before }).unwrap();
    set(Some((support::address_space_bytes() + GIB / 2) as u64));
    for nth in 1..=3 {
        let answer = client(&server).read(&mut [0]);
        assert_eq!(answer.unwrap_or(0), 0, "closed");
        while pauses.lock().unwrap().len() < nth {
            std::thread::yield_now();
        }
    }
    set(before.current);
    client(&server).read_exact(&mut [0]).unwrap();
    let end = Instant::now();
    assert_eq!(server.stop(LONG).killed, 0);
    let pauses = pauses.lock().unwrap();
    assert_eq!(pauses.len(), 3, "{pauses:?}");
    // It was told of each right after the pause had begun, and nothing was accepted before its end.
    let nexts = pauses[1..].iter().map(|(_, at)| *at).chain([end]);
    let mut doubled = FIRST_PAUSE;
    for (&(pause, at), next) in pauses.iter().zip(nexts) {
        // The first again, if this machine was so slow that they are not in a row.
        assert!(pause == FIRST_PAUSE || pause == doubled, "{pauses:?}");
        doubled = pause * 2;
        assert!(next - at >= pause / 2, "{pauses:?}");
    }
    assert!(!server.is_full());
}
