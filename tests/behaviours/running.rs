//! Who runs when and where, and what becomes of a greenlet that fails.

use std::cell::Cell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustlet::net::TcpStream;
use rustlet::{Builder, Greenlet, park, sleep, spawn, spawn_local, timeout, yield_now};

use super::{HOUR, Log, SHORT};
use crate::support::{self, Counter};

#[test]
fn b01_spawn_only_schedules() {
    let _watchdog = support::watchdog();
    let log = Log::default();
    let greenlets = ["1", "2", "3"].map(|name| {
        let log = log.clone();
        spawn_local(move || log.add(name))
    });
    log.add("main");
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    assert_eq!(log.text(), "main 1 2 3");
}

#[test]
fn b03_yielding_is_a_fair_round_robin_under_which_timers_fire() {
    let _watchdog = support::watchdog();
    let log = Log::default();
    let greenlets = ["1", "2"].map(|number| {
        let log = log.clone();
        spawn_local(move || {
            for letter in ["A", "B"] {
                log.add(format!("{number}{letter}"));
                sleep(Duration::ZERO);
            }
        })
    });
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    assert_eq!(log.text(), "1A 2A 1B 2B");

    let endless = timeout(SHORT, || {
        loop {
            sleep(Duration::ZERO);
        }
    });
    assert!(endless.is_err());
}

/// gevent never yields here; 128 operations in a row do.
#[test]
fn b04_ready_operations_yield_after_128() {
    let _watchdog = support::watchdog();
    let turns = Rc::new(Cell::new(0));
    let (ours, mut theirs) = support::tcp_pair::<TcpStream>();
    theirs.write_all(&[0; 2000]).unwrap();
    ours.peek(&mut [0; 2000]).unwrap();

    let (stop, counted) = (Rc::new(Cell::new(false)), turns.clone());
    let stopped = stop.clone();
    let neighbour = spawn_local(move || {
        while !stopped.get() {
            counted.set(counted.get() + 1);
            yield_now();
        }
    });
    let reader = spawn_local(move || {
        let first = turns.get();
        for _ in 0..100 {
            (&ours).read_exact(&mut [0]).unwrap();
        }
        let few = turns.get() - first;
        for _ in 0..1280 {
            (&ours).read_exact(&mut [0]).unwrap();
        }
        stop.set(true);
        (few, turns.get() - first)
    });
    let (few, many) = reader.join().unwrap();
    neighbour.join().unwrap();
    assert!(few <= 1, "{few} turns in 100 reads");
    assert!((10..=11).contains(&many), "{many} turns in 1380 reads");
}

#[test]
fn b05_an_uncaught_panic_ends_its_greenlet_alone_and_is_printed_once() {
    if support::is_child() {
        let good = spawn(|| {
            sleep(SHORT);
            "alive"
        });
        let bad = Builder::new()
            .name("baker")
            .spawn(|| -> u8 { panic!("out of flour") })
            .unwrap();
        bad.wait().unwrap(); // gevent's join: it raises nothing
        assert!(!bad.is_successful());
        let error = bad.join().unwrap_err(); // gevent's get
        assert!(error.is_panic());
        assert!(error.to_string().ends_with("panicked: out of flour"));
        assert_eq!(
            error.try_into_panic().unwrap().downcast_ref::<&str>(),
            Some(&"out of flour")
        );
        assert_eq!(good.join().unwrap(), "alive");
        return;
    }
    let outcome = support::child(
        "running::b05_an_uncaught_panic_ends_its_greenlet_alone_and_is_printed_once",
    )
    .run();
    outcome.assert_passed();
    assert_eq!(
        outcome.stderr.matches("out of flour").count(),
        1,
        "{outcome:#?}"
    );
    assert_eq!(outcome.stderr.matches("'baker'").count(), 1, "{outcome:#?}");
}

/// gevent drops what lives without running `finally`.
#[test]
fn b16_the_end_of_a_thread_unwinds_its_greenlets() {
    let _watchdog = support::watchdog();
    let drops = Counter::default();
    let guards = [(); 3].map(|()| drops.on_drop());
    let waited = thread::spawn(move || {
        for guard in guards {
            spawn(move || {
                let _guard = guard;
                sleep(HOUR);
            });
        }
        yield_now();
        Instant::now()
    });
    let ended = waited.join().unwrap();
    assert_eq!(drops.get(), 3);
    assert!(ended.elapsed() < Duration::from_secs(30), "not waited for");
}

#[test]
fn b17_a_greenlet_stays_on_its_thread() {
    let _watchdog = support::watchdog();
    let (send, handles) = mpsc::channel();
    let other = thread::spawn(move || {
        let home = thread::current().id();
        let wanderer = spawn(move || {
            for _ in 0..3 {
                park().unwrap();
                assert_eq!(thread::current().id(), home);
            }
        });
        send.send(wanderer.handle()).unwrap();
        wanderer.join().unwrap();
    });
    // From here it can be woken and killed, never switched to: there is no such call.
    let handle = handles.recv().unwrap();
    while !handle.is_finished() {
        handle.unpark();
        thread::yield_now();
    }
    other.join().unwrap();
}

#[test]
fn b19_an_overflow_names_the_greenlet_and_the_stack_size_can_be_set() {
    /// Uses about 1 KiB of stack a level.
    #[inline(never)]
    fn deep(level: usize) -> usize {
        let block = black_box([level; 128]);
        if level == 0 {
            return 0;
        }
        deep(level - 1) + black_box(&block)[0].min(1)
    }
    let recurse = |size, levels| -> Greenlet<usize> {
        let builder = Builder::new().name("deep").stack_size(size);
        builder.spawn(move || deep(levels)).unwrap()
    };
    if support::is_child() {
        let _ = recurse(256 * 1024, 4096).join();
        return;
    }
    let outcome =
        support::child("running::b19_an_overflow_names_the_greenlet_and_the_stack_size_can_be_set")
            .run();
    assert_eq!(outcome.signal(), Some(6), "{outcome:#?}");
    assert!(outcome.stderr.contains("greenlet 'deep'"), "{outcome:#?}");
    assert!(outcome.stderr.contains("stack_size("), "{outcome:#?}");
    assert_eq!(recurse(32 << 20, 4096).join().unwrap(), 4096);
}

#[test]
fn b20_a_report_tells_who_waits_for_what() {
    let _watchdog = support::watchdog();
    let spawn_named = |name: &str, f: fn()| Builder::new().name(name).spawn(f).unwrap();
    let sleeper = spawn_named("sleeper", || sleep(Duration::MAX));
    let joiner = spawn_named("joiner", || {
        let inner = Builder::new().name("inner").spawn(|| sleep(Duration::MAX));
        let _ = inner.unwrap().join();
    });
    let error = joiner.join().unwrap_err();
    let text = error.to_string();
    for part in [
        "greenlet 'sleeper' (#",
        "waits for a timer",
        "greenlet 'joiner' (#",
        "waits for the end of greenlet",
        "greenlet 'inner' (#",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    sleeper.kill().unwrap();
}
