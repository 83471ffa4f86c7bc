//! Rings of greenlets that wait for each other while timers live on: found, reported once, and
//! nothing else is.

mod support;

use std::sync::{Arc, Barrier, Mutex as StdMutex, mpsc};
use std::thread;
use std::time::Duration;

use rustlet::inspect::{self, Cycle};
use rustlet::sync::{Mutex, Semaphore};
use rustlet::{Builder, Greenlet, sleep, spawn, spawn_local, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

/// Greenlets 0..n, each with mutex number i, waiting for that of the next.
fn ring(n: usize) -> Vec<Greenlet<()>> {
    let forks: Arc<Vec<_>> = Arc::new((0..n).map(|_| Mutex::new(())).collect());
    let greenlets = (0..n)
        .map(|i| {
            let forks = forks.clone();
            Builder::new()
                .name(format!("philosopher {i}"))
                .spawn(move || {
                    let _left = forks[i].lock().unwrap();
                    yield_now();
                    let _right = forks[(i + 1) % n].lock().unwrap();
                })
                .unwrap()
        })
        .collect();
    yield_now();
    yield_now();
    greenlets
}

/// The cycles in which one of `greenlets` takes part: other tests of this process have cycles too.
fn deadlocks_of(greenlets: &[Greenlet<()>]) -> Vec<Cycle> {
    let mut all = inspect::deadlocks();
    all.retain(|cycle| {
        cycle
            .members()
            .iter()
            .any(|member| greenlets.iter().any(|g| g.id() == member.id()))
    });
    all
}

fn names(cycle: &Cycle) -> Vec<&str> {
    let mut names: Vec<_> = cycle.members().iter().filter_map(|m| m.name()).collect();
    names.sort_unstable();
    names
}

#[test]
fn locks() {
    let _watchdog = support::watchdog();
    let greenlets = ring(3);
    let found = deadlocks_of(&greenlets);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].is_certain());
    assert_eq!(
        names(&found[0]),
        ["philosopher 0", "philosopher 1", "philosopher 2"]
    );
    // Each waits for the next.
    let members = found[0].members();
    let number = |index: usize| members[index % 3].name().unwrap().as_bytes()[12];
    for index in 0..3 {
        assert_eq!((number(index) - b'0' + 1) % 3, number(index + 1) - b'0');
    }
    assert!(members.iter().all(|member| member.waits_for() == "a mutex"));
    for greenlet in &greenlets {
        greenlet.kill().unwrap();
    }
    assert!(deadlocks_of(&greenlets).is_empty());
}

#[test]
fn a_lock_taken_twice() {
    let _watchdog = support::watchdog();
    let twice = spawn(|| {
        let mutex = Mutex::new(());
        let _first = mutex.lock();
        let _second = mutex.lock();
    });
    yield_now();
    let found = deadlocks_of(core::slice::from_ref(&twice));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].members().len(), 1);
    twice.kill().unwrap();
}

#[test]
fn a_lock_and_a_join() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(()));
    let parent = spawn({
        let mutex = mutex.clone();
        move || {
            let _guard = mutex.lock().unwrap();
            let child = spawn({
                let mutex = mutex.clone();
                move || drop(mutex.lock())
            });
            child.join().unwrap();
        }
    });
    (0..3).for_each(|_| yield_now());
    let found = deadlocks_of(core::slice::from_ref(&parent));
    assert_eq!(found.len(), 1, "{found:?}");
    let text = found[0].to_string();
    assert!(text.starts_with("deadlock: "), "{text}");
    assert!(text.contains("for a mutex"), "{text}");
    assert!(text.contains("the end of greenlet #"), "{text}");
    parent.kill().unwrap();
}

#[test]
fn waits_that_are_no_ring() {
    let _watchdog = support::watchdog();
    let mutex = Arc::new(Mutex::new(()));
    let holder = spawn({
        let mutex = mutex.clone();
        move || {
            let _guard = mutex.lock();
            sleep(HOUR);
        }
    });
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let mutex = mutex.clone();
            spawn(move || drop(mutex.lock()))
        })
        .collect();
    yield_now();
    assert!(deadlocks_of(&waiters).is_empty());
    holder.kill().unwrap();
    waiters.into_iter().for_each(|w| w.join().unwrap());
}

#[test]
fn permits_are_a_probable_deadlock() {
    let _watchdog = support::watchdog();
    let (one, other) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
    let greenlets: Vec<_> = [(one.clone(), other.clone()), (other, one)]
        .into_iter()
        .map(|(first, second)| {
            spawn(move || {
                let _first = first.acquire();
                yield_now();
                let _second = second.acquire();
            })
        })
        .collect();
    yield_now();
    yield_now();
    let found = deadlocks_of(&greenlets);
    assert_eq!(found.len(), 1);
    assert!(!found[0].is_certain());
    assert!(found[0].to_string().starts_with("probable deadlock: "));
    greenlets.iter().for_each(|g| g.kill().unwrap());
}

/// The hook is called from the hub, once for a cycle, though the thread's timers go on.
#[test]
fn the_hook_hears_of_a_cycle_once() {
    if !support::is_child() {
        return support::child("the_hook_hears_of_a_cycle_once")
            .run()
            .assert_passed();
    }
    let heard = Arc::new(StdMutex::new(Vec::new()));
    inspect::set_deadlock_hook(Some(Box::new({
        let heard = heard.clone();
        move |cycle| heard.lock().unwrap().push(cycle.to_string())
    })));
    let _greenlets = ring(2);
    let ticker = spawn_local(|| {
        for _ in 0..70 {
            sleep(Duration::from_millis(50));
        }
    });
    ticker.join().unwrap();
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("greenlet 'philosopher 0'"), "{heard:?}");
}

/// Two threads, each with a greenlet that holds what the other's waits for.
#[test]
fn a_ring_over_two_threads() {
    let _watchdog = support::watchdog();
    let locks = Arc::new([Mutex::new(()), Mutex::new(())]);
    let (ready, both) = mpsc::channel();
    let (go, end) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (found_by, found) = mpsc::channel();
    let threads: Vec<_> = (0..2)
        .map(|n: usize| {
            let (locks, ready, found_by) = (locks.clone(), ready.clone(), found_by.clone());
            let (go, end) = (go.clone(), end.clone());
            thread::spawn(move || {
                let philosopher = spawn(move || {
                    let _left = locks[n].lock().unwrap();
                    ready.send(()).unwrap();
                    go.wait();
                    let _right = locks[1 - n].lock().unwrap();
                });
                // Until the ring is found, and both have looked once after that.
                for _ in 0..400 {
                    sleep(Duration::from_millis(50));
                    let cycles = deadlocks_of(core::slice::from_ref(&philosopher));
                    if !cycles.is_empty() {
                        found_by.send(cycles[0].members().len()).unwrap();
                        break;
                    }
                }
                end.wait();
                philosopher.kill().unwrap();
            })
        })
        .collect();
    both.recv().unwrap();
    both.recv().unwrap();
    drop(found_by);
    let found: Vec<usize> = found.iter().collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(found, [2, 2]);
}
