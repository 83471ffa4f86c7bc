//! Workers with nothing to do sleep: ten thousand connections that wait on four of them wake none, not once.
//!
//! What counts is the kernel's number of voluntary context switches of the workers' threads: a thread that wakes, for a tick or
//! for nothing, has one more when it sleeps again. `RUSTLET_TEST_SILENCE` says for how many seconds to look, instead of three.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustlet::sync::Mutex;
use rustlet::{Runtime, spawn};

const CONNECTIONS: usize = 10_000;
const WORKERS: usize = 4;
/// Nothing else in this process is called so.
const NAME: &str = "sleepy";
/// Longer than any period that a tick could sensibly have.
const SILENCE: Duration = Duration::from_secs(3);

/// How many connections (two descriptors each) this process may have.
fn affordable() -> usize {
    let needed = 2 * CONNECTIONS as u64 + 200;
    let now = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: Some(needed),
        maximum: now.maximum.map(|maximum| maximum.max(needed)),
    };
    if now.current.is_some_and(|now| now < needed) && setrlimit(Resource::Nofile, wanted).is_err() {
        let most = Rlimit {
            current: now.maximum,
            ..now
        };
        let _ = setrlimit(Resource::Nofile, most);
    }
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.unwrap_or(needed).min(needed);
    (limit as usize - 200) / 2 / support::slowdown() as usize
}

/// Voluntary context switches of each worker's thread.
fn switches() -> Vec<(String, u64)> {
    let tasks = fs::read_dir("/proc/self/task").expect("procfs is mounted");
    let mut switches = Vec::new();
    for task in tasks {
        // A thread that ends meanwhile is not a worker.
        let Ok(status) = fs::read_to_string(task.unwrap().path().join("status")) else {
            continue;
        };
        let line = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.expect("it is in each status").trim().to_owned()
        };
        let name = line("Name:");
        if name.starts_with(NAME) {
            let count = line("voluntary_ctxt_switches:");
            switches.push((name, count.parse().unwrap()));
        }
    }
    switches.sort();
    switches
}

/// Once nobody has woken for a while: longer than the second after which a hub looks for rings of waits, once. Fails if that
/// never happens.
fn settled() -> Vec<(String, u64)> {
    let deadline = Instant::now() + Duration::from_secs(60) * support::slowdown();
    let mut before = switches();
    loop {
        thread::sleep(SILENCE);
        let now = switches();
        if now == before {
            return now;
        }
        assert!(
            Instant::now() < deadline,
            "no {SILENCE:?} without a wake-up: {before:?}, then {now:?}"
        );
        before = now;
    }
}

/// Nobody wakes.
fn assert_silence(what: &str) {
    let seconds = std::env::var("RUSTLET_TEST_SILENCE").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    let silence = seconds.map_or(SILENCE, Duration::from_secs);
    // A wait that may be part of a deadlock is looked at three times, with pauses that are long if a look took long. What ticks
    // is awake in every silence.
    for look in 1.. {
        let before = settled();
        assert_eq!(before.len(), WORKERS, "{before:?}");
        thread::sleep(silence);
        let after = switches();
        println!("{what}: {before:?}, {silence:?} later {after:?}");
        if before == after {
            break;
        }
        assert!(look < 3, "{what}: somebody woke within {silence:?}");
    }
}

fn runtime() -> Runtime {
    let builder = Runtime::builder().workers(WORKERS).name(NAME);
    builder.build().unwrap()
}

/// Runs the test of that name, `body`, in a process of its own, whose threads are counted.
fn in_a_child(name: &str, body: fn()) {
    if support::emulated() {
        println!("not run: the emulator wakes threads for purposes of its own");
        return;
    }
    if support::is_child() {
        return body();
    }
    support::child(name)
        .limit(Duration::from_secs(240))
        .run()
        .assert_passed();
}

#[test]
fn workers_with_nothing_at_all() {
    in_a_child("workers_with_nothing_at_all", || {
        let _runtime = runtime();
        assert_silence("nothing");
    });
}

#[test]
fn workers_with_connections_that_wait() {
    in_a_child("workers_with_connections_that_wait", || {
        let count = affordable();
        if count < CONNECTIONS {
            println!("{count} connections only: more descriptors are not allowed");
        }
        let runtime = runtime();
        let listener = rustlet::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = runtime.handle().spawn(move || {
            let connections = (0..count).map(|_| {
                let (mut stream, _) = listener.accept().unwrap();
                spawn(move || {
                    let mut block = [0; 64];
                    loop {
                        match stream.read(&mut block).unwrap() {
                            0 => break,
                            read => stream.write_all(&block[..read]).unwrap(),
                        }
                    }
                })
            });
            let connections: Vec<_> = connections.collect();
            // Joins are waits of which it is known who ends them: workers look once for a ring of such.
            let ends = connections.into_iter().map(|greenlet| greenlet.join());
            ends.filter(Result::is_ok).count()
        });
        let mut clients = Vec::from_iter((0..count).map(|_| TcpStream::connect(addr).unwrap()));
        // Each has been served, and waits again.
        for client in &mut clients {
            client.write_all(b"hello").unwrap();
            let mut echo = [0; 5];
            client.read_exact(&mut echo).unwrap();
            assert_eq!(&echo, b"hello");
        }
        assert_silence("connections");

        // They do wake when there is a reason to.
        drop(clients);
        assert_eq!(server.join().unwrap(), count);
    });
}

#[test]
fn workers_whose_greenlets_wait_for_each_other() {
    in_a_child("workers_whose_greenlets_wait_for_each_other", || {
        let runtime = runtime();
        let lock = std::sync::Arc::new(Mutex::new(()));
        let held = lock.clone();
        let (release, released) = rustlet::sync::mpmc::bounded::<()>(1);
        let holder = runtime.handle().spawn_on(0, move || {
            let _held = held.lock().unwrap();
            let _ = released.recv();
        });
        // Waits that lead from each worker to another's.
        let waiters = Vec::from_iter((0..WORKERS).map(|worker| {
            let lock = lock.clone();
            runtime
                .handle()
                .spawn_on(worker, move || drop(lock.lock().unwrap()))
        }));
        assert_silence("locks");
        drop(release);
        holder.join().unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}
