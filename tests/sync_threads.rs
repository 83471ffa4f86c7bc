//! Locks under several OS threads with several greenlets each, some of which are killed, from any thread, or
//! interrupted: exclusion holds throughout, and at the end everything is free and nobody was forgotten.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustlet::sync::{Barrier, Event, Mutex, PoisonError, ReentrantMutex, RwLock, Semaphore};
use rustlet::{Greenlet, Handle, spawn, timeout, yield_now};

const THREADS: usize = 3;
const GREENLETS: usize = 4;

/// xorshift64*.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }

    fn fork(&mut self) -> Self {
        Random(self.next(u64::MAX) | 1)
    }
}

/// Runs `round` again and again on all greenlets of all threads, each `rounds` times, while greenlets that do the
/// same are started and killed.
fn stress(rounds: usize, round: impl Fn(&mut Random) + Send + Sync + 'static) {
    let _watchdog = support::watchdog_of(Duration::from_secs(180));
    let mut random = Random(support::seed() | 1);
    let round = Arc::new(round);
    let rounds = rounds / support::slowdown() as usize;
    // Greenlets of any thread that may be killed by any other.
    let doomed: Arc<std::sync::Mutex<Vec<Handle>>> = Arc::default();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (round, doomed, mut random) = (round.clone(), doomed.clone(), random.fork());
            std::thread::spawn(move || {
                let start = |mut random: Random, rounds: usize| -> Greenlet<()> {
                    let round = round.clone();
                    spawn(move || (0..rounds).for_each(|_| round(&mut random)))
                };
                let mut joined: Vec<_> = (0..GREENLETS)
                    .map(|_| start(random.fork(), rounds))
                    .collect();
                while let Some(greenlet) = joined.pop() {
                    // Whoever runs on this thread meets one that may die at any moment.
                    let victim = start(random.fork(), usize::MAX);
                    doomed.lock().unwrap().push(victim.handle());
                    for _ in 0..random.next(20) {
                        yield_now();
                    }
                    let all = std::mem::take(&mut *doomed.lock().unwrap());
                    all.iter().for_each(Handle::kill);
                    if let Err(greenlet) = greenlet.join_timeout(Duration::from_micros(200)) {
                        joined.insert(0, greenlet);
                    }
                    assert!(victim.join().unwrap_err().is_killed());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Two numbers that whoever has the lock finds equal. Read and written as if nobody else could.
#[derive(Default)]
struct Unprotected(AtomicU64, AtomicU64);

impl Unprotected {
    fn write(&self, suspends: bool) {
        self.read();
        let next = self.0.load(Ordering::Relaxed) + 1;
        self.0.store(next, Ordering::Relaxed);
        // A kill here would leave the two different.
        let caught = std::panic::catch_unwind(|| {
            if suspends {
                yield_now()
            }
        });
        assert_eq!(self.0.load(Ordering::Relaxed), next);
        self.1.store(next, Ordering::Relaxed);
        caught.unwrap_or_else(|kill| std::panic::resume_unwind(kill));
    }

    fn read(&self) {
        assert_eq!(
            self.0.load(Ordering::Relaxed),
            self.1.load(Ordering::Relaxed)
        );
    }
}

/// Locks in one of several ways; `None` if it was not to be had.
fn some_way<G>(
    random: &mut Random,
    lock: impl Fn() -> G,
    attempt: impl Fn() -> Option<G>,
    limited: impl Fn(Duration) -> Option<G>,
) -> Option<G> {
    let limit = Duration::from_micros(random.next(300));
    match random.next(8) {
        0 => attempt(),
        1 => limited(limit),
        2 => timeout(limit, lock).ok(),
        _ => Some(lock()),
    }
}

#[test]
fn mutex() {
    let value = Arc::new((Mutex::new(()), Unprotected::default()));
    let theirs = value.clone();
    stress(1_000, move |random| {
        let (mutex, value) = &*theirs;
        let guard = some_way(
            random,
            || mutex.lock().unwrap(),
            || mutex.try_lock().ok(),
            |limit| mutex.lock_timeout(limit).ok(),
        );
        if let Some(_guard) = guard {
            value.write(random.next(4) == 0);
        } else {
            yield_now();
        }
    });
    assert!(value.0.try_lock().is_ok());
}

#[test]
fn reentrant_mutex() {
    let value = Arc::new((ReentrantMutex::new(()), Unprotected::default()));
    let theirs = value.clone();
    stress(1_000, move |random| {
        let (mutex, value) = &*theirs;
        let guard = some_way(
            random,
            || mutex.lock(),
            || mutex.try_lock(),
            |limit| mutex.lock_timeout(limit),
        );
        if let Some(_guard) = guard {
            let _again = mutex.lock();
            value.write(random.next(4) == 0);
        } else {
            yield_now();
        }
    });
    assert!(value.0.try_lock().is_some());
}

#[test]
fn rwlock() {
    let value = Arc::new((RwLock::new(()), Unprotected::default()));
    let theirs = value.clone();
    stress(700, move |random| {
        let (lock, value) = &*theirs;
        if random.next(3) == 0 {
            let guard = some_way(
                random,
                || lock.write().unwrap(),
                || lock.try_write().ok(),
                |limit| lock.write_timeout(limit).ok(),
            );
            if let Some(guard) = guard {
                value.write(random.next(4) == 0);
                if random.next(4) == 0 {
                    let _reader = rustlet::sync::RwLockWriteGuard::downgrade(guard);
                    yield_now();
                    value.read();
                }
            }
        } else {
            let guard = some_way(
                random,
                || lock.read().unwrap(),
                || lock.try_read().ok(),
                |limit| lock.read_timeout(limit).ok(),
            );
            if let Some(_guard) = guard {
                value.read();
                if random.next(4) == 0 {
                    yield_now();
                    value.read();
                }
            }
        }
    });
    assert!(value.0.try_write().is_ok());
}

#[test]
fn semaphore() {
    struct Inside<'a>(&'a AtomicI64);
    impl Drop for Inside<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    const PERMITS: usize = 2;
    let value = Arc::new((Semaphore::new(PERMITS), AtomicI64::new(0)));
    let theirs = value.clone();
    stress(1_000, move |random| {
        let (semaphore, inside) = &*theirs;
        let permit = some_way(
            random,
            || semaphore.acquire(),
            || semaphore.try_acquire(),
            |limit| semaphore.acquire_timeout(limit),
        );
        if let Some(_permit) = permit {
            let before = inside.fetch_add(1, Ordering::SeqCst);
            let _inside = Inside(inside);
            assert!(before < PERMITS as i64);
            if random.next(3) == 0 {
                yield_now();
            }
        } else {
            yield_now();
        }
    });
    assert_eq!(value.0.available_permits(), PERMITS);
}

/// Each thread sets the next one's event: a ball that must not be lost.
#[test]
fn events_in_a_ring() {
    const ROUNDS: usize = 3_000;
    let _watchdog = support::watchdog();
    let events: Arc<Vec<_>> = Arc::new((0..THREADS * 2).map(|_| Event::new()).collect());
    let greenlets = |first: usize| {
        let events = events.clone();
        std::thread::spawn(move || {
            let players: Vec<_> = (first..first + 2)
                .map(|me| {
                    let events = events.clone();
                    spawn(move || {
                        for _ in 0..ROUNDS {
                            events[me].wait();
                            events[me].clear();
                            events[(me + 1) % events.len()].set();
                        }
                    })
                })
                .collect();
            players.into_iter().for_each(|g| g.join().unwrap());
        })
    };
    let threads: Vec<_> = (0..THREADS).map(|thread| greenlets(2 * thread)).collect();
    events[0].set();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert!(events[0].is_set() && events[1..].iter().all(|event| !event.is_set()));
}

/// Set between the waiter's first look and its place in the queue: seen all the same.
#[test]
fn a_set_at_the_moment_of_the_wait_is_not_missed() {
    const ROUNDS: usize = 20_000;
    // Where every round costs a slice of somebody else's, as many as there is time for.
    const OVER: usize = usize::MAX;
    let _watchdog = support::watchdog();
    let end = Instant::now() + Duration::from_secs(15);
    let shared = Arc::new((Event::new(), AtomicUsize::new(0), AtomicUsize::new(0)));
    // So that both threads run when it matters, on processors that are free.
    let meet = |place: &AtomicUsize, round: usize| {
        let mut looks = 0;
        while place.load(Ordering::Acquire) < round {
            looks += 1;
            if looks > 10_000 {
                std::thread::yield_now();
            }
        }
    };
    let theirs = shared.clone();
    let setter = std::thread::spawn(move || {
        for round in 1..=ROUNDS {
            theirs.1.store(round, Ordering::Release);
            meet(&theirs.2, round);
            if theirs.2.load(Ordering::Acquire) == OVER {
                break;
            }
            theirs.0.set();
        }
    });
    for round in 1..=ROUNDS {
        if Instant::now() > end {
            shared.2.store(OVER, Ordering::Release);
            break;
        }
        meet(&shared.1, round);
        shared.2.store(round, Ordering::Release);
        // It takes some hundred nanoseconds until the setter sees that.
        for step in 0..round % 100 {
            std::hint::black_box(step);
        }
        shared.0.wait();
        shared.0.clear();
    }
    setter.join().unwrap();
}

/// A barrier's generations do not overlap, although some who came leave again.
#[test]
fn barrier_with_deserters() {
    const ROUNDS: usize = 300;
    let _watchdog = support::watchdog();
    let (barrier, round) = (
        Arc::new(Barrier::new(THREADS)),
        Arc::new(AtomicUsize::new(0)),
    );
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (barrier, round) = (barrier.clone(), round.clone());
            std::thread::spawn(move || {
                for mine in 0..ROUNDS {
                    let met = loop {
                        let limit = Duration::from_micros(200);
                        if let Some(met) = barrier.wait_timeout(limit) {
                            break met;
                        }
                    };
                    // Everybody has come for this round, and nobody for the one after the next.
                    let now = round.load(Ordering::SeqCst);
                    assert!(now == mine || now == mine + 1, "{now} in round {mine}");
                    if met.is_leader() {
                        assert_eq!(round.fetch_add(1, Ordering::SeqCst), mine);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(round.load(Ordering::SeqCst), ROUNDS);
}

/// A poisoned lock of another thread is seen as such.
#[test]
fn poison_crosses_threads() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(1));
    let theirs = mutex.clone();
    let panicked = std::thread::spawn(move || {
        let _guard = theirs.lock().unwrap();
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    assert!(panicked.join().is_err());
    assert_eq!(*mutex.lock().unwrap_or_else(PoisonError::into_inner), 1);
    assert!(mutex.is_poisoned());
}
