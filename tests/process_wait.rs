//! Waiting for children: by many, for a while, while unwinding, and interrupted. Once by pidfd, once by threads.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustlet::process::{Child, Command, Stdio};
use rustlet::{sleep, spawn, spawn_local, yield_now};

fn sleeper() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

fn others_run_meanwhile() {
    // It ends when its input does, which is up to a greenlet that runs while this one waits.
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take().unwrap();
    let ticker = spawn_local(move || {
        for _ in 0..3 {
            sleep(Duration::from_millis(1));
        }
        drop(input);
    });
    assert!(child.wait().unwrap().success());
    ticker.join().unwrap();
}

fn for_a_while() {
    let mut child = sleeper();
    for limit in [0, 1, 20] {
        let limit = Duration::from_millis(limit);
        let start = Instant::now();
        assert_eq!(child.wait_timeout(limit).unwrap(), None);
        assert!(start.elapsed() >= limit);
    }
    assert_eq!(child.try_wait().unwrap(), None);
    assert!(
        rustlet::timeout(Duration::from_millis(5), || child.wait()).is_err(),
        "it still runs"
    );
    child.kill().unwrap();
    let limit = Duration::from_secs(3600);
    assert_eq!(
        child.wait_timeout(limit).unwrap().unwrap().signal(),
        Some(9)
    );
    assert_eq!(
        child
            .wait_timeout(Duration::ZERO)
            .unwrap()
            .unwrap()
            .signal(),
        Some(9)
    );
}

fn two_greenlets_and_two_threads() {
    let child = sleeper();
    let process = child.process();
    let greenlets: Vec<_> = (0..2)
        .map(|_| {
            let process = process.clone();
            spawn(move || process.wait())
        })
        .collect();
    let threads: Vec<_> = [None, Some(Duration::from_secs(3600))]
        .into_iter()
        .map(|limit| {
            let process = process.clone();
            thread::spawn(move || match limit {
                None => process.wait(),
                Some(limit) => Ok(process.wait_timeout(limit)?.unwrap()),
            })
        })
        .collect();
    sleep(Duration::from_millis(10));
    process.kill().unwrap();
    for greenlet in greenlets {
        assert_eq!(greenlet.join().unwrap().unwrap().signal(), Some(9));
    }
    for thread in threads {
        assert_eq!(thread.join().unwrap().unwrap().signal(), Some(9));
    }
    drop(child);
    assert_eq!(process.wait().unwrap().signal(), Some(9));
}

fn a_killed_waiter_leaves_the_child() {
    let child = sleeper();
    let process = child.process();
    let waiter = {
        let process = process.clone();
        spawn(move || process.wait())
    };
    let patient = {
        let process = process.clone();
        spawn(move || process.wait())
    };
    yield_now();
    waiter.kill().unwrap();
    assert_eq!(process.try_wait().unwrap(), None, "it still runs");
    assert!(!patient.is_finished());
    process.kill().unwrap();
    assert_eq!(patient.join().unwrap().unwrap().signal(), Some(9));
}

/// A loop around `try_wait` lets others run, and the child end.
fn polled() {
    let mut child = Command::new("true").spawn().unwrap();
    let ran = std::rc::Rc::new(std::cell::Cell::new(false));
    let other = {
        let ran = ran.clone();
        spawn_local(move || ran.set(true))
    };
    while child.try_wait().unwrap().is_none() || !ran.get() {}
    other.join().unwrap();
    assert!(child.wait().unwrap().success());
}

fn while_unwinding() {
    struct Waits(Child, Arc<AtomicBool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let limit = Duration::from_millis(5);
            assert_eq!(self.0.wait_timeout(limit).unwrap(), None);
            self.0.kill().unwrap();
            assert_eq!(self.0.wait().unwrap().signal(), Some(9));
            self.1.store(true, Ordering::SeqCst);
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let waits = Waits(sleeper(), done.clone());
    let dying = spawn(move || {
        let _waits = waits;
        rustlet::park().unwrap();
    });
    yield_now();
    dying.kill().unwrap();
    assert!(done.load(Ordering::SeqCst));
}

/// Somebody else has reaped it: std's error.
fn reaped_by_another() {
    let mut child = Command::new("true").spawn().unwrap();
    let process = child.process();
    let early = spawn(move || process.wait());
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap());
    rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap();
    assert_eq!(child.wait().unwrap_err().raw_os_error(), Some(10), "ECHILD");
    assert_eq!(
        early.join().unwrap().unwrap_err().raw_os_error(),
        Some(10),
        "ECHILD"
    );
}

fn all() {
    others_run_meanwhile();
    for_a_while();
    two_greenlets_and_two_threads();
    a_killed_waiter_leaves_the_child();
    polled();
    while_unwinding();
    reaped_by_another();
}

#[test]
fn by_pidfd() {
    let _watchdog = support::watchdog();
    all();
}

#[test]
fn by_threads() {
    if support::is_child() {
        return all();
    }
    let _watchdog = support::watchdog();
    support::child("by_threads")
        .env("RUSTLET_PIDFD", "none")
        .run()
        .assert_passed();
}

#[test]
fn a_wrong_variable_is_named() {
    if support::is_child() {
        let mut child = sleeper();
        let error = child.wait().unwrap_err();
        child.kill().unwrap();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("RUSTLET_PIDFD=nonsense"));
        return;
    }
    let _watchdog = support::watchdog();
    support::child("a_wrong_variable_is_named")
        .env("RUSTLET_PIDFD", "nonsense")
        .run()
        .assert_passed();
}
