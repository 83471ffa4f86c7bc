//! Links: called once, in order, each in a greenlet of its own, whatever the others do, also late, also from
//! another thread; not after they were taken back. After gevent's `TestLink`, `TestUnlink`, `TestReturn_link`, `TestRaise_link`,
//! `TestStuff` and test__order.

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustlet::{Ended, Greenlet, Handle, LinkId, sleep, spawn, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

/// A link that sends its number.
fn sends<T: Send + 'static>(sender: &Sender<T>, value: T) -> impl FnOnce(&Ended) + Send + 'static {
    let sender = sender.clone();
    move |_| sender.send(value).unwrap()
}

/// A way to end: its name, a greenlet that is about to end in it, and what ends it.
type Ending = (&'static str, fn() -> Greenlet<u8>, fn(&Handle));

const ENDINGS: [Ending; 6] = [
    ("returns", || spawn(|| 1), |_| ()),
    ("returns later", spawn_yielding, |_| ()),
    ("panics", || spawn(|| panic!("on purpose")), |_| ()),
    ("killed before it runs", || spawn(|| 1), Handle::kill),
    ("killed", spawn_sleeping, |handle| {
        yield_now();
        handle.kill();
    }),
    ("thrown at", spawn_sleeping, |handle| {
        yield_now();
        handle.throw("thrown");
    }),
];

fn spawn_yielding() -> Greenlet<u8> {
    spawn(|| {
        yield_now();
        1
    })
}

fn spawn_sleeping() -> Greenlet<u8> {
    spawn(|| {
        sleep(HOUR);
        1
    })
}

#[test]
fn each_kind_is_called_after_the_ends_that_it_is_for() {
    let _watchdog = support::watchdog();
    for (name, spawn, end) in ENDINGS {
        let greenlet = spawn();
        let (sender, receiver) = mpsc::channel();
        greenlet.link(sends(&sender, "always"));
        greenlet.link_value(sends(&sender, "value"));
        greenlet.link_error(sends(&sender, "error"));
        assert!(greenlet.has_links());
        end(&greenlet.handle());
        greenlet.wait().unwrap();
        yield_now();
        let expected = if name.starts_with("returns") {
            ["always", "value"]
        } else {
            ["always", "error"]
        };
        assert_eq!(
            Vec::from_iter(receiver.try_iter()),
            expected,
            "{name}: before the end"
        );
        assert!(!greenlet.has_links());
        // The same after the end.
        greenlet.link(sends(&sender, "always"));
        greenlet.link_value(sends(&sender, "value"));
        greenlet.link_error(sends(&sender, "error"));
        assert_eq!(
            receiver.try_iter().count(),
            0,
            "{name}: not within the call"
        );
        yield_now();
        assert_eq!(
            Vec::from_iter(receiver.try_iter()),
            expected,
            "{name}: after the end"
        );
        assert!(!greenlet.has_links());
    }
}

#[test]
fn links_are_told_how_it_ended() {
    let _watchdog = support::watchdog();
    for (name, spawn, end) in ENDINGS {
        let greenlet = spawn();
        let seen = Arc::new(Mutex::new(None));
        let (id, out, place) = (greenlet.id(), seen.clone(), greenlet.spawned_at());
        greenlet.link(move |ended| {
            assert_eq!((ended.id(), ended.handle().id()), (id, id));
            assert_eq!(ended.spawned_at(), place);
            let how = (
                ended.is_successful(),
                ended.is_killed(),
                ended.is_panic(),
                ended.message().map(str::to_owned),
            );
            *out.lock().unwrap() = Some((how, ended.to_string()));
        });
        end(&greenlet.handle());
        drop(greenlet.join()); // the outcome is gone when the link asks
        yield_now();
        let (how, text) = seen.lock().unwrap().take().expect("called");
        let (successful, killed, panicked, message) = how;
        let expected = match name {
            "panics" => (false, false, true, Some("on purpose")),
            "thrown at" => (false, false, true, Some("thrown")),
            _ if name.starts_with("killed") => (false, true, false, None),
            _ => (true, false, false, None),
        };
        assert_eq!(
            (successful, killed, panicked, message.as_deref()),
            expected,
            "{name}"
        );
        assert!(text.contains(&format!("#{id}")), "{text}");
        assert!(text.contains("spawned at tests/life_link.rs:"), "{text}");
    }
}

#[test]
fn a_thousand_are_called_in_the_order_in_which_they_were_added() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpsc::channel();
    let greenlet = spawn(|| sleep(SHORT));
    for n in 0..1000 {
        greenlet.link(sends(&sender, n));
    }
    greenlet.wait().unwrap();
    // Queued before those who wait, so they have been called by now.
    for n in 1000..1010 {
        greenlet.link(sends(&sender, n));
    }
    yield_now();
    assert_eq!(Vec::from_iter(receiver.try_iter()), Vec::from_iter(0..1010));
}

#[test]
fn those_added_while_others_are_queued_come_after_them() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpsc::channel();
    let greenlet = spawn(|| ());
    let (handle, late) = (greenlet.handle(), sender.clone());
    greenlet.link(move |_| {
        late.send(0).unwrap();
        handle.link(sends(&late, 3)); // the others have not been called yet
    });
    greenlet.link(sends(&sender, 1));
    greenlet.link(sends(&sender, 2));
    greenlet.wait().unwrap();
    yield_now();
    yield_now();
    assert_eq!(Vec::from_iter(receiver.try_iter()), [0, 1, 2, 3]);
}

#[test]
fn one_that_panics_or_blocks_keeps_no_other_waiting() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpsc::channel();
    let greenlet = spawn(|| ());
    let blocked = Arc::new(Mutex::new(None));
    let out = blocked.clone();
    greenlet.link(|_| panic!("on purpose"));
    greenlet.link(sends(&sender, 1));
    greenlet.link(move |_| {
        *out.lock().unwrap() = Some(rustlet::current());
        sleep(HOUR);
    });
    greenlet.link(sends(&sender, 2));
    greenlet.link(|_| panic!("on purpose, too"));
    greenlet.link(sends(&sender, 3));
    greenlet.join().unwrap();
    yield_now();
    assert_eq!(Vec::from_iter(receiver.try_iter()), [1, 2, 3]);
    let blocked = blocked.lock().unwrap().take().expect("it was called");
    blocked.kill();
    blocked.wait().unwrap();
    assert_eq!(rustlet::stats().live, 0);
}

#[test]
fn links_are_greenlets_of_their_own() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpsc::channel();
    let greenlet = spawn(|| ());
    let line = line!() + 2;
    for _ in 0..2 {
        greenlet.link(move_current(&sender));
    }
    greenlet.wait().unwrap();
    yield_now();
    let callers: Vec<Handle> = receiver.try_iter().collect();
    assert_ne!(callers[0].id(), callers[1].id());
    for caller in callers {
        assert_eq!(caller.parent_id(), Some(greenlet.id()));
        assert_eq!(caller.spawned_at().line(), line, "where the link was added");
    }
}

fn move_current(sender: &Sender<Handle>) -> impl FnOnce(&Ended) + Send + 'static {
    let sender = sender.clone();
    move |_| sender.send(rustlet::current()).unwrap()
}

#[test]
fn what_is_taken_back_is_dropped_and_not_called() {
    let _watchdog = support::watchdog();
    let (calls, drops) = (Counter::default(), Counter::default());
    let link = || {
        let (calls, guard) = (calls.clone(), drops.on_drop());
        move |_: &Ended| {
            let _guard = guard;
            calls.add();
        }
    };
    let greenlet = spawn(|| sleep(SHORT));
    let first: LinkId = greenlet.link(link());
    let second = greenlet.link_value(link());
    let third = greenlet.handle().link_error(link());
    assert!(greenlet.unlink(second));
    assert_eq!(drops.get(), 1);
    assert!(!greenlet.unlink(second), "it is gone");
    assert!(!spawn(|| ()).unlink(first), "it is another's");
    assert!(greenlet.handle().unlink(third));
    assert!(greenlet.has_links());
    greenlet.unlink_all();
    assert!(!greenlet.has_links());
    assert_eq!(drops.get(), 3);
    greenlet.wait().unwrap();
    yield_now();
    assert_eq!(calls.get(), 0);
    // After the end, before its turn.
    let late = greenlet.link(link());
    assert!(greenlet.has_links());
    assert!(greenlet.unlink(late));
    yield_now();
    assert_eq!((calls.get(), drops.get()), (0, 4));
    // And after its turn.
    let late = greenlet.link(link());
    yield_now();
    assert!(!greenlet.unlink(late));
    assert_eq!((calls.get(), drops.get()), (1, 5));
}

/// gevent: "notification must not happen after unlink even though notification has started".
#[test]
fn one_that_an_earlier_one_takes_back_is_not_called() {
    let _watchdog = support::watchdog();
    for with_panic in [false, true] {
        let calls = Counter::default();
        let greenlet = spawn(|| ());
        let (handle, ids) = (greenlet.handle(), Arc::new(Mutex::new(Vec::new())));
        let to_unlink = ids.clone();
        greenlet.link(move |_| {
            for id in to_unlink.lock().unwrap().drain(..) {
                assert!(handle.unlink(id));
            }
            assert!(!with_panic, "on purpose");
        });
        for _ in 0..3 {
            let called = calls.clone();
            let id = greenlet.link(move |_| {
                called.add();
            });
            ids.lock().unwrap().push(id);
        }
        let last = calls.clone();
        greenlet.link(move |_| {
            last.add();
        });
        greenlet.wait().unwrap();
        yield_now();
        assert_eq!(calls.get(), 1, "the one that was left");
    }
}

#[test]
fn links_may_be_added_and_taken_back_on_another_thread() {
    let _watchdog = support::watchdog();
    let home = thread::current().id();
    let (sender, receiver) = mpsc::channel();
    let greenlet = spawn(|| rustlet::park().unwrap());
    let link = move |sender: &Sender<thread::ThreadId>| {
        let sender = sender.clone();
        move |_: &Ended| sender.send(thread::current().id()).unwrap()
    };
    let (handle, far) = (greenlet.handle(), sender.clone());
    thread::spawn(move || {
        handle.link(link(&far));
        let id = handle.link(link(&far));
        assert!(handle.unlink(id));
        handle.unpark();
    })
    .join()
    .unwrap();
    greenlet.wait().unwrap();
    assert_eq!(Vec::from_iter(receiver.try_iter()), [home]);
    // After the end it comes through the inbox, and wakes a thread that sleeps.
    let (handle, far, main) = (greenlet.handle(), sender.clone(), rustlet::current());
    let adder = thread::spawn(move || {
        thread::sleep(Duration::from_millis(10));
        handle.link(link(&far));
        handle.link(move |_| main.unpark());
    });
    rustlet::park().unwrap();
    assert_eq!(Vec::from_iter(receiver.try_iter()), [home]);
    adder.join().unwrap();
    assert_eq!(rustlet::stats().live, 0);
}

#[test]
fn links_to_one_of_a_thread_that_has_ended_run_here() {
    let _watchdog = support::watchdog();
    for _ in 0..20 {
        let greenlet = thread::spawn(|| {
            let greenlet = spawn(|| 1);
            greenlet.wait().unwrap();
            greenlet
        })
        .join()
        .unwrap();
        // A new hub may use what that of the ended thread used.
        let (stop, stopped) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let other = thread::spawn(move || {
            yield_now();
            begin.send(()).unwrap();
            let _ = stopped.recv();
        });
        begun.recv().unwrap();
        let (sender, receiver) = mpsc::channel();
        greenlet.link(move |_| sender.send(thread::current().id()).unwrap());
        yield_now();
        assert_eq!(receiver.try_recv(), Ok(thread::current().id()));
        drop(stop);
        other.join().unwrap();
    }
}

#[test]
fn adding_races_with_the_end_and_nothing_is_lost() {
    let _watchdog = support::watchdog();
    let rounds = 300 / support::slowdown();
    for _ in 0..rounds {
        let greenlet = spawn(|| sleep(Duration::from_micros(50)));
        let (handle, main) = (greenlet.handle(), rustlet::current());
        let calls = Counter::default();
        let counted = calls.clone();
        let adder = thread::spawn(move || {
            for _ in 0..10 {
                let (counted, main) = (counted.clone(), main.clone());
                handle.link(move |_| {
                    counted.add();
                    main.unpark();
                });
            }
        });
        while calls.get() < 10 {
            rustlet::park().unwrap();
        }
        adder.join().unwrap();
        greenlet.join().unwrap();
        assert_eq!(calls.get(), 10);
    }
}

#[test]
fn links_of_greenlets_that_end_with_their_thread_are_called() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let sleeper = spawn(|| sleep(HOUR));
        sleeper.link(sends(&sender, "sleeper"));
        yield_now();
        let unstarted = spawn(|| ());
        unstarted.link_error(sends(&sender, "unstarted"));
        let blocks = sender.clone();
        sleeper.link(move |_| {
            blocks.send("blocks").unwrap();
            sleep(HOUR); // killed here, at the latest
            blocks.send("never").unwrap();
        });
        drop(sender);
    })
    .join()
    .unwrap();
    let mut called = Vec::from_iter(receiver.try_iter());
    called.sort_unstable();
    assert_eq!(called, ["blocks", "sleeper", "unstarted"]);
}

#[test]
fn links_of_what_is_abandoned_are_called() {
    let _watchdog = support::watchdog();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let stubborn = spawn(|| {
            loop {
                let _ = std::panic::catch_unwind(|| sleep(HOUR));
            }
        });
        stubborn.link(move |ended| {
            let how = (ended.is_successful(), ended.is_killed(), ended.is_panic());
            sender.send(how).unwrap();
        });
        yield_now();
    })
    .join()
    .unwrap();
    assert_eq!(receiver.try_recv(), Ok((false, false, false)));
}

#[test]
fn then_is_given_the_outcome() {
    let _watchdog = support::watchdog();
    for (name, spawn, end) in ENDINGS {
        let greenlet = spawn();
        let (sender, receiver) = mpsc::channel();
        let handle = greenlet.handle();
        greenlet.then(move |outcome| sender.send(outcome).unwrap());
        end(&handle);
        handle.wait().unwrap();
        yield_now();
        let outcome = receiver.try_recv().expect(name);
        match name {
            "panics" | "thrown at" => assert!(outcome.unwrap_err().is_panic()),
            _ if name.starts_with("killed") => assert!(outcome.unwrap_err().is_killed()),
            _ => assert_eq!(outcome.unwrap(), 1),
        }
    }
    // Taken back, the outcome is dropped as by a dropped handle.
    let drops = Counter::default();
    let value = drops.on_drop();
    let greenlet = spawn(move || value);
    let handle = greenlet.handle();
    let id = greenlet.then(|_| unreachable!("taken back"));
    assert!(handle.unlink(id));
    handle.wait().unwrap();
    yield_now();
    assert_eq!(drops.get(), 1);
}

#[test]
fn links_and_waits_do_not_disturb_each_other() {
    let _watchdog = support::watchdog();
    let log = Rc::new(RefCell::new(Vec::new()));
    let greenlet = spawn(|| rustlet::park().unwrap());
    let waiter = {
        let (handle, log) = (greenlet.handle(), log.clone());
        rustlet::spawn_local(move || {
            handle.wait().unwrap();
            log.borrow_mut().push("waiter");
        })
    };
    yield_now();
    let (sender, receiver) = mpsc::channel();
    greenlet.link(sends(&sender, ()));
    greenlet.handle().unpark();
    greenlet.wait().unwrap();
    assert_eq!(receiver.try_iter().count(), 1);
    waiter.join().unwrap();
    assert_eq!(*log.borrow(), ["waiter"]);
}
