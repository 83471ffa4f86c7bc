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

/// Std aborts a process in which a thread finds no memory for its signal stack as it begins.
#[test]
fn a_thread_with_room_for_its_stack_only_is_refused() {
    let _watchdog = support::watchdog();
    if support::emulated() {
        println!("not run: the emulator's address space is the process's");
        return;
    }
    let name = "a_thread_with_room_for_its_stack_only_is_refused";
    if let (true, Ok(kib)) = (support::is_child(), std::env::var("ROOM_KIB")) {
        let room: usize = kib.parse().unwrap();
        let watched = within(room << 10, || {
            inspect::watch_stalls(Duration::from_secs(3600))
        });
        match watched {
            Ok(_) => println!("begun"),
            Err(error) => println!("refused: {error}."),
        }
        return;
    }
    let (mut begun, mut refused) = (0, 0);
    // Processes of their own, as stacks of threads that have ended are used again.
    for kib in (1900..2300).step_by(8) {
        let child = support::child(name).env("ROOM_KIB", &kib.to_string());
        let outcome = child.run();
        outcome.assert_passed();
        begun += u32::from(outcome.stdout.contains("begun"));
        if let Some((_, text)) = outcome.stdout.split_once("refused: ") {
            for part in ["rustlet-stalls", "RLIMIT_AS", "vm.max_map_count"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            refused += 1;
        }
    }
    assert!(
        begun > 0 && refused > 0,
        "{begun} began, {refused} were refused"
    );
}
