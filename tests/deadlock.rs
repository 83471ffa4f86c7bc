//! When nothing can ever wake the code on a thread's own stack, it is told so, with the names of
//! those who wait and what for; and never otherwise.
//!
//! A greenlet in `park` could be woken by any other thread that has its handle, so there it takes a
//! process with one thread, which a test is not: [`alone`] forks one.
#![allow(unsafe_code)] // `pre_exec`, which is how std forks.

mod support;

use std::os::unix::process::CommandExt;
use std::panic::catch_unwind;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustlet::net::TcpListener;
use rustlet::sync::Mutex;
use rustlet::{Builder, Greenlet, park, sleep, spawn, yield_now};

const FOR_EVER: Duration = Duration::MAX;

/// What `f` returns in a process that has a single thread.
fn alone(f: fn() -> String) -> String {
    assert!(support::is_child(), "the fork copies no test but one");
    let mut command = Command::new("/this/is/never/run");
    // (std makes every panic there abort, so `f` cannot catch one.)
    // SAFETY: the forked process runs `f` and exits. It may use what it likes: of the threads it
    // left behind, one waits for this test and the other for the time to run out, with no lock held.
    unsafe {
        command.pre_exec(move || {
            // Not through std's handle of it, whose lock somebody may have held at the fork.
            std::fs::write("/dev/stdout", f())?;
            std::process::exit(0);
        });
    }
    let output = command.output().expect("fork");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn stuck(name: &str) -> Greenlet<()> {
    Builder::new().name(name).spawn(|| sleep(FOR_EVER)).unwrap()
}

#[test]
fn joining_what_nobody_can_wake_is_an_error_that_names_all() {
    let _watchdog = support::watchdog();
    let (first, second) = (stuck("first"), stuck("second"));
    let (one, two) = (first.id(), second.id());
    let outer = Builder::new()
        .name("outer")
        .spawn(move || second.join().unwrap())
        .unwrap();
    let three = outer.id();
    let error = outer.join().unwrap_err();
    assert!(error.is_deadlock() && !error.is_killed());
    let report = error.deadlock().unwrap();
    assert_eq!(report.blocked(), 3);
    let text = report.to_string();
    let head = format!(
        "deadlock: this code waits for the end of greenlet #{three}, and nothing can ever wake it; \
         3 greenlets are blocked: "
    );
    assert!(text.starts_with(&head), "{text}");
    for line in [
        (format!("greenlet 'first' (#{one})"), "a timer".to_owned()),
        (format!("greenlet 'second' (#{two})"), "a timer".to_owned()),
        (
            format!("greenlet 'outer' (#{three})"),
            format!("the end of greenlet #{two}"),
        ),
    ] {
        let (who, what) = line;
        let of_it = text
            .find(&who)
            .map(|at| text[at..].split("; ").next().unwrap());
        let of_it = of_it.unwrap_or_else(|| panic!("{who}: {text}"));
        assert!(
            of_it.contains(", spawned at tests/deadlock.rs:"),
            "{who}: {text}"
        );
        assert!(
            of_it.contains(&format!(" waits for {what}, for ")),
            "{who}: {text}"
        );
    }
    // The thread goes on as if nothing had happened.
    assert_eq!(spawn(|| 1).join().unwrap(), 1);
    first.kill().unwrap();
}

#[test]
fn a_long_list_is_counted() {
    let _watchdog = support::watchdog();
    for _ in 0..100 {
        spawn(|| sleep(FOR_EVER));
    }
    let error = stuck("last").join().unwrap_err();
    assert_eq!(error.deadlock().unwrap().blocked(), 101);
    assert!(error.to_string().ends_with("; and 81 more"), "{error}");
}

#[test]
fn run_panics_with_the_report() {
    let _watchdog = support::watchdog();
    let payload = catch_unwind(|| rustlet::run(|| stuck("inner").join().unwrap())).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert!(text.contains("deadlock: "), "{text}");
    assert!(text.contains("greenlet 'inner'"), "{text}");
}

#[test]
fn sleeping_for_ever_alone_panics() {
    let _watchdog = support::watchdog();
    let payload = catch_unwind(|| sleep(FOR_EVER)).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert!(text.starts_with("sleeping for ever: deadlock"), "{text}");
}

#[test]
fn a_timer_a_limit_or_a_socket_is_no_deadlock() {
    let _watchdog = support::watchdog();
    // A timer that will kill the one that is waited for.
    let target = stuck("target");
    let handle = target.handle();
    let start = Instant::now();
    spawn(move || {
        sleep(Duration::from_millis(20));
        handle.kill();
    });
    assert!(target.join().unwrap_err().is_killed());
    assert!(start.elapsed() >= Duration::from_millis(20));

    // A limit on the wait itself.
    let target = stuck("target");
    let target = target.join_timeout(Duration::from_millis(5)).unwrap_err();
    assert!(rustlet::timeout(Duration::from_millis(5), || target.join().unwrap()).is_err());

    // A greenlet that is yet to start.
    let later = rustlet::spawn_later(Duration::from_millis(5), || 1);
    assert_eq!(later.join().unwrap(), 1);

    // A socket that anybody might connect to.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let acceptor = spawn(move || drop(listener.accept().unwrap()));
    let client = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        std::net::TcpStream::connect(addr).unwrap()
    });
    acceptor.join().unwrap();
    client.join().unwrap();

    // Another thread that has the handle.
    let parked = spawn(|| park().unwrap());
    let handle = parked.handle();
    let waker = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        handle.unpark();
    });
    parked.join().unwrap();
    waker.join().unwrap();
}

#[test]
fn parked_with_no_other_thread_to_wake_it() {
    if support::emulated() {
        println!(
            "not run: the emulator has a thread of its own in this process, which could wake anybody"
        );
        return;
    }
    if !support::is_child() {
        return support::child("parked_with_no_other_thread_to_wake_it")
            .run()
            .assert_passed();
    }
    let main = alone(|| park().unwrap_err().to_string());
    assert_eq!(
        main,
        "deadlock: this code waits for an unpark, and nothing can ever wake it; 0 greenlets are \
         blocked"
    );

    let joined = alone(|| {
        let parked = Builder::new().name("parked").spawn(park).unwrap();
        parked.join().unwrap_err().to_string()
    });
    assert!(joined.contains("greenlet 'parked' (#"), "{joined}");
    assert!(joined.contains(" waits for an unpark, for "), "{joined}");

    // The report is an error like others: the wait can be tried again once it has a chance.
    let recovered = alone(|| {
        assert!(park().is_err());
        let main = rustlet::current();
        spawn(move || {
            yield_now();
            main.unpark();
        });
        park().unwrap();
        let main = rustlet::current();
        let other = std::thread::spawn(move || main.unpark());
        park().unwrap();
        other.join().unwrap();
        "recovered".into()
    });
    assert_eq!(recovered, "recovered");
}

#[test]
fn the_report_names_the_holder_of_a_lock() {
    if support::emulated() {
        println!(
            "not run: the emulator has a thread of its own in this process, which could wake anybody"
        );
        return;
    }
    if !support::is_child() {
        return support::child("the_report_names_the_holder_of_a_lock")
            .run()
            .assert_passed();
    }
    let report = alone(|| {
        let mutex = Arc::new(Mutex::new(()));
        let greedy = Builder::new().name("greedy").spawn({
            let mutex = mutex.clone();
            move || {
                let _guard = mutex.lock();
                park()
            }
        });
        yield_now();
        let poor = Builder::new().name("poor").spawn({
            let mutex = mutex.clone();
            move || drop(mutex.lock())
        });
        yield_now();
        let report = poor.unwrap().join().unwrap_err().to_string();
        drop(greedy);
        report
    });
    let poor = report.find("greenlet 'poor'").expect("it is listed");
    assert!(
        report[poor..].contains(" waits for a mutex, held by greenlet 'greedy' (#"),
        "{report}"
    );
}

#[test]
fn parked_after_the_last_other_thread_has_ended() {
    if support::emulated() {
        println!(
            "not run: the emulator has a thread of its own in this process, which could wake anybody"
        );
        return;
    }
    if !support::is_child() {
        return support::child("parked_after_the_last_other_thread_has_ended")
            .run()
            .assert_passed();
    }
    // That there was another thread a moment ago must not be taken for there being one.
    let report = alone(|| {
        let main = rustlet::current();
        let waker = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            main.unpark();
        });
        park().unwrap();
        waker.join().unwrap();
        support::threads_settle(1, "after it");
        park().unwrap_err().to_string()
    });
    assert!(report.starts_with("deadlock: "), "{report}");
}
