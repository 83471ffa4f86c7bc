//! Listening to signals: who hears what, for how long, and what cannot be listened to.
//!
//! Signals are the whole process's, and tests of one binary run side by side: each test has kinds of its own.

mod support;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use rustlet::process::Command;
use rustlet::signal::{SignalKind, Signals, ctrl_c, signal};
use rustlet::{spawn, yield_now};

/// To this process; some thread of it takes it, soon.
fn send(kind: SignalKind) {
    let signal = Signal::from_named_raw(kind.as_raw_value()).unwrap();
    kill_process(getpid(), signal).unwrap();
}

#[test]
fn every_listener_hears_what_comes_after_it_was_made() {
    let _watchdog = support::watchdog();
    let kind = SignalKind::user_defined1();
    let early = signal(kind).unwrap();
    assert_eq!(early.kind(), kind);
    assert_eq!(early.try_recv(), 0);
    send(kind);
    assert_eq!(early.recv().unwrap(), 1);
    let late = Signals::new(kind).unwrap();
    assert_eq!(late.try_recv(), 0, "that was before it");
    let waiting: Vec<_> = [early.try_clone().unwrap(), late.try_clone().unwrap()]
        .into_iter()
        .map(|signals| spawn(move || signals.recv()))
        .collect();
    let remote = {
        let signals = late.try_clone().unwrap();
        thread::spawn(move || signals.recv())
    };
    yield_now();
    send(kind);
    for waiter in waiting {
        assert_eq!(waiter.join().unwrap().unwrap(), 1);
    }
    assert_eq!(remote.join().unwrap().unwrap(), 1);
    // These were not looked at meanwhile.
    assert_eq!((early.recv().unwrap(), late.recv().unwrap()), (1, 1));
    for _ in 0..3 {
        send(kind);
        while early.try_recv() == 0 {
            thread::yield_now();
        }
    }
    assert_eq!(late.iter().next().unwrap().unwrap(), 3, "counted");
    assert_eq!(
        early.recv_timeout(Duration::from_millis(5)).unwrap(),
        None,
        "it has told of all"
    );
}

#[test]
fn for_a_while_and_interrupted() {
    let _watchdog = support::watchdog();
    let kind = SignalKind::user_defined2();
    let signals = Arc::new(signal(kind).unwrap());
    for limit in [0, 5] {
        let limit = Duration::from_millis(limit);
        let start = Instant::now();
        assert_eq!(signals.recv_timeout(limit).unwrap(), None);
        assert!(start.elapsed() >= limit);
    }
    let killed = {
        let signals = signals.clone();
        spawn(move || signals.recv())
    };
    yield_now();
    killed.kill().unwrap();
    assert!(rustlet::timeout(Duration::from_millis(5), || signals.recv()).is_err());
    send(kind);
    assert_eq!(
        signals.recv().unwrap(),
        1,
        "neither of them has taken it away"
    );
}

/// One listener, several greenlets: each signal is told to one of them.
#[test]
fn shared_by_greenlets() {
    let _watchdog = support::watchdog();
    let kind = SignalKind::window_change();
    let signals = Arc::new(signal(kind).unwrap());
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let signals = signals.clone();
            spawn(move || signals.recv().unwrap())
        })
        .collect();
    yield_now();
    for finished in 1..=3 {
        send(kind);
        while waiters.iter().filter(|w| w.is_finished()).count() < finished {
            yield_now();
        }
    }
    let told: u64 = waiters.into_iter().map(|w| w.join().unwrap()).sum();
    assert_eq!(told, 3);
}

/// An idle process is woken, and a busy one looks.
#[test]
fn from_another_process() {
    let _watchdog = support::watchdog();
    let kind = SignalKind::hangup();
    let signals = signal(kind).unwrap();
    let kill = |after: &str| {
        let script = format!("sleep {after}; exec kill -HUP {}", std::process::id());
        Command::new("sh").args(["-c", &script]).spawn().unwrap()
    };
    // Nothing else is to be done: the hub sleeps.
    let mut killer = kill("0.05");
    assert_eq!(signals.recv().unwrap(), 1);
    assert!(killer.wait().unwrap().success());
    // Greenlets keep the hub turning.
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..10)
        .map(|_| {
            let stop = stop.clone();
            spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    yield_now();
                }
            })
        })
        .collect();
    let mut killer = kill("0");
    assert_eq!(signals.recv().unwrap(), 1);
    stop.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|g| g.join().unwrap());
    assert!(killer.wait().unwrap().success());
}

#[test]
fn ctrl_c_wakes_all_who_wait_for_it() {
    let _watchdog = support::watchdog();
    let interrupts = signal(SignalKind::interrupt()).unwrap(); // lest the first one end this process
    let waiters: Vec<_> = (0..3).map(|_| spawn(ctrl_c)).collect();
    let elsewhere = thread::spawn(|| {
        let waiter = spawn(ctrl_c);
        yield_now();
        waiter.join().unwrap()
    });
    yield_now();
    // The other thread may not listen yet: until it has heard one.
    while !elsewhere.is_finished() {
        send(SignalKind::interrupt());
        interrupts.recv().unwrap();
        rustlet::sleep(Duration::from_millis(1));
    }
    elsewhere.join().unwrap().unwrap();
    for waiter in waiters {
        waiter.join().unwrap().unwrap();
    }
}

#[test]
fn what_cannot_be_listened_to() {
    let _watchdog = support::watchdog();
    for (number, name) in [
        (9, "SignalKind(9)"),
        (19, "SignalKind(19)"),
        (11, "SignalKind(11)"),
        (7, "SignalKind(7)"),
        (4, "SignalKind(4)"),
        (8, "SignalKind(8)"),
        (0, "SignalKind(0)"),
        (-1, "SignalKind(-1)"),
        (65, "SignalKind(65)"),
        (33, "SignalKind(33)"),
        (i32::MAX, "SignalKind(2147483647)"),
    ] {
        let error = signal(SignalKind::from_raw(number)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
        assert_eq!(
            error.to_string(),
            format!("{name} is not a signal that can be listened to")
        );
    }
    assert_eq!(i32::from(SignalKind::from(15)), 15);
}

#[test]
fn while_unwinding() {
    let _watchdog = support::watchdog();
    struct Listens(Signals, Arc<AtomicBool>);
    impl Drop for Listens {
        fn drop(&mut self) {
            let limit = Duration::from_millis(2);
            assert_eq!(self.0.recv_timeout(limit).unwrap(), None);
            send(self.0.kind());
            assert_eq!(self.0.recv().unwrap(), 1);
            self.1.store(true, Ordering::SeqCst);
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let listens = Listens(signal(SignalKind::alarm()).unwrap(), done.clone());
    let dying = spawn(move || {
        let _listens = listens;
        rustlet::park().unwrap();
    });
    yield_now();
    dying.kill().unwrap();
    assert!(done.load(Ordering::SeqCst));
}
