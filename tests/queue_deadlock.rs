//! Who waits at a queue, a channel or a select that nobody else can ever use is listed in the report of the deadlock, with
//! what it waits for.
//!
//! Any thread could put an item, so it takes a process with one thread, which a test is not: as in `deadlock.rs`, the test
//! forks one.
#![allow(unsafe_code)] // `pre_exec`, which is how std forks.

mod support;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use rustlet::queue::{Channel, Queue};
use rustlet::sync::mpmc;
use rustlet::{Builder, select, yield_now};

/// What `f` returns in a process that has a single thread.
fn alone(f: fn() -> String) -> String {
    assert!(support::is_child(), "the fork copies no test but one");
    let mut command = Command::new("/this/is/never/run");
    // SAFETY: the forked process runs `f` and exits. It may use what it likes: of the threads it
    // left behind, one waits for this test and the other for the time to run out, with no lock held.
    unsafe {
        command.pre_exec(move || {
            std::fs::write("/dev/stdout", f())?;
            std::process::exit(0);
        });
    }
    let output = command.output().expect("fork");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_report_lists_who_waits() {
    if support::emulated() {
        println!("not run: the emulator has a thread of its own in this process");
        return;
    }
    if !support::is_child() {
        return support::child("the_report_lists_who_waits")
            .run()
            .assert_passed();
    }
    let report = alone(|| {
        let name = |name| Builder::new().name(name);
        let queue = Arc::new(Queue::bounded(1));
        let (sender, receiver) = mpmc::bounded::<u8>(0);
        let channel = Arc::new(Channel::<u8>::new());
        queue.put(1).unwrap();
        let stuck = [
            name("putter").spawn({
                let queue = queue.clone();
                move || assert!(queue.put(2).is_ok())
            }),
            name("joiner").spawn({
                let queue = queue.clone();
                move || queue.join()
            }),
            name("sender").spawn({
                let sender = sender.clone();
                move || assert!(sender.try_send(1).is_err())
            }),
            name("getter").spawn({
                let channel = channel.clone();
                move || assert!(channel.get().is_ok())
            }),
            name("chooser").spawn({
                let sender = sender.clone();
                let queue = queue.clone();
                move || {
                    select! {
                        send(sender, 1) -> _ => {},
                        put(queue, 1) -> _ => {},
                    }
                }
            }),
        ];
        yield_now();
        let [first, ..] = stuck;
        let report = first.unwrap().join().unwrap_err().to_string();
        drop(receiver);
        report
    });
    for expected in [
        "greenlet 'putter' (#",
        " waits for room in a queue",
        " waits for the items of a queue to be done",
        " waits for an item of a channel",
        " waits for one of several things",
    ] {
        assert!(report.contains(expected), "{expected}: {report}");
    }
    assert!(!report.contains("'sender'"), "{report}");
}
