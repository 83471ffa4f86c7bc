//! Runtimes that come and go leave nothing behind: no thread, descriptor, mapping, or memory that grows.

mod support;

use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{Runtime, sleep, spawn, spawn_on};
use std::io::{Read, Write};
use support::Counter;

/// One life of a runtime, with some of everything; ended in one of the ways that there are.
fn life(round: usize, drops: &Counter) {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let guards = drops.clone();
    runtime.run(move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        // On both workers: in each round both take what they need for waiting.
        let server = spawn_on(0, move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            stream.write_all(&byte).unwrap();
        });
        let client = spawn_on(1, move || {
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.write_all(&[7]).unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            byte[0]
        });
        assert_eq!(client.join().unwrap(), 7);
        server.join().unwrap();
        for _ in 0..200 {
            drop(spawn(|| sleep(Duration::from_micros(10))));
        }
        let futures: Vec<_> = (0..50)
            .map(|n| {
                rustlet::spawn_future(
                    async move { rustlet::Sleep::new(Duration::from_micros(n)).await },
                )
            })
            .collect();
        futures.into_iter().for_each(|future| drop(future.join()));
        // These live until the end.
        for n in 0..20 {
            let guard = guards.on_drop();
            drop(spawn_on(n % 2, move || {
                let _guard = guard;
                sleep(Duration::MAX);
            }));
            let guard = guards.on_drop();
            drop(rustlet::spawn_future(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            }));
        }
    });
    match round % 3 {
        0 => drop(runtime),
        1 => drop(runtime.shutdown(Duration::ZERO)),
        _ => {
            // By one of its own greenlets; nobody waits for the threads then.
            let handle = runtime.handle();
            drop(handle.spawn(move || drop(runtime)).join());
        }
    }
}

#[test]
fn fifty_runtimes_leave_nothing() {
    if !support::is_child() {
        support::child("fifty_runtimes_leave_nothing")
            .run()
            .assert_passed();
        return;
    }
    let drops = Counter::default();
    let threads = support::thread_count();
    // The first ones: bells are kept for the hubs to come, and so is what the allocator has for each thread.
    for round in 0..6 {
        life(round, &drops);
        support::threads_settle(threads, "after a runtime");
    }
    let (fds, maps, rss) = (
        support::open_fds(),
        support::vma_count(),
        support::rss_bytes(),
    );
    for round in 6..56 {
        life(round, &drops);
        support::threads_settle(threads, "after a runtime");
    }
    support::settles("descriptors", fds, support::open_fds);
    assert_eq!(drops.get(), 56 * 40, "each destructor once");
    if !support::emulated() {
        // The allocator's arenas may come or go.
        let now = support::vma_count();
        assert!(now <= maps + 20, "{maps} mappings have become {now}");
        // An emulator's own memory grows with the code that it has translated.
        let now = support::rss_bytes();
        assert!(
            now < rss + (8 << 20),
            "{rss} bytes of memory have become {now}"
        );
    }
}
