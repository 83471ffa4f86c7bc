//! Waiting for what can never come: on a thread's own stack each operation panics with the report, and leaves
//! nothing behind; in a destructor during a panic it panics too.
#![allow(unsafe_code)] // Forks.

mod support;

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustlet::sync::{
    AsyncResult, Barrier, BoundedSemaphore, Condvar, Event, Mutex, Once, OnceLock, ReentrantMutex,
    RwLock, Semaphore, WaitGroup,
};
use rustlet::{spawn, yield_now};

type Case = (&'static str, fn());

/// Each waits for ever, and the text that its panic must contain.
const CASES: &[Case] = &[
    ("locking a mutex: deadlock", || {
        let mutex = Mutex::new(());
        let _guard = mutex.lock();
        drop(mutex.lock());
    }),
    ("locking a read-write lock for reading: deadlock", || {
        let lock = RwLock::new(());
        let _guard = lock.write();
        drop(lock.read());
    }),
    ("locking a read-write lock for writing: deadlock", || {
        let lock = RwLock::new(());
        let _guard = lock.read();
        drop(lock.write());
    }),
    ("locking a reentrant mutex: deadlock", || {
        let mutex: &'static _ = Box::leak(Box::new(ReentrantMutex::new(())));
        spawn(|| std::mem::forget(mutex.lock())).join().unwrap();
        drop(mutex.lock());
    }),
    ("acquiring a semaphore: deadlock", || {
        drop(Semaphore::new(0).acquire())
    }),
    ("acquiring a bounded semaphore: deadlock", || {
        drop(BoundedSemaphore::new(0).acquire())
    }),
    ("waiting for a condition variable: deadlock", || {
        let mutex = Mutex::new(());
        drop(Condvar::new().wait(mutex.lock().unwrap()));
    }),
    ("waiting at a barrier: deadlock", || {
        Barrier::new(2).wait();
    }),
    ("waiting for an event: deadlock", || Event::new().wait()),
    ("waiting for an asynchronous result: deadlock", || {
        AsyncResult::<()>::new().wait()
    }),
    ("waiting for a wait group: deadlock", || {
        WaitGroup::with_count(1).wait()
    }),
    ("waiting for a one-time call: deadlock", || {
        Once::new().wait()
    }),
    ("waiting for a one-time call: deadlock", || {
        OnceLock::<u8>::new().wait();
    }),
    ("running something once: deadlock", || {
        let once: &'static _ = Box::leak(Box::new(Once::new()));
        drop(spawn(|| {
            once.call_once(|| rustlet::sleep(std::time::Duration::MAX))
        }));
        yield_now();
        once.call_once(|| ());
    }),
];

/// Another thread might do it for all that is known, and a test's process has several: so each case runs
/// in a fork, which has one.
#[test]
fn a_deadlock_is_reported_by_each_operation() {
    if support::emulated() {
        println!("not run: the emulator has a thread of its own in this process");
        return;
    }
    let _watchdog = support::watchdog();
    if !support::is_child() {
        return support::child("a_deadlock_is_reported_by_each_operation")
            .run()
            .assert_passed();
    }
    for &(text, wait) in CASES {
        let mut command = Command::new("/this/is/never/run");
        // std makes a panic there abort, after its message.
        // SAFETY: the forked process runs the case and dies. It may use what it likes: of the threads that it
        // left behind, those of the test harness and the watchdog, none holds a lock.
        unsafe {
            command.pre_exec(move || {
                wait();
                std::process::exit(0);
            });
        }
        let output = command.output().expect("fork");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && stderr.contains(text),
            "{text}: {output:?}"
        );
    }
}

/// Each operation, in a destructor that runs because of a kill: it panics, and can be caught.
#[test]
fn a_wait_that_cannot_suspend_panics() {
    struct InDrop(fn(), &'static str);
    impl Drop for InDrop {
        fn drop(&mut self) {
            let panic = std::panic::catch_unwind(self.0).expect_err(self.1);
            let text = panic.downcast_ref::<String>().expect("a text");
            let operation = self.1.strip_suffix(": deadlock").unwrap();
            assert!(
                text.contains(operation) && text.contains("would have to wait"),
                "{text}"
            );
        }
    }
    let _watchdog = support::watchdog();
    for &(text, wait) in CASES {
        if text.contains("reentrant") || text.contains("running") {
            continue; // these need a second greenlet
        }
        let greenlet = spawn(move || {
            let _in_drop = InDrop(wait, text);
            rustlet::sleep(std::time::Duration::MAX);
        });
        yield_now();
        greenlet.kill().unwrap();
        let error = greenlet.join().unwrap_err();
        assert!(error.is_killed(), "{text}: {error}");
    }
}
