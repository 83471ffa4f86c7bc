//! The system gives no thread: a runtime is not built, or not watched, the error says so, and nothing of it stays behind.

mod support;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustlet::{Runtime, inspect};

/// Runs `f` in an address space that grows by `room` bytes at most; a thread's stack takes two megabytes.
fn within<R>(room: usize, f: impl FnOnce() -> R) -> R {
    let before = getrlimit(Resource::As);
    let set = |current| setrlimit(Resource::As, Rlimit { current, ..before }).unwrap();
    set(Some((support::address_space_bytes() + room) as u64));
    let result = f();
    set(before.current);
    result
}

#[test]
fn a_worker_that_gets_no_thread_takes_the_others_along() {
    let _watchdog = support::watchdog();
    if support::emulated() {
        println!("not run: the emulator's address space is the process's");
        return;
    }
    if !support::is_child() {
        return support::child("a_worker_that_gets_no_thread_takes_the_others_along")
            .run()
            .assert_passed();
    }
    let before = support::thread_count();
    // Room for none of them at first, in the end for all. A thread that has ended leaves its stack to the next,
    // so that each round gets a little further.
    let mut refused = Vec::new();
    for room in (1..).map(|n| n << 19) {
        match within(room, || Runtime::builder().workers(4).name("poor").build()) {
            Ok(runtime) => {
                assert_eq!(runtime.handle().spawn(|| 6 * 7).join().unwrap(), 42);
                break;
            }
            Err(error) => refused.push(error.to_string()),
        }
        support::threads_settle(before, &format!("after {refused:?}"));
    }
    assert!(!refused.is_empty());
    for text in refused {
        let (worker, reason) = text.split_once(" could not be started: ").expect(&text);
        assert!(
            worker.starts_with("worker ") && worker.ends_with(" of 4"),
            "{text}"
        );
        assert!(!reason.is_empty(), "{text}");
    }
}

#[test]
fn a_watch_that_gets_no_thread_leaves_room_for_the_next() {
    let _watchdog = support::watchdog();
    if support::emulated() {
        println!("not run: the emulator's address space is the process's");
        return;
    }
    if !support::is_child() {
        return support::child("a_watch_that_gets_no_thread_leaves_room_for_the_next")
            .run()
            .assert_passed();
    }
    let limit = Duration::from_secs(3600);
    within(1 << 19, || inspect::watch_stalls(limit)).expect_err("there is no room for its stack");
    let watch = inspect::watch_stalls(limit).expect("the first has gone");
    inspect::watch_stalls(limit).expect_err("one is enough");
    drop(watch);
    drop(inspect::watch_stalls(limit).expect("the second has gone"));
}
