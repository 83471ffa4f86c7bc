//! `TaskGroup`: the first error ends all. After asyncio's `test_taskgroups.py`.

mod support;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::time::Duration;

use rustlet::{TaskGroup, sleep, spawn_local, timeout, yield_now};
use support::watchdog;

const HOUR: Duration = Duration::from_secs(3600);

type Ended<T> = Result<T, String>;

/// Counts when it is dropped.
struct End<'a>(&'a Cell<usize>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn all_succeed() {
    let _watchdog = watchdog();
    let done = Cell::new(0);
    let sum: Ended<i32> = TaskGroup::run(|group| {
        let tasks = [1, 2, 3].map(|n| {
            let done = &done;
            group.spawn_local(move || {
                yield_now();
                done.set(done.get() + 1);
                Ok(n)
            })
        });
        assert_eq!((group.running(), group.is_cancelled()), (3, false));
        Ok(tasks.map(|task| task.join().unwrap()).iter().sum())
    });
    assert_eq!((sum, done.get()), (Ok(6), 3));
}

#[test]
fn waits_for_tasks_that_nobody_joins() {
    let _watchdog = watchdog();
    let done = Cell::new(false);
    let ended: Ended<()> = TaskGroup::run(|group| {
        group.spawn_local(|| {
            sleep(Duration::from_millis(5));
            group.spawn_local(|| {
                yield_now();
                done.set(true);
                Ok(())
            });
            Ok(())
        });
        Ok(())
    });
    assert_eq!((ended, done.get()), (Ok(()), true));
}

#[test]
fn first_error_kills_siblings_and_interrupts_the_body() {
    let _watchdog = watchdog();
    let ended = Cell::new(0);
    let result: Ended<()> = TaskGroup::run(|group| {
        for _ in 0..3 {
            group.spawn_local(|| {
                let _end = End(&ended);
                sleep(HOUR);
                Ok(())
            });
        }
        group.spawn(|| {
            yield_now();
            Err::<(), _>("first".into())
        });
        group.spawn(|| {
            yield_now();
            Err::<(), _>("second".into())
        });
        let _end = End(&ended);
        sleep(HOUR);
        unreachable!("interrupted")
    });
    assert_eq!((result, ended.get()), (Err("first".into()), 4));
}

#[test]
fn an_error_of_the_body_kills_the_tasks() {
    let _watchdog = watchdog();
    let ended = Cell::new(0);
    let result: Ended<()> = TaskGroup::run(|group| {
        group.spawn_local(|| {
            let _end = End(&ended);
            sleep(HOUR);
            Ok(())
        });
        yield_now();
        Err("body".into())
    });
    assert_eq!((result, ended.get()), (Err("body".into()), 1));
}

#[test]
fn errors_of_tasks_that_are_being_killed_are_not_first() {
    let _watchdog = watchdog();
    let result: Ended<()> = TaskGroup::run(|group| {
        group.spawn(|| {
            // A task may turn its kill into an error.
            let _ = catch_unwind(|| sleep(HOUR));
            Err::<(), _>("cleanup failed".into())
        });
        yield_now();
        group.spawn(|| Err::<(), _>("cause".into()));
        Ok(())
    });
    assert_eq!(result, Err("cause".into()));
}

#[test]
fn a_failed_task_joins_as_killed() {
    let _watchdog = watchdog();
    let seen = Cell::new(false);
    let result: Ended<()> = TaskGroup::run(|group| {
        let failing = group.spawn(|| Err::<(), _>("cause".into()));
        let interrupted = catch_unwind(|| sleep(HOUR));
        assert!(interrupted.is_err());
        seen.set(failing.join().unwrap_err().is_killed());
        Ok(())
    });
    assert_eq!((result, seen.get()), (Err("cause".into()), true));
}

#[test]
fn a_panic_kills_siblings_whether_joined_or_not_and_goes_before_errors() {
    let _watchdog = watchdog();
    let ended = Cell::new(0);
    let raised = catch_unwind(AssertUnwindSafe(|| {
        let _: Ended<()> = TaskGroup::run(|group| {
            group.spawn_local(|| {
                let _end = End(&ended);
                sleep(HOUR);
                Ok(())
            });
            let kept = group.spawn(|| -> Ended<()> {
                let _ = catch_unwind(|| sleep(HOUR));
                panic_any(5_u8)
            });
            group.spawn(|| Err::<(), _>("an error".into()));
            sleep(HOUR);
            drop(kept);
            Ok(())
        });
    }))
    .unwrap_err();
    assert_eq!((raised.downcast_ref::<u8>(), ended.get()), (Some(&5), 1));
}

#[test]
fn a_panic_of_a_task_with_a_handle_interrupts_the_body() {
    let _watchdog = watchdog();
    let raised = catch_unwind(AssertUnwindSafe(|| {
        let _: Ended<()> = TaskGroup::run(|group| {
            let _kept = group.spawn(|| -> Ended<()> { panic_any(6_u8) });
            sleep(HOUR);
            unreachable!("interrupted")
        });
    }))
    .unwrap_err();
    assert_eq!(raised.downcast_ref::<u8>(), Some(&6));
}

#[test]
fn tasks_spawned_after_the_error_never_start() {
    let _watchdog = watchdog();
    let started = Cell::new(false);
    let result: Ended<()> = TaskGroup::run(|group| {
        group.spawn(|| Err::<(), _>("cause".into()));
        let _ = catch_unwind(|| sleep(HOUR));
        assert!(group.is_cancelled());
        let late = group.spawn_local(|| {
            started.set(true);
            Ok(())
        });
        drop(late);
        Ok(())
    });
    assert_eq!((result, started.get()), (Err("cause".into()), false));
}

#[test]
fn a_killed_task_is_no_error() {
    let _watchdog = watchdog();
    let result: Ended<u8> = TaskGroup::run(|group| {
        let victim = group.spawn(|| {
            sleep(HOUR);
            Ok(())
        });
        let other = group.spawn(|| {
            yield_now();
            yield_now();
            Ok(3)
        });
        yield_now();
        victim.kill().unwrap();
        Ok(other.join().unwrap())
    });
    assert_eq!(result, Ok(3));
}

#[test]
fn a_timeout_around_the_group_and_a_kill_of_its_greenlet() {
    let _watchdog = watchdog();
    let ended = std::rc::Rc::new(Cell::new(0));
    let run = |ended: &Cell<usize>| {
        let _: Ended<()> = TaskGroup::run(|group| {
            group.spawn_local(|| {
                let _end = End(ended);
                sleep(HOUR);
                Ok(())
            });
            Ok(())
        });
    };
    assert!(timeout(Duration::from_millis(5), || run(&ended)).is_err());
    assert_eq!(ended.get(), 1);
    let also = ended.clone();
    let greenlet = spawn_local(move || run(&also));
    yield_now();
    yield_now();
    greenlet.kill().unwrap();
    assert_eq!(ended.get(), 2);
}

#[test]
fn nested_groups_pass_errors_on() {
    let _watchdog = watchdog();
    let ended = Cell::new(0);
    let result: Ended<()> = TaskGroup::run(|outer| {
        outer.spawn_local(|| {
            let _end = End(&ended);
            sleep(HOUR);
            Ok(())
        });
        outer.spawn_local(|| -> Ended<()> {
            let _: () = TaskGroup::run(|inner| {
                inner.spawn_local(|| {
                    let _end = End(&ended);
                    sleep(HOUR);
                    Ok(())
                });
                inner.spawn(|| Err::<(), String>("innermost".into()));
                Ok(())
            })
            .map_err(|error: String| format!("outer: {error}"))?;
            unreachable!("it failed")
        });
        Ok(())
    });
    assert_eq!((result, ended.get()), (Err("outer: innermost".into()), 2));
}
