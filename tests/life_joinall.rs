//! Joining, killing and waiting for many: `joinall`, `killall`, `iwait`, `wait`. After gevent's test__joinall,
//! test__iwait, test__issue467 and `TestStuff`.

mod support;

use std::cell::Cell;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustlet::sync::{Barrier, Event};
use rustlet::{
    Greenlet, Handle, Waitable, iwait, joinall, killall, sleep, sleep_until, spawn, wait, yield_now,
};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

/// Ends `millis` after this call, and not after its first run.
fn after(millis: u64) -> Greenlet<u64> {
    let at = Instant::now() + Duration::from_millis(millis);
    spawn(move || {
        sleep_until(at);
        millis
    })
}

#[test]
fn joinall_gives_outcomes_in_the_order_given() {
    let _watchdog = support::watchdog();
    let killed = spawn(|| 0);
    killed.kill_nowait();
    let outcomes = joinall([
        after(20),
        spawn(|| panic!("first")),
        after(0),
        killed,
        spawn(|| panic!("second")),
    ]);
    let text = |n: usize| outcomes[n].as_ref().unwrap_err().to_string();
    assert_eq!(*outcomes[0].as_ref().unwrap(), 20);
    assert!(text(1).ends_with("panicked: first"));
    assert_eq!(*outcomes[2].as_ref().unwrap(), 0);
    assert!(outcomes[3].as_ref().unwrap_err().is_killed());
    assert!(text(4).ends_with("panicked: second"));
    assert!(joinall(Vec::<Greenlet<()>>::new()).is_empty());
}

#[test]
fn joinall_waits_for_all_at_the_same_time() {
    let _watchdog = support::watchdog();
    // Each waits for all the others: one after the other they would not end. An iterator that spawns.
    let meeting = Arc::new(Barrier::new(100));
    let outcomes = joinall((0..100).map(|n| {
        let meeting = meeting.clone();
        spawn(move || {
            meeting.wait();
            n
        })
    }));
    let values = outcomes.into_iter().map(Result::unwrap);
    assert_eq!(Vec::from_iter(values), Vec::from_iter(0..100));
}

#[test]
fn a_hundred_thousand_are_joined_and_killed_in_no_more_than_linear_time() {
    let _watchdog = support::watchdog();
    let count = 100_000 / support::slowdown();
    let before = support::thread_cpu_time();
    let greenlets = Vec::from_iter((0..count).map(|n| spawn(move || n)));
    let sum: u64 = joinall(greenlets)
        .into_iter()
        .map(|outcome| u64::from(outcome.unwrap()))
        .sum();
    assert_eq!(sum, u64::from(count) * u64::from(count - 1) / 2);

    let greenlets = Vec::from_iter((0..count).map(|n| spawn(move || n)));
    let mut order = iwait(&greenlets);
    // Stopped in the middle, which takes half of the registrations back.
    assert_eq!(
        order.by_ref().take(count as usize / 2).count(),
        count as usize / 2
    );
    drop(order);
    assert_eq!(iwait(&greenlets).count(), count as usize);

    let greenlets = Vec::from_iter((0..count).map(|_| spawn(|| sleep(HOUR))));
    killall(&greenlets).unwrap();
    assert!(greenlets.iter().all(Greenlet::is_finished));
    let used = support::thread_cpu_time() - before;
    assert!(
        used < Duration::from_secs(20) * support::slowdown(),
        "{used:?}"
    );
}

#[test]
fn joinall_tells_of_a_deadlock_for_each() {
    let _watchdog = support::watchdog();
    thread::spawn(|| {
        let stuck = (0..3).map(|_| spawn(|| sleep(Duration::MAX)));
        let mut all = Vec::from_iter(stuck);
        all.push(spawn(|| ()));
        let outcomes = joinall(all);
        for outcome in &outcomes[..3] {
            assert!(outcome.as_ref().unwrap_err().is_deadlock());
        }
        assert!(outcomes[3].is_ok());
        let stuck = spawn(|| sleep(Duration::MAX));
        let text = catch_unwind(|| iwait([&stuck]).next().is_some()).unwrap_err();
        let text = text.downcast::<String>().unwrap();
        assert!(text.starts_with("iwait: deadlock"), "{text}");
    })
    .join()
    .unwrap();
}

#[test]
fn iwait_yields_in_the_order_of_ends() {
    let _watchdog = support::watchdog();
    let finished = spawn(|| 0);
    finished.wait().unwrap();
    let failed = spawn(|| panic!("on purpose"));
    let (failed_id, finished_id) = (failed.id(), finished.id());
    let [early, late] = [(); 2].map(|()| Arc::new(Event::new()));
    let at = |event: &Arc<Event>, value: u64| {
        let event = event.clone();
        spawn(move || {
            event.wait();
            value
        })
    };
    let all = vec![at(&late, 2), at(&early, 1), failed, finished];
    let mut order = iwait(all);
    assert_eq!(
        order.next().unwrap().id(),
        finished_id,
        "ready at the beginning"
    );
    let next = order.next().unwrap();
    assert_eq!(next.id(), failed_id);
    assert!(next.join().unwrap_err().is_panic());
    early.set();
    assert_eq!(order.next().unwrap().join().unwrap(), 1);
    assert_eq!(order.size_hint(), (0, Some(1)));
    late.set();
    assert_eq!(order.next().unwrap().join().unwrap(), 2);
    assert!(order.next().is_none());
    assert!(order.next().is_none());
}

#[test]
fn iwait_ends_after_a_count() {
    let _watchdog = support::watchdog();
    let all = [after(0), after(5), after(3_600_000)];
    assert_eq!(iwait(&all).take(2).count(), 2);
    assert_eq!(wait(&all, None, Some(0)).len(), 0);
    assert_eq!(wait(&all, None, Some(1)).len(), 1);
    killall(&all).unwrap();
}

#[test]
fn iwait_ends_in_time() {
    let _watchdog = support::watchdog();
    let all = [after(5), after(3_600_000)];
    // The one that ends in time is had; and at once from then on, however late it is.
    let in_time = iwait(&all).timeout(HOUR).next();
    assert_eq!(in_time.map(Greenlet::id), Some(all[0].id()));
    let start = Instant::now();
    let mut order = iwait(&all).timeout(4 * SHORT);
    assert_eq!(order.by_ref().count(), 1);
    assert!(start.elapsed() >= 4 * SHORT);
    // Zero does not wait, but yields what is ready.
    let switches = rustlet::stats().switches;
    assert_eq!(wait(&all, Some(Duration::ZERO), None).len(), 1);
    assert_eq!(rustlet::stats().switches, switches);
    killall(&all).unwrap();
    assert!(order.next().is_none(), "it is over");
}

#[test]
fn the_same_greenlet_may_be_given_several_times() {
    let _watchdog = support::watchdog();
    let one = after(5);
    let end_of_one = one.handle();
    let other = spawn(move || end_of_one.wait().map_or(0, |()| 10));
    let order = Vec::from_iter(iwait([&one, &other, &one]).map(Greenlet::id));
    assert_eq!(order, [one.id(), one.id(), other.id()]);
    let handles: [Handle; 2] = [one.handle(), one.handle()];
    assert_eq!(wait(handles, None, None).len(), 2);
    killall([&one, &one]).unwrap();
}

#[test]
fn different_things_are_waited_for_together() {
    let _watchdog = support::watchdog();
    let (number, text) = (after(5), spawn(|| "text"));
    let handle = after(1).handle();
    let all: [&dyn Waitable; 3] = [&number, &text, &handle];
    assert_eq!(iwait(all).count(), 3);
}

#[test]
fn dropping_it_early_leaves_no_trace() {
    let _watchdog = support::watchdog();
    let ended = spawn(|| ());
    let greenlets = [(); 3].map(|()| spawn(|| rustlet::park().unwrap()));
    let mut order = iwait(greenlets.iter().chain([&ended]));
    assert_eq!(order.next().unwrap().id(), ended.id());
    drop(order);
    // Their ends wake nobody: a sleep that nobody else ends is not cut short, nor is a park.
    let park = spawn(|| rustlet::park().unwrap());
    let me = park.handle();
    for greenlet in &greenlets {
        greenlet.handle().unpark();
    }
    yield_now();
    assert!(greenlets.iter().all(Greenlet::is_finished));
    assert!(!park.is_finished());
    me.unpark();
    park.join().unwrap();
}

#[test]
fn dropping_it_early_leaves_no_memory_behind() {
    if !support::is_child() {
        let outcome = support::child("dropping_it_early_leaves_no_memory_behind").run();
        return outcome.assert_passed();
    }
    let (done, slow, slow_too) = (spawn(|| 0), after(3_600_000), after(3_600_000));
    done.wait().unwrap();
    let look = || {
        for _ in 0..100_000 / support::slowdown() {
            assert!(iwait([&slow, &slow_too, &done]).next().is_some());
            assert!(wait([&slow, &slow_too], Some(Duration::ZERO), None).is_empty());
        }
        support::rss_bytes()
    };
    let before = look();
    let after = look();
    assert!(after < before + (4 << 20), "{before} grew to {after}");
}

#[test]
fn a_fresh_or_dropped_iterator_waits_for_nothing() {
    let _watchdog = support::watchdog();
    let slow = after(3_600_000);
    drop(iwait([&slow]));
    drop(iwait([slow]).timeout(SHORT)); // detaches
}

#[test]
fn it_may_be_killed_and_interrupted_and_go_on() {
    let _watchdog = support::watchdog();
    let parked = spawn(|| rustlet::park().unwrap());
    let mut order = iwait([&parked]);
    assert!(rustlet::timeout(SHORT, || order.next().is_some()).is_err());
    parked.handle().unpark();
    assert_eq!(order.next().unwrap().id(), parked.id());
    assert!(order.next().is_none());

    let target = after(3_600_000);
    let handle = target.handle();
    let passed = Counter::default();
    let went_on = passed.clone();
    let waiter = spawn(move || {
        iwait([&handle]).next();
        went_on.add();
    });
    yield_now();
    waiter.kill().unwrap();
    target.kill().unwrap();
    assert_eq!(passed.get(), 0);
}

#[test]
fn an_iterator_may_pass_from_greenlet_to_greenlet() {
    let _watchdog = support::watchdog();
    let all = Vec::from_iter([0, 10, 20].map(after));
    let mut order = iwait(all);
    assert_eq!(order.next().unwrap().join().unwrap(), 0);
    let rest = spawn(move || {
        let rest = order.map(|greenlet| greenlet.join().unwrap());
        Vec::from_iter(rest)
    });
    let mut rest = rest.join().unwrap();
    rest.sort_unstable();
    assert_eq!(rest, [10, 20]);
}

/// What was this thread's own is another's there, and no reason for a deadlock error.
#[test]
fn an_iterator_may_pass_from_thread_to_thread() {
    let _watchdog = support::watchdog();
    fn passed_on<I: Iterator<Item: Send> + Send + 'static>(mut iterator: I) -> Option<I::Item> {
        assert!(iterator.next().is_some());
        let there = thread::spawn(move || iterator.next());
        while !there.is_finished() {
            sleep(Duration::from_millis(1));
        }
        there.join().unwrap()
    }
    assert!(passed_on(iwait([after(1), after(100)])).is_some());
    // What it has waited for here is nothing: the first has ended.
    let ended = after(0);
    ended.wait().unwrap();
    assert!(passed_on(iwait([ended, after(100)])).is_some());
    assert!(passed_on(rustlet::as_completed([after(1), after(100)])).is_some());
    let wait = |millis| sleep(Duration::from_millis(millis));
    let pool = rustlet::Pool::new(2);
    assert!(passed_on(pool.imap_unordered([1, 100], wait)).is_some());
    assert!(passed_on(pool.imap([1, 100], wait)).is_some());
}

#[test]
fn ends_on_another_thread_are_noticed() {
    let _watchdog = support::watchdog();
    let (send, receive) = std::sync::mpsc::channel();
    let owner = thread::spawn(move || {
        let all = [after(5), after(10), after(1)];
        send.send(Vec::from_iter(all.iter().map(Greenlet::handle)))
            .unwrap();
        joinall(all);
    });
    let handles = receive.recv().unwrap();
    assert_eq!(iwait(&handles).count(), 3);
    killall(handles).unwrap();
    owner.join().unwrap();
}

/// test__issue467: finished and failing workers are waited for while others switch.
#[test]
fn finished_and_failing_workers_among_ones_that_switch() {
    let _watchdog = support::watchdog();
    for with_iwait in [false, true] {
        let rounds = Rc::new(Cell::new(0));
        let busy = Vec::from_iter((0..10).map(|n| {
            let rounds = rounds.clone();
            rustlet::spawn_local(move || {
                for _ in 0..n {
                    rounds.set(rounds.get() + 1);
                    yield_now();
                }
                assert_ne!(n % 3, 1, "on purpose");
            })
        }));
        yield_now();
        let outcomes = if with_iwait {
            iwait(busy).map(Greenlet::join).collect()
        } else {
            joinall(busy)
        };
        assert_eq!(rounds.get(), 45);
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_err()).count(),
            3
        );
    }
}

#[test]
fn while_unwinding_it_yields_what_is_ready_and_ends() {
    struct Waits(Vec<Handle>, Counter);
    impl Drop for Waits {
        fn drop(&mut self) {
            for _ in iwait(self.0.drain(..)) {
                self.1.add();
            }
        }
    }
    let _watchdog = support::watchdog();
    let (done, slow) = (spawn(|| ()), after(3_600_000));
    done.wait().unwrap();
    let ready = Counter::default();
    let waits = Waits(vec![slow.handle(), done.handle()], ready.clone());
    let greenlet = spawn(move || {
        let _waits = waits;
        panic!("on purpose");
    });
    assert!(greenlet.join().unwrap_err().is_panic());
    assert_eq!(ready.get(), 1);
    slow.kill().unwrap();
}
