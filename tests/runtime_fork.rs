//! The contract of fork: before the first use both sides may use the crate; afterwards the child is told, and nothing hangs.
//!
//! Each test runs in a process of its own, since it forks. The children end by `_exit`: their status says what they have seen.
#![allow(unsafe_code)] // fork(2) itself, which no safe function offers.

mod support;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use rustlet::{Runtime, sleep, spawn};

unsafe extern "C" {
    safe fn fork() -> i32;
    safe fn _exit(status: i32) -> !;
}

/// Forks, and runs `f` in the child: its status. `None` if it was ended by a signal or, after half a minute, by this.
fn in_child(f: impl FnOnce() -> i32) -> Option<i32> {
    let pid = fork();
    if pid == 0 {
        _exit(f());
    }
    let pid = rustix::process::Pid::from_raw(pid).expect("fork succeeds");
    let end = Instant::now() + Duration::from_secs(30) * support::slowdown();
    loop {
        let options = rustix::process::WaitOptions::NOHANG;
        if let Some((_, status)) = rustix::process::waitpid(Some(pid), options).unwrap() {
            return status.exit_status();
        }
        if Instant::now() > end {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).unwrap();
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

const TOLD: i32 = 42;
const WORKED: i32 = 43;

/// What `f` says when it panics: `TOLD` if it is the text for children.
fn told(f: impl FnOnce() + std::panic::UnwindSafe) -> i32 {
    match catch_unwind(f) {
        Ok(()) => WORKED,
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().copied().unwrap_or_default();
            let text = payload
                .downcast_ref::<String>()
                .map_or(text, String::as_str);
            match text.contains("child of a fork") {
                true => TOLD,
                false => 1,
            }
        }
    }
}

macro_rules! alone {
    ($name:literal) => {
        if !support::is_child() {
            support::child($name).run().assert_passed();
            return;
        }
    };
}

fn use_everything() {
    assert_eq!(spawn(|| 1).join().unwrap(), 1);
    let runtime = Runtime::builder().workers(2).build().unwrap();
    assert_eq!(runtime.run(|| spawn(|| 2).join().unwrap()), 2);
    assert_eq!(rustlet::unblock(|| 3), 3);
}

#[test]
fn before_the_first_use_both_may_use_it() {
    alone!("before_the_first_use_both_may_use_it");
    assert_eq!(in_child(|| told(use_everything)), Some(WORKED));
    use_everything();
    // And again in a child of the child, which had not used it.
    let grandchild = || in_child(|| told(use_everything)).unwrap_or(1);
    assert_eq!(
        in_child(grandchild),
        Some(TOLD),
        "the parent has used it by now"
    );
}

#[test]
fn after_a_use_by_this_thread_the_child_is_told() {
    alone!("after_a_use_by_this_thread_the_child_is_told");
    spawn(|| ()).join().unwrap();
    assert_eq!(in_child(|| told(|| drop(spawn(|| ())))), Some(TOLD));
    assert_eq!(
        in_child(|| told(|| sleep(Duration::from_millis(1)))),
        Some(TOLD)
    );
    assert_eq!(
        in_child(|| told(|| rustlet::block_on(async {}))),
        Some(TOLD)
    );
    assert_eq!(in_child(|| told(|| rustlet::unblock(|| ()))), Some(TOLD));
    assert_eq!(
        in_child(|| told(|| drop(
            Runtime::builder()
                .workers(1)
                .build()
                .map(|runtime| runtime.run(|| ()))
        ))),
        Some(TOLD)
    );
    // On another thread of the child, too.
    let elsewhere = || {
        std::thread::spawn(|| told(|| drop(spawn(|| ()))))
            .join()
            .unwrap()
    };
    assert_eq!(in_child(elsewhere), Some(TOLD));
    // What needs no hub works.
    assert_eq!(
        in_child(|| told(|| assert_eq!(rustlet::stats().live, 0))),
        Some(WORKED)
    );
    // The parent goes on.
    use_everything();
}

#[test]
fn after_a_use_by_workers_the_child_is_told() {
    alone!("after_a_use_by_workers_the_child_is_told");
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let handle = runtime.handle();
    runtime.run(|| ());
    let far = handle.clone();
    assert_eq!(
        in_child(move || told(move || drop(far.spawn(|| ()).join()))),
        Some(TOLD)
    );
    // By a worker, in the middle of a greenlet: what it prints is the text, and it ends by SIGABRT.
    let (status, onward) = runtime.run(|| {
        let status = in_child(|| {
            sleep(Duration::from_millis(1));
            0
        });
        (status, spawn(|| 5).join().unwrap())
    });
    assert_eq!((status, onward), (None, 5));
    let status = runtime.run(|| in_child(|| told(|| drop(spawn(|| ())))));
    assert_eq!(status, None);
    runtime.shutdown(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_greenlet_that_returns_in_the_child_does_not_go_on_with_the_parents_greenlets() {
    alone!("a_greenlet_that_returns_in_the_child_does_not_go_on_with_the_parents_greenlets");
    let parent = std::process::id();
    let forker = spawn(|| fork());
    let witness = spawn(move || {
        for _ in 0..1000 {
            rustlet::yield_now();
        }
        std::process::id()
    });
    let outcome = catch_unwind(std::panic::AssertUnwindSafe(|| {
        let pid = forker.join().unwrap();
        (pid, witness.join().unwrap())
    }));
    if std::process::id() != parent {
        _exit(told(std::panic::AssertUnwindSafe(move || match outcome {
            Ok((_, ran_in)) => assert_eq!(ran_in, 0, "the parent's greenlet ran here"),
            Err(payload) => std::panic::resume_unwind(payload),
        })));
    }
    let (pid, ran_in) = outcome.unwrap();
    assert_eq!(ran_in, parent);
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let (_, status) = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())
        .unwrap()
        .unwrap();
    // Told by a panic in the code that joins, or by the end of the process before it gets there.
    const SIGABRT: i32 = 6;
    let told = status.exit_status() == Some(TOLD) || status.terminating_signal() == Some(SIGABRT);
    assert!(told, "{status:?}");
}

/// What a child usually does first. epoll and its interest in the descriptor are common to both.
#[test]
fn a_child_that_drops_a_socket_leaves_the_parents_alone() {
    alone!("a_child_that_drops_a_socket_leaves_the_parents_alone");
    let (here, mut there) = rustlet::net::UnixStream::pair().unwrap();
    here.set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    let mut buf = [0; 8];
    (&here).read(&mut buf).unwrap_err(); // it is registered now
    let here = RefCell::new(Some(here));
    assert_eq!(
        in_child(|| told(std::panic::AssertUnwindSafe(|| drop(here.take())))),
        Some(WORKED)
    );
    there.write_all(b"hello").unwrap();
    let here = here.take().expect("the child has a copy");
    here.set_read_timeout(None).unwrap();
    assert_eq!((&here).read(&mut buf).unwrap(), 5);
}

#[test]
fn commands_are_untouched() {
    alone!("commands_are_untouched");
    use std::os::unix::process::CommandExt;
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let run = || {
        // posix_spawn, then fork and exec, which `pre_exec` demands.
        assert!(
            std::process::Command::new("true")
                .status()
                .unwrap()
                .success()
        );
        let mut forked = std::process::Command::new("true");
        // SAFETY: does nothing.
        unsafe { forked.pre_exec(|| Ok(())) };
        assert!(forked.status().unwrap().success());
        assert!(
            rustlet::process::Command::new("true")
                .status()
                .unwrap()
                .success()
        );
    };
    run();
    runtime.run(run);
    spawn(run).join().unwrap();
}
