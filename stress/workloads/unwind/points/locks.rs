//! Locks, and what else is waited for without an item coming along.

use std::cell::Cell;
use std::sync::Arc;

use rustlet::sync::{
    AsyncResult, Barrier, BoundedSemaphore, Condvar, Event, Mutex, Once, OnceLock, ReentrantMutex,
    RwLock, Semaphore, WaitGroup,
};

use super::super::HOUR;
use super::{Point, Scene};
use crate::workload::{Failure, ensure};

pub(super) const ALL: &[Point] = &[
    Point::cheap("Mutex::lock", || {
        Scene::held(
            Mutex::new(()),
            |lock, until| {
                let _held = lock.lock();
                until.wait();
            },
            |lock| drop(lock.lock()),
            |lock| lock.try_lock().is_ok(),
        )
    }),
    Point::cheap("Mutex::lock_timeout", || {
        Scene::held(
            Mutex::new(()),
            |lock, until| {
                let _held = lock.lock();
                until.wait();
            },
            |lock| drop(lock.lock_timeout(HOUR)),
            |lock| lock.try_lock().is_ok(),
        )
    }),
    Point::cheap("RwLock::read", || {
        Scene::held(
            RwLock::new(()),
            |lock, until| {
                let _held = lock.write();
                until.wait();
            },
            |lock| drop(lock.read()),
            |lock| lock.try_write().is_ok(),
        )
    }),
    Point::cheap("RwLock::write", || {
        Scene::held(
            RwLock::new(()),
            |lock, until| {
                let _held = lock.read();
                until.wait();
            },
            |lock| drop(lock.write()),
            |lock| lock.try_write().is_ok(),
        )
    }),
    Point::cheap("ReentrantMutex::lock", || {
        Scene::held(
            ReentrantMutex::new(()),
            |lock, until| {
                let _held = lock.lock();
                until.wait();
            },
            |lock| drop(lock.lock()),
            |lock| lock.try_lock().is_some(),
        )
    }),
    Point::cheap("Once::call_once", || {
        Scene::held(
            Once::new(),
            |once, until| once.call_once(|| until.wait()),
            |once| once.call_once(|| unreachable!("another runs it")),
            Once::is_completed,
        )
    }),
    Point::cheap("Once::wait", || {
        Scene::held(
            Once::new(),
            |once, until| once.call_once(|| until.wait()),
            Once::wait,
            Once::is_completed,
        )
    }),
    Point::cheap("OnceLock::get_or_init", || {
        Scene::held(
            OnceLock::new(),
            |cell, until| {
                cell.get_or_init(|| until.wait());
            },
            |cell| {
                cell.get_or_init(|| unreachable!("another runs it"));
            },
            |cell| cell.get().is_some(),
        )
    }),
    Point::cheap("the initializer of a Once", || {
        // Whose unwinding poisons it.
        Scene::given(
            (Once::new(), Event::new()),
            |(once, event)| {
                once.call_once_force(|_| event.wait());
                1
            },
            |(_, event)| {
                event.set();
                1
            },
            |(once, _), _, taken| once.is_completed() == (taken > 0),
        )
    }),
    Point::cheap("Condvar::wait", condvar),
    Point::cheap("Semaphore::acquire", || {
        Scene::given(
            Semaphore::new(0),
            |semaphore| {
                drop(semaphore.acquire());
                0
            },
            |semaphore| {
                semaphore.release();
                1
            },
            |semaphore, given, _| semaphore.available_permits() == given as usize,
        )
    }),
    Point::cheap("Semaphore::acquire_owned", || {
        Scene::given(
            Arc::new(Semaphore::new(0)),
            |semaphore| {
                drop(semaphore.acquire_owned());
                0
            },
            |semaphore| {
                semaphore.release();
                1
            },
            |semaphore, given, _| semaphore.available_permits() == given as usize,
        )
    }),
    Point::cheap("BoundedSemaphore::acquire", || {
        let semaphore = BoundedSemaphore::new(1);
        semaphore.acquire().forget();
        Scene::given(
            semaphore,
            |semaphore| {
                drop(semaphore.acquire());
                0
            },
            |semaphore| {
                semaphore.release().expect("its one permit is out");
                1
            },
            |semaphore, given, _| semaphore.available_permits() == given as usize,
        )
    }),
    Point::cheap("Event::wait", || {
        Scene::given(
            Event::new(),
            |event| {
                event.wait();
                0
            },
            |event| {
                event.set();
                1
            },
            |event, given, _| event.is_set() == (given == 1),
        )
    }),
    Point::cheap("AsyncResult::get", || {
        Scene::given(
            AsyncResult::<u64, ()>::new(),
            |result| {
                assert_eq!(result.get(), Ok(7));
                0
            },
            |result| {
                result.set(7);
                1
            },
            |result, given, _| result.is_ready() == (given == 1),
        )
    }),
    Point::cheap("WaitGroup::wait", || {
        let group = WaitGroup::new();
        group.add(1);
        Scene::given(
            group,
            |group| {
                group.wait();
                0
            },
            |group| {
                group.done();
                1
            },
            |group, given, _| group.count() == 1 - given as usize,
        )
    }),
    Point::cheap("Barrier::wait", barrier),
];

/// Whose mutex a victim has again while it unwinds, and so poisons.
fn condvar() -> Result<Scene, Failure> {
    Scene::given(
        (Mutex::new(false), Condvar::new(), Cell::new(false)),
        |(lock, condvar, _)| {
            let mut set = lock.lock().unwrap_or_else(|poison| poison.into_inner());
            while !*set {
                set = condvar
                    .wait(set)
                    .unwrap_or_else(|poison| poison.into_inner());
            }
            0
        },
        |(lock, condvar, given)| {
            given.set(true);
            *lock.lock().unwrap_or_else(|poison| poison.into_inner()) = true;
            condvar.notify_one();
            1
        },
        |(lock, _, given), _, _| {
            lock.clear_poison();
            lock.try_lock().is_ok_and(|set| *set == given.get())
        },
    )
}

/// A barrier that lost a party must still count to two.
fn barrier() -> Result<Scene, Failure> {
    let barrier = Arc::new(Barrier::new(2));
    let its = barrier.clone();
    let mut scene = Scene::endless(move || {
        its.wait();
    })?;
    scene.intact = Box::new(move |_, _| {
        let its = barrier.clone();
        let other = rustlet::spawn_local(move || its.wait().is_leader());
        let led = barrier.wait().is_leader();
        ensure!(
            other.join()? != led,
            "of two greenlets at a barrier, not one was the leader"
        );
        Ok(())
    });
    Ok(scene)
}
