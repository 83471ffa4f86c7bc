//! `Barrier` and `WaitGroup`: meeting, and waiting until all is done.

mod support;

use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use rustlet::sync::{Barrier, BarrierWaitResult, WaitGroup};
use rustlet::{Greenlet, spawn, timeout, yield_now};
use support::Counter;

const MOMENT: Duration = Duration::from_millis(5);
const HOUR: Duration = Duration::from_secs(3600);

fn comes(barrier: &Arc<Barrier>) -> Greenlet<BarrierWaitResult> {
    let barrier = barrier.clone();
    spawn(move || barrier.wait())
}

#[test]
fn all_go_on_when_the_last_one_comes_which_is_the_leader() {
    let _watchdog = support::watchdog();
    let barrier = Arc::new(Barrier::new(4));
    for _ in 0..3 {
        let greenlets: Vec<_> = (0..3).map(|_| comes(&barrier)).collect();
        yield_now();
        assert!(!greenlets.iter().any(Greenlet::is_finished));
        assert!(barrier.wait().is_leader());
        let leaders = greenlets.into_iter().map(|g| g.join().unwrap());
        assert_eq!(leaders.filter(BarrierWaitResult::is_leader).count(), 0);
    }
}

#[test]
fn nobody_waits_at_a_barrier_for_one_or_none() {
    for size in [0, 1] {
        let barrier = Barrier::new(size);
        assert!(barrier.wait().is_leader() && barrier.wait().is_leader());
    }
}

#[test]
fn one_that_is_killed_or_out_of_time_does_not_count() {
    let _watchdog = support::watchdog();
    let barrier = Arc::new(Barrier::new(3));
    let killed = comes(&barrier);
    let waits = comes(&barrier);
    yield_now();
    killed.kill().unwrap();
    assert!(barrier.wait_timeout(MOMENT).is_none());
    assert!(timeout(MOMENT, || barrier.wait()).is_err());
    assert!(!waits.is_finished());
    let third = comes(&barrier);
    yield_now();
    assert!(!third.is_finished());
    assert!(barrier.wait_timeout(HOUR).unwrap().is_leader());
    waits.join().unwrap();
    third.join().unwrap();
}

#[test]
fn greenlets_of_several_hubs_meet() {
    const ROUNDS: usize = 200;
    let _watchdog = support::watchdog();
    let (barrier, leaders) = (Arc::new(Barrier::new(6)), Counter::default());
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (barrier, leaders) = (barrier.clone(), leaders.clone());
            std::thread::spawn(move || {
                let greenlets: Vec<_> = (0..2)
                    .map(|_| {
                        let (barrier, leaders) = (barrier.clone(), leaders.clone());
                        spawn(move || {
                            for round in 0..ROUNDS {
                                if barrier.wait().is_leader() {
                                    assert_eq!(leaders.add(), round);
                                }
                            }
                        })
                    })
                    .collect();
                greenlets.into_iter().for_each(|g| g.join().unwrap());
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(leaders.get(), ROUNDS);
}

#[test]
fn a_group_waits_for_the_last_one() {
    let _watchdog = support::watchdog();
    let group = Arc::new(WaitGroup::new());
    group.wait(); // for nothing
    group.add(2);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let group = group.clone();
            spawn(move || group.wait())
        })
        .collect();
    group.done();
    yield_now();
    assert!(!waiters.iter().any(Greenlet::is_finished));
    assert_eq!(group.count(), 1);
    assert!(!group.wait_timeout(MOMENT));
    assert!(timeout(MOMENT, || group.wait()).is_err());
    group.done();
    group.add(1); // for those who come later
    waiters.into_iter().for_each(|g| g.join().unwrap());
    group.done();
    assert!(group.wait_timeout(MOMENT));
}

#[test]
fn members_are_done_however_they_end() {
    let _watchdog = support::watchdog();
    let group = Arc::new(WaitGroup::with_count(0));
    let ends = |end: fn()| {
        let member = group.member();
        spawn(move || {
            let _member = member;
            end();
        })
    };
    ends(|| ());
    ends(|| resume_unwind(Box::new("on purpose")));
    let killed = ends(|| rustlet::sleep(HOUR));
    let never_started = ends(|| ());
    never_started.kill_nowait();
    yield_now();
    assert_eq!(group.count(), 1);
    killed.kill_nowait();
    group.wait();
    assert_eq!(group.count(), 0);
}

#[test]
fn done_too_often_panics() {
    let group = WaitGroup::with_count(1);
    group.done();
    assert!(catch_unwind(|| group.done()).is_err());
    assert!(catch_unwind(|| (group.add(usize::MAX), group.add(1))).is_err());
    assert_eq!(group.count(), usize::MAX);
}

#[test]
fn a_group_of_several_hubs() {
    let _watchdog = support::watchdog();
    for _ in 0..50 {
        let (group, ran) = (Arc::new(WaitGroup::new()), Counter::default());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let members: Vec<_> = (0..5).map(|_| group.member()).collect();
                let ran = ran.clone();
                std::thread::spawn(move || {
                    let greenlets = members.into_iter().map(|member| {
                        let ran = ran.clone();
                        spawn(move || {
                            yield_now();
                            ran.add();
                            drop(member);
                        })
                    });
                    for greenlet in greenlets.collect::<Vec<_>>() {
                        greenlet.join().unwrap();
                    }
                })
            })
            .collect();
        group.wait();
        assert_eq!(ran.get(), 10);
        threads.into_iter().for_each(|t| t.join().unwrap());
    }
}
