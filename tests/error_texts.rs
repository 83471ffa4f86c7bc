//! What errors say: their own words where they are ours, std's word for word where they mirror std; what they turn into, and
//! that the value which comes back in one is not asked for `Debug`.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::panic::{catch_unwind, resume_unwind};
use std::rc::Rc;

use rustlet::fs::TryLockError;
use rustlet::queue::{GetError, PutError, ShutDown};
use rustlet::raw::SetParentError;
use rustlet::sync::mpmc::{SendError, SendTimeoutError};
use rustlet::{Builder, Killed, spawn_local, yield_now};

/// Without `Debug`, as what greenlets send each other often is.
struct Opaque;

fn assert_says(error: impl Error, text: &str) {
    assert_eq!(error.to_string(), text);
}

#[test]
fn of_queues() {
    assert_says(ShutDown(Opaque), "the queue is shut down");
    assert_says(GetError::Empty, "the queue is empty");
    assert_says(GetError::ShutDown, "the queue is empty and shut down");
    assert_says(PutError::Full(Opaque), "the queue is full");
    assert_says(PutError::ShutDown(Opaque), "the queue is shut down");
    assert_eq!(format!("{:?}", ShutDown(Opaque)), "ShutDown(..)");
    assert_eq!(format!("{:?}", PutError::Full(Opaque)), "Full(..)");
    assert_eq!(format!("{:?}", PutError::ShutDown(Opaque)), "ShutDown(..)");
}

#[test]
fn of_channels() {
    let timeout = SendTimeoutError::Timeout(Opaque);
    let disconnected = SendTimeoutError::from(SendError(Opaque));
    assert!(matches!(disconnected, SendTimeoutError::Disconnected(_)));
    assert_eq!(
        format!("{timeout:?} {disconnected:?}"),
        "Timeout(..) Disconnected(..)"
    );
    assert_says(timeout, "timed out waiting on a full channel");
    assert_says(disconnected, "sending on a disconnected channel");
}

#[test]
fn of_files_that_are_locked() {
    // Word for word std's, whose own type is younger than the oldest compiler that this is for.
    const ENOLCK: i32 = 37;
    let error = || TryLockError::Error(io::Error::from_raw_os_error(ENOLCK));
    assert_says(
        TryLockError::WouldBlock,
        "lock acquisition failed because the operation would block",
    );
    assert_says(
        error(),
        "lock acquisition failed due to I/O error: No locks available (os error 37)",
    );
    let plain = io::Error::from(TryLockError::WouldBlock);
    assert_eq!(plain.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(io::Error::from(error()).raw_os_error(), Some(ENOLCK));
}

#[test]
fn of_parents() {
    for (error, text) in [
        (SetParentError::Cycle, "cyclic parent chain"),
        (SetParentError::Main, "a main greenlet has no parent"),
        (
            SetParentError::OtherContext,
            "the parent belongs to another context",
        ),
    ] {
        assert_says(error, text);
    }
}

#[test]
fn of_joins() {
    let named = |f: fn()| Builder::new().name("anna").spawn(f).unwrap();
    let mute = named(|| resume_unwind(Box::new(7))).join().unwrap_err();
    assert!(mute.is_panic() && mute.source().is_none());
    assert!(mute.to_string().ends_with(" panicked"), "{mute}");
    assert_eq!(format!("{mute:?}"), format!("JoinError({mute})"));

    let loud = named(|| resume_unwind(Box::new("by a mouse"))).join();
    let loud = loud.unwrap_err().to_string();
    assert!(
        loud.contains("anna") && loud.ends_with(" panicked: by a mouse"),
        "{loud}"
    );

    let killed = named(yield_now);
    yield_now();
    killed.kill_nowait();
    let killed = killed.join().unwrap_err().to_string();
    assert!(killed.ends_with(" was killed"), "{killed}");
}

#[test]
fn of_a_kill_that_is_caught() {
    let said = Rc::new(RefCell::new(String::new()));
    let say = said.clone();
    let caught = spawn_local(move || {
        let payload = catch_unwind(yield_now).unwrap_err();
        *say.borrow_mut() = payload.downcast_ref::<Killed>().unwrap().to_string();
        resume_unwind(payload);
    });
    yield_now();
    caught.kill().unwrap();
    assert_eq!(*said.borrow(), "greenlet was killed");
}
