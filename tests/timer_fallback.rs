//! Timers on a kernel without `epoll_pwait2`, which `RUSTLET_EPOLL_PWAIT2=none` makes of this one: waits are rounded up to
//! whole milliseconds, and are never early.
//!
//! A hub waits that way once it has a descriptor to watch, so each test begins with one.

mod support;

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{sleep, sleep_until, spawn};

const MILLISECOND: Duration = Duration::from_millis(1);
/// Far below a millisecond, and above a tick of the timing wheel.
const SHORT: Duration = Duration::from_micros(100);

fn rerun(test: &str, value: &str) {
    let _watchdog = support::watchdog();
    support::child(test)
        .env("RUSTLET_EPOLL_PWAIT2", value)
        .run()
        .assert_passed();
}

/// A socket that this thread's hub has waited for, and its peer.
fn idle_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (theirs, _) = listener.accept().unwrap();
    ours.set_read_timeout(Some(MILLISECOND)).unwrap();
    let error = ours.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    (ours, theirs)
}

/// The shortest of `tries` sleeps of [`SHORT`]; one below `enough` ends them.
fn shortest(tries: u32, enough: Duration) -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..tries {
        let start = Instant::now();
        sleep(SHORT);
        least = least.min(start.elapsed());
        if least < enough {
            break;
        }
    }
    least
}

#[test]
fn never_early() {
    if !support::is_child() {
        return rerun("never_early", "none");
    }
    let _pair = idle_pair();
    let greenlets = Vec::from_iter((0..200_u64).map(|n| {
        spawn(move || {
            let asked = Duration::from_micros(n * 97);
            let start = Instant::now();
            sleep(asked);
            (asked, start.elapsed())
        })
    }));
    for greenlet in greenlets {
        let (asked, slept) = greenlet.join().unwrap();
        assert!(slept >= asked, "{slept:?} instead of {asked:?}");
    }
    // One at a time, so that each is a wait of its own, around the borders of milliseconds.
    for micros in [1, 50, 999, 1_000, 1_001, 1_999, 3_141] {
        let deadline = Instant::now() + Duration::from_micros(micros);
        sleep_until(deadline);
        assert!(Instant::now() >= deadline, "{micros} us");
    }
    let (mut ours, _theirs) = idle_pair();
    for micros in [100, 999, 1_001, 2_500] {
        let limit = Duration::from_micros(micros);
        ours.set_read_timeout(Some(limit)).unwrap();
        let start = Instant::now();
        assert!(ours.read(&mut [0]).is_err());
        assert!(
            start.elapsed() >= limit,
            "{:?} of {limit:?}",
            start.elapsed()
        );
    }
}

#[test]
fn none_rounds_every_wait_up_to_a_millisecond() {
    if !support::is_child() {
        return rerun("none_rounds_every_wait_up_to_a_millisecond", "none");
    }
    let _pair = idle_pair();
    // A sleep is shorter if the thread loses its processor between its look at the clock and its wait; not each is so.
    let longest = (0..20).map(|_| shortest(1, Duration::ZERO)).max();
    let longest = longest.unwrap();
    assert!(
        longest >= MILLISECOND,
        "{longest:?}: not the old call's wait"
    );
}

#[test]
fn auto_waits_for_less_than_a_millisecond() {
    if support::emulated() {
        return println!("not run: the emulator has no epoll_pwait2");
    }
    if !support::is_child() {
        return rerun("auto_waits_for_less_than_a_millisecond", "auto");
    }
    let _pair = idle_pair();
    // One of so many is undisturbed, however busy the machine.
    let least = shortest(5_000, MILLISECOND);
    assert!(
        least < MILLISECOND,
        "{least:?}: is this kernel older than 5.11?"
    );
}

#[test]
fn a_wrong_variable_is_named() {
    if !support::is_child() {
        return rerun("a_wrong_variable_is_named", "nonsense");
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    for _ in 0..2 {
        let error = listener.accept().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.to_string().contains("RUSTLET_EPOLL_PWAIT2=nonsense"),
            "{error}"
        );
    }
}
