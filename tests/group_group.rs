//! `Group`: members enter, leave at their end, are joined and killed together. After gevent's
//! `test__greenletset.py`.

mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustlet::{Group, Killed, park, sleep, spawn, spawn_local, timeout, yield_now};
use support::{Counter, watchdog};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

#[test]
fn join_waits_for_all_and_handles_give_values() {
    let _watchdog = watchdog();
    let group = Group::new();
    let greenlets: Vec<_> = (0..10)
        .map(|n| {
            group.spawn(move || {
                (0..n).for_each(|_| yield_now());
                n
            })
        })
        .collect();
    assert_eq!(group.len(), 10);
    assert!(!group.join_timeout(Duration::ZERO));
    group.join();
    assert!(group.is_empty());
    assert!(greenlets.iter().all(|greenlet| greenlet.is_finished()));
    let values: Vec<i32> = greenlets
        .into_iter()
        .map(|greenlet| greenlet.join().unwrap())
        .collect();
    assert_eq!(values, Vec::from_iter(0..10));
    group.join(); // an empty group is no wait
}

#[test]
fn join_timeout_says_whether_it_was_empty() {
    let _watchdog = watchdog();
    let group = Group::new();
    group.spawn(|| sleep(HOUR));
    assert!(!group.join_timeout(MOMENT));
    assert!(timeout(MOMENT, || group.join()).is_err());
    assert_eq!(group.len(), 1);
    group.kill();
    assert!(group.join_timeout(Duration::ZERO));
}

#[test]
fn join_means_that_it_was_empty_once() {
    let _watchdog = watchdog();
    let group = Arc::new(Group::new());
    group.spawn(|| ());
    let joiner = {
        let group = group.clone();
        spawn(move || {
            group.join();
            group.len()
        })
    };
    let refiller = {
        let group = group.clone();
        spawn(move || {
            // The group has emptied by now, and the joiner has yet to run again.
            yield_now();
            group.spawn(|| sleep(HOUR));
        })
    };
    yield_now();
    refiller.join().unwrap();
    joiner.join().unwrap();
    assert_eq!(group.len(), 1);
    group.kill();
}

#[test]
fn members_leave_however_they_end() {
    let _watchdog = watchdog();
    let group = Group::new();
    let panics = group.spawn(|| panic!("on purpose"));
    let killed = group.spawn(|| sleep(HOUR));
    let unstarted = group.spawn(|| unreachable!("never runs"));
    let thrown = group.spawn(|| sleep(HOUR));
    unstarted.kill_nowait();
    assert_eq!(group.len(), 4);
    yield_now();
    assert_eq!(group.len(), 2);
    killed.kill_nowait();
    thrown.throw(1);
    yield_now();
    assert_eq!(group.len(), 0);
    assert!(panics.join().unwrap_err().is_panic());
    assert!(unstarted.join().unwrap_err().is_killed());
}

#[test]
fn kill_waits_until_all_have_ended() {
    let _watchdog = watchdog();
    let group = Group::new();
    let cleaned = Counter::default();
    for _ in 0..3 {
        let cleaned = cleaned.clone();
        group.spawn(move || {
            let caught = catch_unwind(|| sleep(HOUR)).unwrap_err();
            assert!(caught.is::<Killed>());
            cleaned.add();
        });
    }
    group.spawn(|| unreachable!("never runs")).kill_nowait();
    yield_now();
    group.kill();
    assert_eq!((group.len(), cleaned.get()), (0, 3));
    group.kill();
}

#[test]
fn kill_nowait_only_tells() {
    let _watchdog = watchdog();
    let group = Group::new();
    let member = group.spawn(|| sleep(HOUR));
    yield_now();
    group.kill_nowait();
    assert_eq!((group.len(), member.is_finished()), (1, false));
    group.join();
    assert!(member.join().unwrap_err().is_killed());
}

#[test]
fn kill_reaches_those_who_come_meanwhile() {
    let _watchdog = watchdog();
    let group = Arc::new(Group::new());
    let started = Rc::new(Cell::new(0));
    let (again, count) = (group.clone(), started.clone());
    group.spawn_local(move || {
        let _ = catch_unwind(|| sleep(HOUR));
        for _ in 0..3 {
            let count = count.clone();
            again.spawn_local(move || count.set(count.get() + 1));
        }
    });
    yield_now();
    group.kill();
    assert_eq!((group.len(), started.get()), (0, 0));
    // Afterwards the group is as good as new.
    assert_eq!(group.spawn(|| 1).join().unwrap(), 1);
}

#[test]
fn kill_fires_once() {
    let _watchdog = watchdog();
    let group = Arc::new(Group::new());
    let caught = Rc::new(Cell::new(0));
    let count = caught.clone();
    let member = group.spawn_local(move || {
        let unwound = catch_unwind(|| sleep(HOUR));
        assert!(unwound.unwrap_err().is::<Killed>());
        count.set(count.get() + 1);
    });
    yield_now();
    let killers: Vec<_> = (0..3)
        .map(|_| {
            let group = group.clone();
            spawn(move || group.kill())
        })
        .collect();
    killers
        .into_iter()
        .for_each(|killer| killer.join().unwrap());
    member.join().unwrap();
    assert_eq!(caught.get(), 1);
}

#[test]
fn kill_timeout_gives_up_on_who_refuses() {
    let _watchdog = watchdog();
    let group = Group::new();
    let refuses = Rc::new(Cell::new(true));
    let still = refuses.clone();
    group.spawn_local(move || {
        while still.get() {
            let _ = catch_unwind(|| sleep(HOUR));
        }
    });
    yield_now();
    assert!(!group.kill_timeout(MOMENT));
    assert_eq!(group.len(), 1);
    refuses.set(false);
    assert!(group.kill_timeout(HOUR));
}

#[test]
fn a_member_that_kills_its_group_dies_last() {
    let _watchdog = watchdog();
    let group = Arc::new(Group::new());
    let other = group.spawn(|| sleep(HOUR));
    let own = group.clone();
    let member = group.spawn(move || {
        own.kill();
        unreachable!("killed");
    });
    group.join();
    assert!(other.join().unwrap_err().is_killed());
    assert!(member.join().unwrap_err().is_killed());
}

#[test]
fn add_makes_a_member_of_any_greenlet() {
    let _watchdog = watchdog();
    let group = Group::new();
    let running = spawn(|| park().unwrap());
    yield_now();
    let unstarted = spawn(|| sleep(HOUR));
    let ended = spawn(|| ());
    assert!(group.add(&unstarted));
    ended.wait().unwrap();
    assert!(!group.add(&ended));
    assert!(group.add(&running));
    assert!(!group.add(&running)); // is one
    assert_eq!(group.len(), 2);
    assert!(group.contains(&running) && !group.contains(&ended));
    running.handle().unpark();
    running.wait().unwrap();
    assert_eq!(group.len(), 1);
    let ids: Vec<u64> = group.into_iter().map(|handle| handle.id()).collect();
    assert_eq!(ids, [unstarted.id()]);
    group.kill();
    assert!(unstarted.join().unwrap_err().is_killed());
}

#[test]
fn discarded_members_go_on() {
    let _watchdog = watchdog();
    let group = Group::new();
    let first = group.spawn(|| park().is_ok());
    let second = group.spawn(|| 2);
    assert!(group.discard(&first));
    assert!(!group.discard(&first));
    assert_eq!(group.len(), 1);
    group.join();
    // Its place is still its own: those who come now are not affected by its end.
    let [third, fourth] = [(); 2].map(|()| group.spawn(|| sleep(HOUR)));
    assert!(!first.is_finished());
    first.handle().unpark();
    assert!(first.join().unwrap());
    assert_eq!(group.len(), 2);
    assert!(group.contains(&third) && group.contains(&fourth));
    assert_eq!(second.join().unwrap(), 2);
    group.kill();
}

#[test]
fn discarding_the_last_wakes_those_who_join() {
    let _watchdog = watchdog();
    let group = Arc::new(Group::new());
    let member = group.spawn(|| sleep(HOUR));
    let joiner = {
        let group = group.clone();
        spawn(move || group.join())
    };
    yield_now();
    group.discard(&member);
    joiner.join().unwrap();
    member.kill().unwrap();
}

#[test]
fn handles_are_in_order_of_arrival() {
    let _watchdog = watchdog();
    let group = Group::new();
    let greenlets: Vec<_> = (0..5).map(|_| group.spawn(|| sleep(HOUR))).collect();
    greenlets[1].kill().unwrap();
    let late = group.spawn(|| sleep(HOUR));
    let ids: Vec<u64> = group.handles().iter().map(|handle| handle.id()).collect();
    let expected = [
        &greenlets[0],
        &greenlets[2],
        &greenlets[3],
        &greenlets[4],
        &late,
    ];
    assert_eq!(ids, expected.map(|greenlet| greenlet.id()));
    group.kill();
}

#[test]
fn dropping_a_group_detaches() {
    let _watchdog = watchdog();
    let group = Group::new();
    let member = group.spawn(|| {
        yield_now();
        7
    });
    drop(group);
    assert_eq!(member.join().unwrap(), 7);
}

#[test]
fn killed_joiners_leave_nothing_behind() {
    let _watchdog = watchdog();
    let group = Arc::new(Group::new());
    let member = group.spawn_local(|| park().unwrap());
    let joiners: Vec<_> = (0..4)
        .map(|_| {
            let group = group.clone();
            spawn_local(move || group.join())
        })
        .collect();
    yield_now();
    joiners[0].kill().unwrap();
    joiners[2].kill().unwrap();
    member.handle().unpark();
    let ends: Vec<bool> = joiners
        .into_iter()
        .map(|joiner| joiner.join().is_ok())
        .collect();
    assert_eq!(ends, [false, true, false, true]);
}

#[test]
fn members_of_several_threads() {
    let _watchdog = watchdog();
    let group = Group::new();
    let spawned = std::sync::Barrier::new(3);
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                for _ in 0..100 {
                    group.spawn(yield_now);
                }
                group.spawn(|| sleep(HOUR));
                spawned.wait();
                group.join();
            });
        }
        threads.spawn(|| {
            spawned.wait();
            while group.len() != 2 {
                std::thread::yield_now();
                group.join_timeout(Duration::from_millis(1));
            }
            group.kill();
        });
    });
    assert!(group.is_empty());
}

#[test]
fn waiting_while_unwinding_is_refused() {
    let _watchdog = watchdog();
    struct Joins(Rc<Cell<bool>>);
    impl Drop for Joins {
        fn drop(&mut self) {
            let group = Group::new();
            group.spawn(|| ());
            let refused = catch_unwind(AssertUnwindSafe(|| group.join())).unwrap_err();
            let text = refused.downcast_ref::<String>().unwrap();
            self.0
                .set(text.contains("runs because of a panic or a kill"));
        }
    }
    let refused = Rc::new(Cell::new(false));
    let joins = Joins(refused.clone());
    let victim = spawn_local(move || {
        let _joins = joins;
        sleep(HOUR);
    });
    yield_now();
    victim.kill().unwrap();
    assert!(refused.get());
}
