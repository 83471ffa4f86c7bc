//! A stack overflow: in a child process, which is this workload again with a word in its environment.

use std::env;
use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use rustlet::stack::{self, GuardKind};

use super::leap::{self, leap};
use crate::workload::{Failure, ensure};

/// Has the size of the stack that is to overflow.
const WANTED: &str = "RUSTLET_STRESS_OVERFLOW";
/// How far above the end the recursion begins.
const LAST: usize = 64 << 10;

/// Whether this is such a child.
pub(super) fn is_wanted() -> bool {
    env::var_os(WANTED).is_some()
}

/// Overflows; comes back only if that went unnoticed.
pub(super) fn commit() -> Result<(), Failure> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    let size: usize = env::var(WANTED)?.parse()?;
    let diver = rustlet::Builder::new().name("diver").stack_size(size);
    diver.spawn(move || over_the_end(size))?.join()?;
    Err(Failure(format!("a stack of {size} bytes has no end")))
}

/// Has a child overflow a stack of `size` bytes, and reads what it says.
pub(super) fn is_told(size: usize) -> Result<(), Failure> {
    // The sanitizers have handlers and messages of their own.
    let other = cfg!(any(rustlet_asan, rustlet_tsan));
    if other || env::var("RUSTLET_GUARDS").is_ok_and(|kind| kind == "none") {
        return Ok(());
    }
    let program = env::current_exe()?.into_os_string();
    let runner = env::var("RUSTLET_TEST_RUNNER").unwrap_or_default();
    let runner = runner.split_whitespace().map(Into::into);
    let mut words = runner.chain([program]);
    let child = Command::new(words.next().expect("the program at least"))
        .args(words)
        .args(["depth", "--in-process", "--steps", "1", "--workers", "1"])
        .env(WANTED, size.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&child.stderr);
    ensure!(
        child.status.signal() == Some(Signal::ABORT.as_raw()),
        "a stack of {size} bytes overflowed: {} and not SIGABRT; it said:\n{said}",
        child.status
    );
    for words in [
        "rustlet: stack overflow in greenlet 'diver'",
        &format!("its stack has {} KiB", size / 1024),
    ] {
        ensure!(
            said.contains(words),
            "no {words:?} in what the overflow of a stack of {size} bytes said:\n{said}"
        );
    }
    Ok(())
}

#[allow(unsafe_code)] // a leap
fn over_the_end(size: usize) {
    assert!(
        stack::stats().guards != GuardKind::None,
        "there are no guards"
    );
    if size <= 2 * LAST || !leap::POSSIBLE {
        return recurse(0);
    }
    // SAFETY: a stack of `size` has a few KiB in use, a guard of 16 KiB, and so LAST / 2 and more left.
    unsafe { leap(size - LAST, || recurse(0)) };
}

#[allow(unconditional_recursion)] // that is the point
#[inline(never)]
fn recurse(depth: u64) {
    let local = black_box([depth; 32]);
    recurse(depth + 1);
    black_box(local);
}
