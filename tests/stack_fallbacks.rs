//! Other systems, on this one: each kind of guard forced by `RUSTLET_GUARDS`, and the limits under
//! which stacks run out, with the words in which that is reported.

mod support;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustlet::stack::{self, GuardKind};
use rustlet::{Builder, sleep, spawn, yield_now};

/// Life with whatever guards there are.
fn work() {
    for _ in 0..3 {
        let count = 2_000 / support::slowdown() as usize;
        let greenlets = Vec::from_iter((0..count).map(|n| {
            spawn(move || {
                yield_now();
                sleep(Duration::from_millis(1));
                n
            })
        }));
        let sum: usize = greenlets.into_iter().map(|g| g.join().unwrap()).sum();
        assert_eq!(sum, count * (count - 1) / 2);
        stack::trim();
    }
}

#[test]
fn every_kind_of_guard_works() {
    if support::is_child() {
        let asked = std::env::var("RUSTLET_GUARDS").unwrap();
        if let Err(error) = Builder::new().spawn(|| ()) {
            // A system may lack it; then it says so, and names the variable.
            println!("unavailable: {error}");
            assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
            assert!(error.to_string().contains("unset the variable"), "{error}");
            return;
        }
        work();
        assert_eq!(stack::stats().guards.to_string(), asked);
        return;
    }
    for kind in ["madvise", "poison", "mprotect", "none"] {
        let outcome = support::child("every_kind_of_guard_works")
            .env("RUSTLET_GUARDS", kind)
            .run();
        outcome.assert_passed();
        if ["mprotect", "none"].contains(&kind) {
            assert!(!outcome.stdout.contains("unavailable"), "{outcome:?}");
        }
    }
}

#[test]
fn no_setting_chooses_a_real_guard() {
    if support::is_child() {
        work();
        assert_ne!(stack::stats().guards, GuardKind::None);
        return;
    }
    for auto in ["auto", ""] {
        support::child("no_setting_chooses_a_real_guard")
            .env("RUSTLET_GUARDS", auto)
            .run()
            .assert_passed();
    }
}

#[test]
fn nonsense_is_refused_with_the_choices() {
    if support::is_child() {
        let error = Builder::new().spawn(|| ()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        println!("said: {error}");
        let again = Builder::new().spawn(|| ()).unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
        spawn(|| ()); // panics, with the same text
        return;
    }
    let outcome = support::child("nonsense_is_refused_with_the_choices")
        .env("RUSTLET_GUARDS", "nonsense")
        .run();
    let text = "RUSTLET_GUARDS=nonsense: not a kind of stack guard; it may be auto, madvise, poison, \
                mprotect or none";
    assert!(
        outcome.stdout.contains(&format!("said: {text}")),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains(&format!("spawn: {text}")),
        "{outcome:?}"
    );
}

#[test]
fn address_space_that_is_used_up_is_an_error_with_a_remedy() {
    if support::emulated() {
        println!("not run: the emulator does not hold a process to RLIMIT_AS");
        return;
    }
    if !support::is_child() {
        return support::child("address_space_that_is_used_up_is_an_error_with_a_remedy")
            .run()
            .assert_passed();
    }
    spawn(|| ()).join().unwrap();
    let limit = Rlimit {
        current: Some(4 << 30),
        maximum: Some(4 << 30),
    };
    setrlimit(Resource::As, limit).unwrap();
    let mut greenlets = Vec::new();
    let error = loop {
        let builder = Builder::new().stack_size(64 << 20);
        match builder.spawn(|| sleep(Duration::from_secs(3600))) {
            Ok(greenlet) => greenlets.push(greenlet),
            Err(error) => break error,
        }
        assert!(greenlets.len() < 1000, "the limit does not hold");
    };
    let text = error.to_string();
    for part in ["65536 KiB", "RLIMIT_AS", "4294967296", "ulimit -v"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Nothing is broken: those that exist go on, and what they give back is used again.
    assert!(greenlets.len() > 3);
    yield_now();
    let all = greenlets.len();
    for greenlet in greenlets {
        greenlet.kill().unwrap();
    }
    let again = Vec::from_iter((0..all).map(|n| {
        Builder::new()
            .stack_size(64 << 20)
            .spawn(move || n)
            .unwrap()
    }));
    for (n, greenlet) in again.into_iter().enumerate() {
        assert_eq!(greenlet.join().unwrap(), n);
    }
}

#[test]
fn the_budget_of_mprotect_guards_is_an_error_with_a_remedy() {
    if !support::is_child() {
        let outcome = support::child("the_budget_of_mprotect_guards_is_an_error_with_a_remedy")
            .env("RUSTLET_GUARDS", "mprotect")
            .limit(Duration::from_secs(120))
            .run();
        return outcome.assert_passed();
    }
    let allowed: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(65_530);
    if allowed > 300_000 {
        return println!("skipped: vm.max_map_count={allowed} allows too many to count up to it");
    }
    let mut greenlets = Vec::new();
    let error = loop {
        match Builder::new().stack_size(16 << 10).spawn(yield_now) {
            Ok(greenlet) => greenlets.push(greenlet),
            Err(error) => break error,
        }
    };
    let text = error.to_string();
    for part in ["vm.max_map_count", "sysctl -w", &allowed.to_string()] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(greenlets.len() > allowed / 8 && greenlets.len() <= allowed / 2);
    println!("{} greenlets of {allowed} mappings", greenlets.len());
    // All that were promised a stack get one; and there is room for the rest of the process.
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    std::thread::spawn(|| ()).join().unwrap();
}
