//! A kill reaches greenlets that keep granting each other what they wait for.
//!
//! A wait that is granted returns its success, and a pending kill is raised at the next suspension. Two killed greenlets
//! that pass items to each other for ever once found each of their waits granted, because each let the other run before it took
//! itself off the list: neither died. Found by the soak.

mod support;

use rustlet::sync::{Semaphore, mpmc};
use rustlet::{Runtime, spawn, yield_now};
use std::sync::Arc;

#[test]
fn a_sender_and_a_receiver_without_end() {
    let _watchdog = support::watchdog();
    for capacity in 0..3 {
        for pause in 0..20 {
            let (tx, rx) = mpmc::bounded::<u8>(capacity);
            let sender = spawn(move || -> () {
                loop {
                    tx.send(1).unwrap();
                }
            });
            let receiver = spawn(move || -> () {
                loop {
                    rx.recv().unwrap();
                }
            });
            (0..pause).for_each(|_| yield_now());
            rustlet::killall([sender.handle(), receiver.handle()]).unwrap();
            // Who goes second may find the other end gone: that is a panic of its own.
            assert!(sender.join().is_err());
            assert!(receiver.join().is_err());
        }
    }
}

#[test]
fn many_that_hold_both_ends() {
    let _watchdog = support::watchdog();
    for senders in [1, 5, 9] {
        let (tx, rx) = mpmc::bounded::<u8>(1);
        let all = Vec::from_iter((0..10).map(|nth| {
            let (tx, rx) = (tx.clone(), rx.clone());
            spawn(move || -> () {
                loop {
                    match nth < senders {
                        true => tx.send(1).unwrap(),
                        false => assert_eq!(rx.recv().unwrap(), 1),
                    }
                }
            })
        }));
        (0..10).for_each(|_| yield_now());
        all.iter().rev().for_each(rustlet::Greenlet::kill_nowait);
        for greenlet in all {
            assert!(greenlet.join().unwrap_err().is_killed());
        }
    }
}

#[test]
fn code_that_catches_each_kill_lets_the_others_run() {
    let _watchdog = support::watchdog();
    let (tx, rx) = mpmc::bounded::<u8>(1);
    let stubborn = spawn(move || {
        let mut caught = 0;
        while caught < 50 {
            caught += usize::from(std::panic::catch_unwind(|| rx.recv().is_ok()).is_err());
        }
        caught
    });
    yield_now();
    stubborn.kill_nowait();
    let mut turns = 0;
    while !stubborn.is_finished() {
        turns += 1;
        yield_now();
    }
    assert!(turns >= 25, "{turns}");
    drop(tx);
}

#[test]
fn those_that_have_caught_a_kill_before() {
    let _watchdog = support::watchdog();
    let (tx, rx) = mpmc::bounded::<u8>(1);
    let all = Vec::from_iter((0..2).map(|nth| {
        let (tx, rx) = (tx.clone(), rx.clone());
        spawn(move || {
            let pass = || -> () {
                loop {
                    match nth {
                        0 => tx.send(1).unwrap(),
                        _ => assert_eq!(rx.recv().unwrap(), 1),
                    }
                }
            };
            for _ in 0..3 {
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(pass));
            }
            pass();
        })
    }));
    (0..10).for_each(|_| yield_now());
    all.iter().for_each(rustlet::Greenlet::kill_nowait);
    for greenlet in all {
        assert!(greenlet.join().unwrap_err().is_killed());
    }
}

#[test]
fn permits_passed_around_on_workers() {
    let _watchdog = support::watchdog();
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for _ in 0..100 {
        let permits = [Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(0))];
        let all = Vec::from_iter((0..4).map(|nth| {
            let (mine, theirs) = (permits[nth % 2].clone(), permits[1 - nth % 2].clone());
            runtime.handle().spawn_on(nth / 2, move || -> () {
                loop {
                    mine.acquire().forget();
                    theirs.release();
                }
            })
        }));
        std::thread::yield_now();
        rustlet::killall(&all).unwrap();
        assert!(
            all.into_iter()
                .all(|greenlet| greenlet.join().unwrap_err().is_killed())
        );
    }
}
