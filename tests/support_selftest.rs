//! The test helpers do what the other tests trust them for: a hung test ends, a child's death is
//! seen as it was, a misspelled child name fails, seeds come back, and the counters count.

mod support;

use std::time::{Duration, Instant};
use support::{child, is_child};

const SIGABRT: i32 = 6;

#[test]
fn a_hung_test_is_aborted_by_name() {
    if is_child() {
        let _watchdog = support::watchdog_of(Duration::from_millis(20));
        loop {
            std::thread::park();
        }
    }
    let outcome = child("a_hung_test_is_aborted_by_name").run();
    assert_eq!(outcome.signal(), Some(SIGABRT), "{outcome:?}");
    assert!(outcome.stderr.contains("did not end within"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("support_selftest.rs:"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("watchdog"),
        "the threads are listed: {outcome:?}"
    );
}

#[test]
fn a_deadline_that_is_met_does_nothing() {
    assert_eq!(support::deadline(Duration::from_secs(60), || 7), 7);
}

#[test]
fn a_child_gives_its_output_and_environment() {
    if is_child() {
        println!("out {}", std::env::var("ANSWER").unwrap());
        eprintln!("err");
        return;
    }
    let outcome = child("a_child_gives_its_output_and_environment")
        .env("ANSWER", "42")
        .run();
    outcome.assert_passed();
    assert_eq!(outcome.signal(), None);
    assert!(outcome.stdout.contains("out 42"), "{outcome:?}");
    assert!(outcome.stderr.contains("err"), "{outcome:?}");
}

#[test]
fn a_panic_in_a_child_is_a_failure() {
    if is_child() {
        panic!("on purpose");
    }
    let outcome = child("a_panic_in_a_child_is_a_failure").run();
    assert!(!outcome.status.success());
    assert!(outcome.stderr.contains("on purpose"), "{outcome:?}");
}

#[test]
#[should_panic(expected = "has no test called `no_such_test`")]
fn a_misspelled_child_is_noticed() {
    child("no_such_test").run();
}

#[test]
fn a_late_child_is_killed_and_its_output_kept() {
    if is_child() {
        println!("before");
        loop {
            std::thread::park();
        }
    }
    let start = Instant::now();
    let late = std::panic::catch_unwind(|| {
        child("a_late_child_is_killed_and_its_output_kept")
            .limit(Duration::from_secs(2))
            .run()
    })
    .expect_err("the child never ends by itself");
    let message = late.downcast_ref::<String>().expect("a formatted message");
    assert!(message.contains("did not end within"), "{message}");
    assert!(message.contains("before"), "{message}");
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_seed_is_printed_and_taken_back() {
    if is_child() {
        println!("got {}", support::seed());
        return;
    }
    let run = |seed: &str| {
        child("a_seed_is_printed_and_taken_back")
            .env("RUSTLET_TEST_SEED", seed)
            .run()
            .stdout
    };
    assert!(run("0x2a").contains("RUSTLET_TEST_SEED=0x2a\ngot 42"));
    assert!(run("42").contains("RUSTLET_TEST_SEED=0x2a\ngot 42"));
    assert_eq!(support::parse_seed("0x"), None);
    assert_eq!(support::parse_seed("seed"), None);
}

#[test]
fn the_counters_count() {
    if is_child() {
        let (fds, threads) = (support::open_fds(), support::thread_count());
        let file = std::fs::File::open("/proc/self/maps").unwrap();
        assert_eq!(support::open_fds(), fds + 1);
        drop(file);
        assert_eq!(support::open_fds(), fds);

        let (send, receive) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || receive.recv());
        assert_eq!(support::thread_count(), threads + 1);
        drop(send);
        thread.join().unwrap().unwrap_err();

        let before = support::rss_bytes();
        let memory = std::hint::black_box(vec![1_u8; 32 << 20]);
        let grown = support::rss_bytes() - before;
        assert!(
            grown >= 30 << 20,
            "32 MiB were written, {grown} bytes are counted"
        );
        drop(memory);

        let before = support::rss_bytes();
        let memory = std::hint::black_box(vec![0_u8; 32 << 20]);
        let grown = support::rss_bytes().saturating_sub(before);
        assert!(
            grown < 8 << 20,
            "nothing was written, {grown} bytes are counted"
        );
        drop(memory);

        assert!(support::vma_count() > 5);
        let cpu = support::process_cpu_time();
        while support::process_cpu_time() == cpu {}
        return;
    }
    child("the_counters_count").run().assert_passed();
}
