//! gevent's `test__signal.py` and `test__issues461_471.py`: what a handler in gevent does, a greenlet that listens does here.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use rustlet::signal::{SignalKind, signal};
use rustlet::{current, sleep, spawn, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

fn send(kind: SignalKind) {
    let signal = Signal::from_named_raw(kind.as_raw_value()).unwrap();
    kill_process(getpid(), signal).unwrap();
}

#[derive(Debug, PartialEq)]
struct Expected(&'static str);

/// `test_alarm`: an exception of the handler comes out of the sleep of `main`, and the handler stays.
#[test]
fn a_listener_may_throw_into_code_that_sleeps_and_listens_on() {
    let _watchdog = support::watchdog();
    let alarms = signal(SignalKind::alarm()).unwrap();
    let sleeper = current();
    let listener = spawn(move || {
        loop {
            alarms.recv().unwrap();
            sleeper.throw(Expected("TestSignal"));
        }
    });
    for _ in 0..2 {
        let alarm = spawn(|| send(SignalKind::alarm()));
        let raised = catch_unwind(AssertUnwindSafe(|| sleep(HOUR))).unwrap_err();
        assert_eq!(
            *raised.downcast::<Expected>().unwrap(),
            Expected("TestSignal")
        );
        alarm.join().unwrap();
    }
    listener.kill().unwrap();
}

/// `test_hang`: Ctrl-C while `main` waits for a greenlet ends the program in good order. In a process of its own, as nothing else
/// must be ended by it.
#[test]
fn ctrl_c_ends_what_main_waits_for() {
    if !support::is_child() {
        let _watchdog = support::watchdog();
        let outcome = support::child("ctrl_c_ends_what_main_waits_for").run();
        outcome.assert_passed();
        return;
    }
    let interrupts = signal(SignalKind::interrupt()).unwrap();
    let task = spawn(|| sleep(HOUR));
    let ended = task.handle();
    spawn(move || {
        interrupts.recv().unwrap();
        ended.kill();
    });
    let user = std::thread::spawn(|| send(SignalKind::interrupt()));
    assert!(task.join().unwrap_err().is_killed());
    user.join().unwrap();
    yield_now();
}

/// Without a listener it ends the process, also one whose thread waits in its hub.
#[test]
fn ctrl_c_ends_a_process_that_does_not_listen() {
    if !support::is_child() {
        let _watchdog = support::watchdog();
        if ignores_interrupts() {
            return println!(
                "not run: interrupts are ignored, as a shell has it for what it runs in the background"
            );
        }
        let outcome = support::child("ctrl_c_ends_a_process_that_does_not_listen").run();
        assert_eq!(outcome.signal(), Some(2), "{outcome:#?}");
        return;
    }
    let task = spawn(|| sleep(HOUR));
    std::thread::spawn(|| send(SignalKind::interrupt()));
    let _ = task.join();
}

/// Whether the process was started with SIGINT ignored, which its children inherit.
fn ignores_interrupts() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(mask.unwrap().trim(), 16).unwrap() & 1 << (2 - 1) != 0
}
