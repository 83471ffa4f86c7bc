//! What `timer_timeout.rs` leaves out: deadlines as times of day, a value instead of an error, many scopes in each other, and
//! scopes of many greenlets at once. After gevent's test__timeout, test__api_timeout and test__sleep0.

mod support;

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use rustlet::{joinall, sleep, spawn, timeout, timeout_at, with_timeout, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

#[test]
fn a_deadline_is_shared_by_what_comes_one_after_the_other() {
    let _watchdog = support::watchdog();
    let start = Instant::now();
    // Far enough for a sleep of 5 ms on a busy machine.
    let limit = Duration::from_secs(1) * support::slowdown();
    let deadline = start + limit;
    assert_eq!(timeout_at(deadline, || sleep(SHORT)), Ok(()));
    let error = timeout_at(deadline, || sleep(HOUR)).unwrap_err();
    assert!((limit..10 * limit).contains(&start.elapsed()));
    assert!(error.to_string().starts_with("timed out after "), "{error}");
    // It has passed: what waits is interrupted, what does not is not.
    assert!(timeout_at(deadline, || sleep(HOUR)).is_err());
    assert!(timeout_at(start, || sleep(HOUR)).is_err());
    assert_eq!(timeout_at(deadline, || 5), Ok(5));
    assert_eq!(timeout_at(Instant::now() + HOUR, || 6), Ok(6));
}

#[test]
fn a_value_takes_the_place_of_the_error() {
    let _watchdog = support::watchdog();
    let slow = || {
        sleep(HOUR);
        "value"
    };
    assert_eq!(with_timeout(SHORT, "default", slow), "default");
    assert_eq!(with_timeout(HOUR, "default", || "value"), "value");
    // A panic is not a limit, and a limit further out is not this one.
    let panic = catch_unwind(|| with_timeout(HOUR, (), || panic!("on purpose"))).unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "on purpose");
    let outer = timeout(SHORT, || with_timeout(HOUR, "default", slow));
    assert!(outer.is_err());
    let inner = timeout(HOUR, || with_timeout(SHORT, "default", slow));
    assert_eq!(inner, Ok("default"));
}

/// test__api_timeout: inner and outer expire in either order, or both at once.
#[test]
fn each_of_many_scopes_stops_its_own_frame() {
    /// Enters a scope for each limit, and counts how many of them were hit, from the inside.
    fn nest(limits: &[u64], inside: Duration) -> usize {
        let Some((&first, rest)) = limits.split_first() else {
            sleep(inside);
            return 0;
        };
        let limit = if first == 0 { SHORT } else { HOUR };
        timeout(limit, || nest(rest, inside)).unwrap_or(1)
    }
    let _watchdog = support::watchdog();
    // Every pattern of five limits, short (0) or long (1), each in a greenlet.
    let patterns = (0..32_u64).map(|bits| Vec::from_iter((0..5).map(move |n| bits >> n & 1)));
    let outcomes = joinall(patterns.map(|limits| {
        spawn(move || {
            let inside = if limits.contains(&0) { HOUR } else { SHORT };
            let hits = nest(&limits, inside);
            (limits, hits)
        })
    }));
    for outcome in outcomes {
        let (limits, hits) = outcome.unwrap();
        assert_eq!(hits, usize::from(limits.contains(&0)), "{limits:?}");
    }
}

#[test]
fn if_all_have_passed_each_frame_is_stopped_in_turn() {
    let _watchdog = support::watchdog();
    let stops = Counter::default();
    fn nest(depth: usize, stops: &Counter) {
        if depth > 0 {
            let hit = timeout(SHORT, || nest(depth - 1, stops));
            assert!(hit.is_err());
            assert_eq!(stops.add(), depth - 1, "from the inside outwards");
        } else {
            let start = Instant::now();
            while start.elapsed() < 8 * SHORT {}
        }
        sleep(HOUR);
    }
    let all = timeout(SHORT, || nest(5, &stops));
    assert!(all.is_err());
    assert_eq!(stops.get(), 5);
}

/// test__sleep0: a limit ends an endless loop of yields.
#[test]
fn ends_an_endless_loop_of_yields_among_others() {
    let _watchdog = support::watchdog();
    let loops = Vec::from_iter((0..3).map(|_| {
        spawn(|| {
            timeout(2 * SHORT, || {
                loop {
                    sleep(Duration::ZERO);
                }
            })
            .map(|(): ()| ())
        })
    }));
    for outcome in joinall(loops) {
        assert!(outcome.unwrap().is_err());
    }
}

/// test__api_timeout: what a greenlet computes does not make a timer of another early.
#[test]
fn a_limit_is_not_shortened_by_what_others_compute() {
    let _watchdog = support::watchdog();
    let busy = spawn(|| {
        let start = Instant::now();
        while start.elapsed() < 4 * SHORT {}
    });
    let start = Instant::now();
    assert!(timeout(6 * SHORT, || sleep(HOUR)).is_err());
    assert!(start.elapsed() >= 6 * SHORT);
    busy.join().unwrap();
}

#[test]
fn one_that_has_returned_leaves_nothing_for_the_next_wait() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        // The limit passes while the scope is still entered, and it returns without a wait.
        let late = timeout(SHORT, || {
            let start = Instant::now();
            while start.elapsed() < 4 * SHORT {}
            // Time for the timers to fire, in another's turn: a destructor's, which does not suspend.
            7
        });
        assert_eq!(late, Ok(7));
        yield_now();
        sleep(SHORT);
        rustlet::park_timeout(SHORT);
    });
    let other = spawn(|| {
        for _ in 0..100 {
            yield_now();
        }
    });
    greenlet.join().unwrap();
    other.join().unwrap();
}
