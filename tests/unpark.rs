//! Park and unpark: the token, wake-ups from other threads, and that waiting costs nothing.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustlet::net::TcpListener;
use rustlet::{park, sleep, spawn, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_unpark_before_the_park_is_not_lost() {
    let _watchdog = support::watchdog();
    rustlet::current().unpark();
    park().unwrap();
    spawn(|| {
        rustlet::current().unpark();
        park().unwrap();
    })
    .join()
    .unwrap();
    let running = spawn(|| {
        yield_now();
        park().unwrap();
    });
    yield_now();
    running.handle().unpark(); // in the run queue
    running.join().unwrap();
}

#[test]
fn nor_one_before_the_first_run() {
    let _watchdog = support::watchdog();
    let fresh = spawn(|| park().unwrap());
    fresh.handle().unpark();
    fresh.join().unwrap();

    let fresh = spawn(|| park().unwrap());
    let handle = fresh.handle();
    thread::spawn(move || handle.unpark()).join().unwrap();
    fresh.join().unwrap();

    let later = rustlet::spawn_later(Duration::from_millis(1), || park().unwrap());
    later.handle().unpark();
    later.join().unwrap();
}

#[test]
fn many_unparks_are_one_token() {
    let _watchdog = support::watchdog();
    let passed = Counter::default();
    let also = passed.clone();
    let greenlet = spawn(move || {
        for _ in 0..3 {
            park().unwrap();
            also.add();
        }
    });
    for _ in 0..3 {
        greenlet.handle().unpark();
    }
    for _ in 0..5 {
        yield_now();
    }
    assert_eq!(passed.get(), 1);
    for _ in 0..3 {
        greenlet.handle().unpark();
    }
    for _ in 0..5 {
        yield_now();
    }
    assert_eq!(passed.get(), 2);
    greenlet.handle().unpark();
    greenlet.join().unwrap();
}

#[test]
fn unparking_what_has_ended_does_nothing() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| ());
    let handle = greenlet.handle();
    greenlet.join().unwrap();
    handle.unpark();
    let also = handle.clone();
    thread::spawn(move || also.unpark()).join().unwrap();
    let foreign = thread::spawn(rustlet::current).join().unwrap();
    foreign.unpark();
    sleep(Duration::from_millis(1));
}

/// Another thread wakes a greenlet and waits until it has noticed, over and over: were one wake-up
/// lost, this would hang.
#[test]
fn a_hundred_thousand_wake_ups_from_another_thread() {
    let _watchdog = support::watchdog_of(Duration::from_secs(120));
    let rounds = 100_000 / u64::from(support::slowdown());
    let (asked, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (question, answer) = (asked.clone(), seen.clone());
    let greenlet = spawn(move || {
        let mut last = 0;
        while last < rounds {
            while question.load(Ordering::Acquire) == last {
                park().unwrap();
            }
            last += 1;
            answer.store(last, Ordering::Release);
        }
    });
    let handle = greenlet.handle();
    let waker = thread::spawn(move || {
        for round in 1..=rounds {
            asked.store(round, Ordering::Release);
            handle.unpark();
            while seen.load(Ordering::Acquire) != round {
                thread::yield_now();
            }
        }
    });
    greenlet.join().unwrap();
    waker.join().unwrap();
}

/// Wake-ups in a burst, of many greenlets, from several threads, while the hub falls asleep and
/// wakes up.
#[test]
fn wake_ups_from_several_threads_reach_every_greenlet() {
    let _watchdog = support::watchdog_of(Duration::from_secs(120));
    const GREENLETS: usize = 50;
    let rounds = 500 / support::slowdown() as usize;
    let counts = Arc::new([(); GREENLETS].map(|()| AtomicU64::new(0)));
    let greenlets = Vec::from_iter((0..GREENLETS).map(|n| {
        let counts = counts.clone();
        spawn(move || {
            let mut left = 3 * rounds as u64;
            while left > 0 {
                match counts[n].swap(0, Ordering::AcqRel) {
                    0 => park().unwrap(),
                    some => left -= some,
                }
            }
        })
    }));
    let handles = Vec::from_iter(greenlets.iter().map(|greenlet| greenlet.handle()));
    let wakers = [(); 3].map(|()| {
        let (counts, handles) = (counts.clone(), handles.clone());
        thread::spawn(move || {
            for _ in 0..rounds {
                for (handle, count) in handles.iter().zip(counts.iter()) {
                    count.fetch_add(1, Ordering::AcqRel);
                    handle.unpark();
                }
            }
        })
    });
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    for waker in wakers {
        waker.join().unwrap();
    }
}

#[test]
fn the_threads_own_code_parks_too() {
    let _watchdog = support::watchdog();
    let main = rustlet::current();
    let seen = Counter::default();
    let also = seen.clone();
    let waker = thread::spawn(move || {
        for _ in 0..1000 {
            also.add();
            main.unpark();
        }
    });
    while seen.get() < 1000 {
        park().unwrap();
    }
    waker.join().unwrap();
}

#[test]
fn waiting_costs_nothing() {
    if !support::is_child() {
        return support::child("waiting_costs_nothing")
            .run()
            .assert_passed();
    }
    let parked = Vec::from_iter((0..1000).map(|_| spawn(|| park().unwrap())));
    let sleepers = Vec::from_iter((0..100).map(|_| spawn(|| sleep(HOUR))));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let acceptor = spawn(move || drop(listener.accept()));
    yield_now(); // all of them run, and wait

    let (before, cpu) = (rustlet::stats(), support::process_cpu_time());
    sleep(Duration::from_millis(300));
    let (after, used) = (rustlet::stats(), support::process_cpu_time() - cpu);
    // A wheel may stop at the border of a level or two on its way to a far deadline.
    let polls = after.polls - before.polls;
    assert!(polls <= 10, "{polls} polls in 300 ms of waiting");
    assert!(
        after.switches - before.switches <= 2,
        "{before:?} {after:?}"
    );
    // Whole milliseconds would mean a tick; page faults and the like cost some microseconds.
    let limit = Duration::from_millis(20) * support::slowdown();
    assert!(
        used < limit,
        "{used:?} of processor time in 300 ms of waiting"
    );

    for greenlet in parked.into_iter().chain(sleepers).chain([acceptor]) {
        greenlet.kill().unwrap();
    }
}
