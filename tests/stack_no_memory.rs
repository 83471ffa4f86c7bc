//! The system has no memory, or no guards, for a stack: an error names the limit and the remedy, and what exists goes on.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::mm::{MlockAllFlags, mlockall, munlockall};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use rustlet::raw::Greenlet;
use rustlet::stack::{self, GuardKind};
use rustlet::{Builder, sleep, spawn, yield_now};

/// Of a class that nothing else here has, so that memory has to be had from the system.
const STACK: usize = 64 << 20;
const LIMIT: u64 = 1 << 30;

fn text_of(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<String>()
        .expect("a panic with a text")
}

#[test]
fn data_that_is_used_up_is_an_error_with_a_remedy() {
    if support::emulated() {
        println!("not run: the emulator does not hold a process to RLIMIT_DATA");
        return;
    }
    if !support::is_child() {
        return support::child("data_that_is_used_up_is_an_error_with_a_remedy")
            .run()
            .assert_passed();
    }
    spawn(|| ()).join().unwrap();
    let before = getrlimit(Resource::Data);
    let set = |current| setrlimit(Resource::Data, Rlimit { current, ..before }).unwrap();
    set(Some(LIMIT));
    let mut greenlets = Vec::new();
    let error = loop {
        let builder = Builder::new().stack_size(STACK);
        match builder.spawn(|| sleep(Duration::from_secs(3600))) {
            Ok(greenlet) => greenlets.push(greenlet),
            Err(error) => break error,
        }
        assert!(greenlets.len() < 100, "the limit does not hold");
    };
    let text = error.to_string();
    for part in ["65536 KiB", "RLIMIT_DATA", &LIMIT.to_string(), "ulimit -d"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(greenlets.len() > 3);
    let raw = || rustlet::raw::Builder::new().stack_size(STACK);
    let error = raw().build(|()| ()).unwrap_err();
    assert!(error.to_string().contains("RLIMIT_DATA"), "{error}");
    yield_now();
    for greenlet in greenlets {
        greenlet.kill().unwrap();
    }
    // What they gave back is used again, and what is allowed now is had.
    raw().build(|()| ()).unwrap().switch(());
    set(before.current);
    let again = Vec::from_iter((0..40).map(|n| {
        let builder = Builder::new().stack_size(STACK);
        builder.spawn(move || n).unwrap()
    }));
    for (n, greenlet) in again.into_iter().enumerate() {
        assert_eq!(greenlet.join().unwrap(), n);
    }
}

#[test]
fn a_stack_without_a_guard_is_not_run_on() {
    if support::emulated() || !geteuid().is_root() {
        println!("not run: only root may lock all memory");
        return;
    }
    if !support::is_child() {
        return support::child("a_stack_without_a_guard_is_not_run_on")
            .run()
            .assert_passed();
    }
    spawn(|| ()).join().unwrap();
    if stack::stats().guards != GuardKind::Madvise {
        println!("not run: only guards by madvise can be refused later");
        return;
    }
    // They were chosen; now mappings come into being in which the kernel makes none.
    mlockall(MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT).unwrap();
    let builder = || Builder::new().name("bare").stack_size(STACK);
    let error = builder().spawn(|| ()).unwrap().join().unwrap_err();
    let text = error.to_string();
    for part in ["got no stack", "MADV_GUARD_INSTALL", "mlockall"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!error.is_panic() && !error.is_killed(), "{error:?}");

    // A raw greenlet's parent is told instead of getting a value, and the greenlet has ended.
    let raw = || rustlet::raw::Builder::new().stack_size(STACK);
    let bare = raw().build(|()| ()).unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| bare.switch(()))).unwrap_err();
    let text = text_of(&*payload);
    for part in ["no stack for raw greenlet", "mlockall"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(bare.dead());
    let parent = Greenlet::new(move |()| {
        let child = raw().build(|()| ()).unwrap();
        let payload = catch_unwind(AssertUnwindSafe(|| child.switch(()))).unwrap_err();
        assert!(text_of(&*payload).contains("no stack for raw greenlet"));
    });
    parent.switch(());
    assert!(parent.dead());

    munlockall().unwrap();
    let whole = Vec::from_iter((0..8).map(|n| builder().spawn(move || n).unwrap()));
    for (n, greenlet) in whole.into_iter().enumerate() {
        assert_eq!(greenlet.join().unwrap(), n);
    }
}
