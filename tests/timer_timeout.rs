//! `timeout`: interrupts every call that blocks, stops at its own frame, and is gone once that has
//! returned.

mod support;

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{Elapsed, park, sleep, spawn, spawn_local, timeout, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

/// A wait that `SHORT` interrupts, on the thread's own stack and in a greenlet.
#[track_caller]
fn interrupts(wait: impl Fn() + 'static) {
    let check = move || {
        let (drops, start) = (Counter::default(), Instant::now());
        let guard = drops.on_drop();
        let result = timeout(SHORT, || {
            let _guard = guard;
            wait();
        });
        let elapsed = result.expect_err("interrupted");
        assert!(start.elapsed() >= SHORT);
        assert_eq!(drops.get(), 1, "destructors ran");
        assert_eq!(elapsed.to_string(), "timed out after 5ms");
        assert_eq!(io::Error::from(elapsed).kind(), io::ErrorKind::TimedOut);
    };
    check();
    spawn_local(check).join().unwrap();
}

#[test]
fn interrupts_every_call_that_blocks() {
    let _watchdog = support::watchdog();
    interrupts(|| sleep(HOUR));
    interrupts(|| sleep(Duration::MAX));
    interrupts(|| park().unwrap());
    interrupts(|| rustlet::park_timeout(HOUR));
    interrupts(|| spawn(|| sleep(SHORT * 20)).join().unwrap());
    interrupts(|| drop(spawn(|| sleep(SHORT * 20)).join_timeout(HOUR)));
    interrupts(|| {
        loop {
            yield_now();
        }
    });
    interrupts(|| {
        let (mut silent, _peer) = support::tcp_pair::<TcpStream>();
        let _ = silent.read(&mut [0]);
    });
    interrupts(|| {
        let (silent, _peer) = support::tcp_pair::<TcpStream>();
        let _ = silent.peek(&mut [0]);
    });
    interrupts(|| {
        let (mut stuffed, _peer) = support::tcp_pair::<TcpStream>();
        let _ = stuffed.write_all(&vec![0; 64 << 20]);
    });
    interrupts(|| drop(TcpListener::bind("127.0.0.1:0").unwrap().accept()));
    let (full, _queued) = support::full_listener();
    let addr = full.local_addr().unwrap();
    interrupts(move || drop(TcpStream::connect(addr)));
}

#[test]
fn interrupts_the_wait_for_a_kill() {
    let _watchdog = support::watchdog();
    let stop = Rc::new(Cell::new(false));
    let stopped = stop.clone();
    let stubborn = spawn_local(move || {
        while !stopped.get() {
            let _ = catch_unwind(yield_now);
        }
    });
    yield_now();
    assert!(timeout(SHORT, || stubborn.kill()).is_err());
    stop.set(true);
    stubborn.join().unwrap();
}

#[test]
fn gives_the_value_of_what_is_done_in_time() {
    let _watchdog = support::watchdog();
    assert_eq!(timeout(HOUR, || 1), Ok(1));
    let value = timeout(HOUR, || {
        sleep(SHORT);
        "slept"
    });
    assert_eq!(value, Ok("slept"));
}

#[test]
fn a_computation_is_not_interrupted() {
    let _watchdog = support::watchdog();
    let value = timeout(SHORT, || {
        let start = Instant::now();
        while start.elapsed() < 3 * SHORT {}
        "late"
    });
    assert_eq!(value, Ok("late"));
    // But its next suspension is.
    let result = timeout(SHORT, || {
        let start = Instant::now();
        while start.elapsed() < 3 * SHORT {}
        sleep(HOUR);
    });
    assert!(result.is_err());
}

#[test]
fn the_inner_limit_stops_at_the_inner_frame() {
    let _watchdog = support::watchdog();
    let outer = timeout(HOUR, || {
        let inner = timeout(SHORT, || sleep(HOUR));
        assert!(inner.is_err());
        sleep(SHORT); // the outer frame goes on
        "outer"
    });
    assert_eq!(outer, Ok("outer"));
}

#[test]
fn the_outer_limit_passes_through_the_inner_frame() {
    let _watchdog = support::watchdog();
    let passed = Counter::default();
    let outer = timeout(SHORT, || {
        let inner = timeout(HOUR, || sleep(HOUR));
        passed.add();
        inner
    });
    assert_eq!(outer.unwrap_err().to_string(), "timed out after 5ms");
    assert_eq!(passed.get(), 0, "the inner call did not return");
}

#[test]
fn if_both_have_passed_the_inner_comes_first_and_then_the_outer() {
    let _watchdog = support::watchdog();
    let steps = Counter::default();
    let outer = timeout(SHORT, || {
        let inner = timeout(SHORT, || {
            let start = Instant::now();
            while start.elapsed() < 4 * SHORT {}
            steps.add();
            sleep(HOUR);
        });
        assert!(inner.is_err());
        steps.add();
        sleep(HOUR);
        steps.add();
    });
    assert!(outer.is_err());
    assert_eq!(steps.get(), 2);
}

#[test]
fn catching_it_inside_only_delays_it() {
    let _watchdog = support::watchdog();
    let caught = Counter::default();
    let result: Result<(), Elapsed> = timeout(SHORT, || {
        for _ in 0..3 {
            assert!(catch_unwind(|| sleep(HOUR)).is_err());
            caught.add();
        }
        park().unwrap();
    });
    assert!(result.is_err());
    assert_eq!(caught.get(), 3);
}

#[test]
fn handling_io_errors_does_not_swallow_it() {
    let _watchdog = support::watchdog();
    let (mut silent, _peer) = support::tcp_pair::<TcpStream>();
    let result = timeout(SHORT, || {
        // The usual loop that retries whatever error comes.
        while silent.read(&mut [0]).is_err() {}
    });
    assert!(result.is_err());
    assert_eq!(silent.read_timeout().unwrap(), None);
}

#[test]
fn a_limit_that_has_returned_hits_nothing() {
    let _watchdog = support::watchdog();
    let check = || {
        for n in 0..300_u64 {
            let limit = Duration::from_micros(n * 7);
            let _ = timeout(limit, || sleep(Duration::from_micros(n % 50 * 40)));
            // Frames of the same shape at the same address must not inherit it.
            assert_eq!(timeout(HOUR, || sleep(Duration::from_micros(100))), Ok(()));
            yield_now();
        }
    };
    check();
    spawn(check).join().unwrap();
}

#[test]
fn zero_interrupts_the_first_suspension() {
    let _watchdog = support::watchdog();
    assert!(timeout(Duration::ZERO, || sleep(HOUR)).is_err());
    assert_eq!(timeout(Duration::ZERO, || 1), Ok(1));
}

#[test]
fn a_panic_inside_passes_through() {
    let _watchdog = support::watchdog();
    let panic = catch_unwind(|| timeout(HOUR, || std::panic::panic_any(9_u8))).unwrap_err();
    assert_eq!(*panic.downcast::<u8>().unwrap(), 9);
    sleep(SHORT);
}

#[test]
fn a_kill_passes_through() {
    let _watchdog = support::watchdog();
    let passed = Counter::default();
    let also = passed.clone();
    let greenlet = spawn(move || {
        let _ = timeout(HOUR, || timeout(HOUR, || sleep(HOUR)));
        also.add();
    });
    yield_now();
    greenlet.kill().unwrap();
    assert!(greenlet.join().unwrap_err().is_killed());
    assert_eq!(passed.get(), 0);
}

#[test]
fn destructors_run_to_their_end_however_late() {
    struct Slow(Counter);
    impl Drop for Slow {
        fn drop(&mut self) {
            sleep(2 * SHORT);
            self.0.add();
        }
    }
    let _watchdog = support::watchdog();
    let ended = Counter::default();
    // Both limits pass while the destructor runs on account of the inner one.
    let outer = timeout(SHORT + SHORT / 2, || {
        let slow = Slow(ended.clone());
        let inner = timeout(SHORT, || {
            let _slow = slow;
            sleep(HOUR);
        });
        assert!(inner.is_err());
        assert_eq!(ended.get(), 1);
        sleep(HOUR);
    });
    assert!(outer.is_err());
}

#[test]
fn ten_thousand_limits_at_once() {
    let _watchdog = support::watchdog();
    let count = 10_000 / support::slowdown() as usize;
    let start = Instant::now();
    let greenlets = Vec::from_iter(
        (0..count).map(|_| spawn(|| timeout(Duration::from_millis(50), || sleep(HOUR)).is_err())),
    );
    let hit = greenlets
        .into_iter()
        .map(|greenlet| greenlet.join().unwrap())
        .filter(|&hit| hit)
        .count();
    assert_eq!(hit, count);
    assert!(start.elapsed() < Duration::from_secs(20) * support::slowdown());
}
