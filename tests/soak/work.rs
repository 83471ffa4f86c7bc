//! The kinds of work of the soak: one function each, which does one round and checks what it gave.
//!
//! Called over and over by its own driver, in the runtime or on a thread that is none of its workers; so each spawns through a
//! handle. What it makes with [`Soak::guard`] has been dropped when it returns.

use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream, UdpSocket};
use rustlet::os::unix::net::UnixStream;
use rustlet::sync::{Condvar, Mutex, RwLock, Semaphore, mpmc};
use rustlet::{
    Greenlet, Pool, RuntimeHandle, Sleep, scope, sleep, spawn, spawn_future, timeout, yield_now,
};

use crate::rng::Rng;
use crate::support::{Counter, OnDrop};

/// How panics begin that are part of the work.
pub(crate) const ON_PURPOSE: &str = "on purpose";
const HOUR: Duration = Duration::from_secs(3600);

/// What a driver's work has.
#[derive(Debug)]
pub(crate) struct Soak {
    pub(crate) handle: RuntimeHandle,
    pub(crate) rng: Rng,
    pub(crate) drops: Counter,
    pub(crate) made: usize,
}

impl Soak {
    /// A value that has to be dropped once in this round.
    fn guard(&mut self) -> OnDrop {
        self.made += 1;
        self.drops.on_drop()
    }

    /// Spawns anywhere, or on some worker.
    fn spawn<T: Send + 'static>(&mut self, f: impl FnOnce() -> T + Send + 'static) -> Greenlet<T> {
        match self.rng.below(3) {
            0 => self
                .handle
                .spawn_on(self.rng.below(self.handle.workers()), f),
            _ => self.handle.spawn(f),
        }
    }

    fn micros(&mut self, below: usize) -> Duration {
        Duration::from_micros(self.rng.below(below) as u64)
    }
}

type Work = fn(&mut Soak);

/// Each with its name in the report.
pub(crate) const WORKS: [(&str, Work); 13] = [
    ("trees", trees),
    ("channels", channels),
    ("locks", locks),
    ("timers", timers),
    ("tcp", tcp),
    ("udp", udp),
    ("unix", unix),
    ("unblock", unblock),
    ("futures", futures),
    ("kills", kills),
    ("scopes", scopes),
    ("panics", panics),
    ("processes", processes),
];

/// Greenlets that spawn greenlets: the number of leaves is known.
fn trees(soak: &mut Soak) {
    fn tree(depth: usize, width: usize) -> usize {
        if depth == 0 {
            return 1;
        }
        let children = Vec::from_iter((0..width).map(|_| spawn(move || tree(depth - 1, width))));
        if depth.is_multiple_of(2) {
            yield_now();
        }
        children
            .into_iter()
            .map(|child| child.join().unwrap())
            .sum()
    }
    let (depth, width) = (1 + soak.rng.below(4), 1 + soak.rng.below(5));
    let leaves = soak.spawn(move || tree(depth, width)).join().unwrap();
    assert_eq!(leaves, width.pow(depth as u32));
}

/// Items through channels: each arrives once.
fn channels(soak: &mut Soak) {
    let (producers, consumers) = (1 + soak.rng.below(4), 1 + soak.rng.below(4));
    let each = 1 + soak.rng.below(300);
    let (tx, rx) = match soak.rng.below(3) {
        0 => mpmc::unbounded(),
        _ => mpmc::bounded::<(usize, OnDrop)>(1 + soak.rng.below(8)),
    };
    let mut all = Vec::new();
    for nth in 0..producers {
        let tx = tx.clone();
        let items = Vec::from_iter((0..each).map(|n| (nth * each + n, soak.guard())));
        all.push(soak.spawn(move || {
            items.into_iter().for_each(|item| tx.send(item).unwrap());
            0
        }));
    }
    drop(tx);
    for _ in 0..consumers {
        let rx = rx.clone();
        all.push(soak.spawn(move || rx.iter().map(|(n, _)| n).sum()));
    }
    drop(rx);
    let sum: usize = all
        .into_iter()
        .map(|greenlet| greenlet.join().unwrap())
        .sum();
    let items = producers * each;
    assert_eq!(sum, items * (items - 1) / 2);
}

/// Locks held across suspensions, with kills in between: what they guard stays whole.
fn locks(soak: &mut Soak) {
    let pair = Arc::new(Mutex::new((0_u64, 0_u64)));
    let shared = Arc::new(RwLock::new((0_u64, 0_u64)));
    let permits = Arc::new(Semaphore::new(2));
    let inside = Arc::new(AtomicUsize::new(0));
    let turn = Arc::new((Mutex::new(0), Condvar::new()));
    let users = 2 + soak.rng.below(6);
    let mut all = Vec::new();
    for nth in 0..users {
        let (pair, shared, permits) = (pair.clone(), shared.clone(), permits.clone());
        let (inside, guard) = (inside.clone(), soak.guard());
        all.push(soak.spawn(move || {
            let _guard = guard;
            for _ in 0..20 {
                {
                    let mut pair = pair.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                    let first = pair.0;
                    yield_now();
                    *pair = (first + 1, first + 1);
                }
                if nth % 2 == 0 {
                    let mut shared = shared
                        .write()
                        .unwrap_or_else(|poisoned| poisoned.into_inner());
                    *shared = (shared.0 + 1, shared.1 + 1);
                } else {
                    let shared = shared
                        .read()
                        .unwrap_or_else(|poisoned| poisoned.into_inner());
                    assert_eq!(shared.0, shared.1);
                    yield_now();
                    assert_eq!(shared.0, shared.1);
                }
                let _permit = permits.acquire();
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                struct Leave<'a>(&'a AtomicUsize);
                impl Drop for Leave<'_> {
                    fn drop(&mut self) {
                        self.0.fetch_sub(1, Ordering::SeqCst);
                    }
                }
                let _leave = Leave(&inside);
                yield_now();
            }
        }));
    }
    let killed = soak.rng.below(users);
    yield_now();
    if soak.rng.one_in(2) {
        all[killed].kill_nowait();
    }
    for greenlet in all {
        if let Err(error) = greenlet.join() {
            assert!(error.is_killed(), "{error}");
        }
    }
    let pair = pair.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    assert_eq!(pair.0, pair.1);
    assert_eq!(inside.load(Ordering::SeqCst), 0);
    // Turns by a condition.
    let ring = Vec::from_iter((0..users).map(|nth| {
        let turn = turn.clone();
        soak.spawn(move || {
            for round in 0..10 {
                let mut now = turn.0.lock().unwrap();
                while *now != round * users + nth {
                    now = turn.1.wait(now).unwrap();
                }
                *now += 1;
                turn.1.notify_all();
            }
        })
    }));
    ring.into_iter()
        .for_each(|greenlet| greenlet.join().unwrap());
    assert_eq!(*turn.0.lock().unwrap(), users * 10);
}

/// Sleeps, limits, and starts at a time: never early, and what is limited is unwound.
fn timers(soak: &mut Soak) {
    let mut all = Vec::new();
    for _ in 0..30 {
        let (length, guard) = (soak.micros(2000), soak.guard());
        let limited = soak.rng.one_in(3);
        all.push(soak.spawn(move || {
            let _guard = guard;
            let began = std::time::Instant::now();
            if limited {
                let outcome = timeout(length, || timeout(HOUR, || sleep(HOUR)));
                assert!(outcome.is_err());
            } else {
                sleep(length);
            }
            assert!(began.elapsed() >= length, "never early");
        }));
    }
    let later = soak.micros(1000);
    all.push(soak.spawn(move || {
        let started = rustlet::spawn_later(later, || ());
        let never = rustlet::spawn_later(HOUR, || ());
        started.join().unwrap();
        never.kill().unwrap();
    }));
    all.into_iter()
        .for_each(|greenlet| greenlet.join().unwrap());
}

/// Sends `bytes` through and back, and looks whether they are the same.
fn echoes<S: Read + Write>(stream: &mut S, bytes: &[u8]) {
    let mut back = vec![0; bytes.len()];
    for (sent, got) in bytes.chunks(4096).zip(back.chunks_mut(4096)) {
        stream.write_all(sent).unwrap();
        stream.read_exact(got).unwrap();
    }
    assert!(back == bytes, "the echo is another");
}

/// Echoes until the end.
fn echo<S: Read + Write>(mut stream: S) {
    let mut buffer = [0; 3000];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(length) => {
                if stream.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
        }
    }
}

/// A server that is killed in the end, and its clients.
fn tcp(soak: &mut Soak) {
    let clients = 1 + soak.rng.below(6);
    let server = soak.spawn(move || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let accepting = spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                drop(spawn(move || echo(stream)));
            }
        });
        (addr, accepting)
    });
    let (addr, accepting) = server.join().unwrap();
    let all = Vec::from_iter((0..clients).map(|_| {
        let (seed, length) = (soak.rng.next(), soak.rng.below(40_000));
        let guard = soak.guard();
        soak.spawn(move || {
            let _guard = guard;
            let mut rng = Rng::new(seed);
            let bytes = Vec::from_iter((0..length).map(|_| rng.next() as u8));
            let mut stream = TcpStream::connect(addr).unwrap();
            stream.set_nodelay(true).unwrap();
            echoes(&mut stream, &bytes);
        })
    }));
    all.into_iter().for_each(|client| client.join().unwrap());
    accepting.kill().unwrap();
}

/// Datagrams on loopback, which may be lost in principle: the limit says when one was.
fn udp(soak: &mut Soak) {
    let rounds = 1 + soak.rng.below(30);
    let seed = soak.rng.next();
    let greenlet = soak.spawn(move || {
        let (one, two) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        let (to_one, to_two) = (one.local_addr().unwrap(), two.local_addr().unwrap());
        let answering = spawn(move || {
            let mut buffer = [0; 2000];
            loop {
                let (length, from) = two.recv_from(&mut buffer).unwrap();
                assert_eq!(from, to_one);
                two.send_to(&buffer[..length], from).unwrap();
            }
        });
        let mut rng = Rng::new(seed);
        one.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        for _ in 0..rounds {
            let bytes = Vec::from_iter((0..rng.below(1200)).map(|_| rng.next() as u8));
            let mut buffer = [0; 2000];
            one.send_to(&bytes, to_two).unwrap();
            let (length, from) = one.recv_from(&mut buffer).unwrap();
            assert_eq!((from, &buffer[..length]), (to_two, &bytes[..]));
        }
        answering.kill().unwrap();
    });
    greenlet.join().unwrap();
}

/// Both ends of a pair, on whatever workers.
fn unix(soak: &mut Soak) {
    let (mut here, there) = UnixStream::pair().unwrap();
    let (seed, length) = (soak.rng.next(), soak.rng.below(60_000));
    let guard = soak.guard();
    let echoing = soak.spawn(move || {
        let _guard = guard;
        echo(there);
    });
    let sending = soak.spawn(move || {
        let mut rng = Rng::new(seed);
        let bytes = Vec::from_iter((0..length).map(|_| rng.next() as u8));
        echoes(&mut here, &bytes);
    });
    sending.join().unwrap();
    echoing.join().unwrap(); // the other end is gone
}

/// Work on the pool for blocking work, some of it abandoned, some of it panicking.
fn unblock(soak: &mut Soak) {
    let all = Vec::from_iter((0..8).map(|n| {
        let (length, guard) = (soak.micros(500), soak.guard());
        soak.spawn(move || {
            rustlet::unblock(move || {
                let _guard = guard;
                std::thread::sleep(length);
                assert!(n != 3, "{ON_PURPOSE}");
                n * n
            })
        })
    }));
    if soak.rng.one_in(2) {
        all[5].kill_nowait();
    }
    for (n, greenlet) in all.into_iter().enumerate() {
        match greenlet.join() {
            Ok(square) => assert_eq!(square, n * n),
            Err(error) if n == 3 => assert!(error.is_panic(), "{error}"),
            Err(error) => assert!(n == 5 && error.is_killed(), "{n}: {error}"),
        }
    }
    // The job of the killed one runs to its end, alone.
    while soak.drops.get() < soak.made {
        sleep(Duration::from_micros(100));
    }
}

/// Futures that wait for timers, each other and greenlets; some cancelled.
fn futures(soak: &mut Soak) {
    let count = 1 + soak.rng.below(100);
    let (tx, rx) = mpmc::unbounded();
    let all = Vec::from_iter((0..count).map(|n| {
        let (length, guard, tx) = (soak.micros(300), soak.guard(), tx.clone());
        soak.handle.spawn_future(async move {
            let _guard = guard;
            match n % 4 {
                0 => Sleep::new(length).await,
                1 => spawn_future(async { yield_now() }).await.unwrap(),
                2 => spawn(yield_now).await.unwrap(),
                _ => sleep(length), // blocks its poll alone
            }
            tx.send(n).unwrap();
            n
        })
    }));
    drop(tx);
    let guard = soak.guard();
    let cancelled = soak.handle.spawn_future(async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    let sum: usize = all.into_iter().map(|future| future.join().unwrap()).sum();
    assert_eq!(sum, count * (count - 1) / 2);
    assert_eq!(rx.iter().count(), count);
    cancelled.cancel();
    while soak.drops.get() < soak.made {
        sleep(Duration::from_micros(100));
    }
}

/// Greenlets that wait in all kinds of places, killed at random times.
fn kills(soak: &mut Soak) {
    let (tx, rx) = mpmc::bounded::<u8>(1);
    let lock = Arc::new(Mutex::new(()));
    let mut all = Vec::new();
    for _ in 0..40 {
        let (guard, kind) = (soak.guard(), soak.rng.below(7));
        let (tx, rx, lock) = (tx.clone(), rx.clone(), lock.clone());
        all.push(soak.spawn(move || {
            let _guard = guard;
            loop {
                match kind {
                    0 => sleep(HOUR),
                    1 => drop(rx.recv()),
                    2 => drop(tx.send(1)),
                    3 => drop(rustlet::park()),
                    4 => {
                        let _lock = lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                        sleep(HOUR);
                    }
                    5 => drop(spawn(|| sleep(Duration::from_micros(50))).join()),
                    _ => yield_now(),
                }
            }
        }));
    }
    let pause = soak.micros(500);
    sleep(pause);
    if soak.rng.one_in(2) {
        all.iter().for_each(Greenlet::kill_nowait);
    } else {
        rustlet::killall(all.iter()).unwrap();
    }
    for greenlet in all {
        let error = greenlet
            .join()
            .map(|never: std::convert::Infallible| never)
            .unwrap_err();
        assert!(error.is_killed(), "{error}");
    }
}

/// Children that borrow, on any worker; the scope ends in one of the ways there are.
fn scopes(soak: &mut Soak) {
    let (children, end) = (1 + soak.rng.below(30), soak.rng.below(4));
    let guards = Vec::from_iter((0..children).map(|_| soak.guard()));
    let greenlet = soak.spawn(move || {
        let ended = AtomicUsize::new(0);
        struct Ends<'a>(&'a AtomicUsize, #[allow(dead_code)] OnDrop);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let run = || {
            scope(|s| {
                for (n, guard) in guards.into_iter().enumerate() {
                    let ends = Ends(&ended, guard);
                    s.spawn(move || {
                        let _ends = ends;
                        match end {
                            0 => yield_now(),
                            1 if n == children / 2 => panic!("{ON_PURPOSE}"),
                            _ => sleep(HOUR),
                        }
                    });
                }
            });
        };
        match end {
            0 => run(),
            1 => assert!(catch_unwind(AssertUnwindSafe(run)).is_err()),
            2 => assert!(timeout(Duration::from_micros(300), run).is_err()),
            _ => assert!(timeout(Duration::from_micros(100), || timeout(HOUR, run)).is_err()),
        }
        assert_eq!(
            ended.load(Ordering::SeqCst),
            children,
            "all have ended when the scope has"
        );
    });
    greenlet.join().unwrap();
    let items = soak.rng.below(50);
    let doubled = soak.spawn(move || Pool::new(4).map(0..items, |n| n * 2));
    assert_eq!(
        doubled.join().unwrap(),
        Vec::from_iter((0..items).map(|n| n * 2))
    );
}

/// Panics come out of joins and links, and end nothing else.
fn panics(soak: &mut Soak) {
    let told = Counter::default();
    let mut all = Vec::new();
    for n in 0..20 {
        let guard = soak.guard();
        let greenlet = soak.spawn(move || {
            let _guard = guard;
            if n % 3 == 0 {
                yield_now();
            }
            assert!(n % 4 != 0, "{ON_PURPOSE} {n}");
            n
        });
        let told = told.clone();
        greenlet.link_error(move |ended| {
            assert!(ended.is_panic());
            told.add();
        });
        all.push(greenlet);
    }
    for (n, greenlet) in all.into_iter().enumerate() {
        match greenlet.join() {
            Ok(value) => assert_eq!(value, n),
            Err(error) => assert!(
                n % 4 == 0 && error.to_string().ends_with(&format!("{ON_PURPOSE} {n}")),
                "{error}"
            ),
        }
    }
    while told.get() < 5 {
        sleep(Duration::from_micros(50));
    }
}

/// A process now and then: the rest of the time goes to the others.
fn processes(soak: &mut Soak) {
    let text = format!("{:x}", soak.rng.next());
    let arg = text.clone();
    let output = soak.spawn(move || {
        rustlet::process::Command::new("echo")
            .arg(arg)
            .output()
            .unwrap()
    });
    assert_eq!(
        String::from_utf8(output.join().unwrap().stdout)
            .unwrap()
            .trim(),
        text
    );
    sleep(Duration::from_millis(30));
}
