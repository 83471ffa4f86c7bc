//! Stack overflow: ends the process with a report that names the greenlet, whatever the guards are;
//! every other fault goes where it went before.
#![allow(unsafe_code)] // Faults on purpose, and a handler of a program's own for them.

mod support;

use std::hint::black_box;
use std::time::Duration;

use rustlet::{Builder, spawn, yield_now};
use support::{Outcome, child, is_child};

const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;

/// Recurses without end.
#[inline(never)]
#[allow(unconditional_recursion)]
fn overflow(depth: usize) -> usize {
    let block = [depth; 64];
    black_box(&block);
    overflow(depth + 1) + black_box(&block)[0]
}

/// Reads from the first page, where nothing is.
fn fault() {
    // SAFETY: none: this is the fault that the tests are about. It ends the process.
    unsafe { std::ptr::with_exposed_provenance::<u8>(black_box(16)).read_volatile() };
}

#[track_caller]
fn reports(outcome: &Outcome, parts: &[&str]) {
    assert_eq!(outcome.signal(), Some(SIGABRT), "{outcome:#?}");
    for part in parts {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:#?}");
    }
}

#[test]
fn the_report_names_greenlet_size_and_remedy_for_every_guard() {
    if is_child() {
        let neighbours = [(); 3].map(|()| spawn(yield_now));
        yield_now();
        match Builder::new().name("deep").spawn(|| overflow(0)) {
            Ok(deep) => deep.join().map(drop).unwrap(),
            Err(error) => println!("unavailable: {error}"),
        }
        drop(neighbours);
        return;
    }
    for kind in ["auto", "mprotect", "poison", "madvise"] {
        let outcome = child("the_report_names_greenlet_size_and_remedy_for_every_guard")
            .env("RUSTLET_GUARDS", kind)
            .run();
        if kind != "auto" && outcome.stderr.contains("this system cannot do that") {
            println!("{kind}: not on this system");
            continue;
        }
        reports(
            &outcome,
            &[
                "rustlet: stack overflow in greenlet 'deep' (#4)",
                "its stack has 256 KiB",
                "stack_size(512 * 1024)",
            ],
        );
    }
}

#[test]
fn small_and_large_stacks_without_a_name() {
    if is_child() {
        let kib: usize = std::env::var("KIB").unwrap().parse().unwrap();
        let builder = Builder::new().stack_size(kib * 1024);
        let _ = builder.spawn(|| overflow(0)).unwrap().join();
        return;
    }
    for (kib, more) in [(16, 32), (64, 128), (8192, 16384)] {
        let outcome = child("small_and_large_stacks_without_a_name")
            .env("KIB", &kib.to_string())
            .run();
        let (size, remedy) = (
            format!("its stack has {kib} KiB"),
            format!("stack_size({more} * 1024)"),
        );
        reports(&outcome, &["overflow in greenlet #1\n", &size, &remedy]);
    }
}

#[test]
fn on_any_thread_and_after_other_greenlets() {
    if is_child() {
        spawn(|| ()).join().unwrap();
        std::thread::spawn(|| {
            for _ in 0..100 {
                spawn(yield_now).join().unwrap();
            }
            let deep = Builder::new()
                .name("elsewhere")
                .spawn(|| {
                    rustlet::sleep(Duration::from_millis(1));
                    overflow(0)
                })
                .unwrap();
            let _ = deep.join();
        })
        .join()
        .unwrap();
        return;
    }
    let outcome = child("on_any_thread_and_after_other_greenlets").run();
    reports(&outcome, &["overflow in greenlet 'elsewhere' (#"]);
}

#[test]
fn in_a_destructor_of_a_killed_greenlet() {
    if is_child() {
        struct Deep;
        impl Drop for Deep {
            fn drop(&mut self) {
                overflow(0);
            }
        }
        let killed = spawn(|| {
            let _deep = Deep;
            rustlet::sleep(Duration::from_secs(3600));
        });
        yield_now();
        let _ = killed.kill();
        return;
    }
    let outcome = child("in_a_destructor_of_a_killed_greenlet").run();
    reports(&outcome, &["overflow in greenlet #1"]);
}

#[test]
fn a_threads_own_overflow_is_still_stds_to_report() {
    if is_child() {
        spawn(|| ()).join().unwrap(); // the handler is ours by now
        let builder = std::thread::Builder::new().name("plain".into());
        if std::env::var("HUB").unwrap() == "yes" {
            let _ = builder.spawn(|| {
                spawn(|| ()).join().unwrap();
                overflow(0)
            });
        } else {
            let _ = builder.spawn(|| overflow(0));
        }
        loop {
            std::thread::park();
        }
    }
    for hub in ["yes", "no"] {
        let outcome = child("a_threads_own_overflow_is_still_stds_to_report")
            .env("HUB", hub)
            .run();
        reports(&outcome, &["thread 'plain'", "has overflowed its stack"]);
        assert!(!outcome.stderr.contains("rustlet:"), "{outcome:#?}");
    }
}

#[test]
fn other_faults_end_the_process_as_ever() {
    if is_child() {
        return match std::env::var("WHERE").unwrap().as_str() {
            "greenlet" => drop(spawn(fault).join()),
            _ => {
                spawn(|| ()).join().unwrap();
                fault();
            }
        };
    }
    for place in ["greenlet", "thread"] {
        let outcome = child("other_faults_end_the_process_as_ever")
            .env("WHERE", place)
            .run();
        assert_eq!(outcome.signal(), Some(SIGSEGV), "{outcome:#?}");
        assert!(!outcome.stderr.contains("overflow"), "{outcome:#?}");
    }
}

/// A program's own handler, as a crash reporter has.
extern "C" fn reporter(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel (or whoever calls in its place) passes a valid siginfo.
    let address = unsafe { (*info).si_addr() } as usize;
    let text: &[u8] = match address {
        16 => b"the program's own handler, and the right address\n",
        _ => b"the program's own handler, but a wrong address\n",
    };
    // SAFETY: writes a constant; ends the process. Both may be called in a handler.
    unsafe {
        libc::write(2, text.as_ptr().cast(), text.len());
        libc::_exit(42);
    }
}

#[test]
fn other_faults_go_to_the_handler_that_was_there() {
    if is_child() {
        // SAFETY: an action that is valid, with a handler that only does what a handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = reporter as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            assert_eq!(
                libc::sigaction(libc::SIGSEGV, &action, std::ptr::null_mut()),
                0
            );
        }
        return match std::env::var("WHERE").unwrap().as_str() {
            "greenlet" => drop(spawn(fault).join()),
            "overflow" => drop(spawn(|| overflow(0)).join()),
            _ => {
                spawn(|| ()).join().unwrap();
                fault();
            }
        };
    }
    let run = |place| {
        child("other_faults_go_to_the_handler_that_was_there")
            .env("WHERE", place)
            .env("RUSTLET_GUARDS", "mprotect") // faults with SIGSEGV, as the handler expects
            .run()
    };
    for place in ["greenlet", "thread"] {
        let outcome = run(place);
        assert_eq!(outcome.status.code(), Some(42), "{outcome:#?}");
        assert!(outcome.stderr.contains("the right address"), "{outcome:#?}");
    }
    // A real overflow is ours all the same.
    reports(
        &run("overflow"),
        &["rustlet: stack overflow in greenlet #1"],
    );
}
