//! Members that end without their code having ended: they got no stack, or their thread ended while they refused
//! to. Groups and pools let them go.

mod support;

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustlet::{Group, Pool, sleep, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

/// Catches every kill.
fn refuse_to_end() {
    loop {
        let _ = catch_unwind(|| sleep(HOUR));
    }
}

#[test]
fn an_abandoned_member_leaves_its_slot() {
    let _watchdog = support::watchdog();
    let pool = Arc::new(Pool::new(1));
    let (started, has_started) = mpsc::channel();
    let there = pool.clone();
    let thread = thread::spawn(move || {
        drop(there.spawn(refuse_to_end));
        yield_now();
        started.send(()).unwrap();
    });
    has_started.recv().unwrap();
    // Waits for the slot, until that thread has ended.
    let after = pool.spawn(|| "after");
    assert_eq!(after.join().unwrap(), "after");
    pool.join();
    assert_eq!((pool.len(), pool.free_count()), (0, 1));
    thread.join().unwrap();
}

#[test]
fn a_group_is_joined_though_a_member_was_abandoned() {
    let _watchdog = support::watchdog();
    let group = Arc::new(Group::new());
    let (started, has_started) = mpsc::channel();
    let there = group.clone();
    let thread = thread::spawn(move || {
        drop(there.spawn(refuse_to_end));
        drop(there.spawn(|| sleep(HOUR)));
        yield_now();
        started.send(()).unwrap();
    });
    has_started.recv().unwrap();
    group.join();
    assert!(group.is_empty());
    thread.join().unwrap();
}
