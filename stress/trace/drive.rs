//! The thread's own code while a program runs on it: spawns the first greenlets, lets all of them run until nothing
//! can happen any more, kills those that wait for ever, and looks at what is left.
//!
//! The model does the same in [`super::model`]; what is said here with `yield_now` is said there with an empty run queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{Event, MAIN, What};
use super::program::Program;
use super::run;
use super::world::{World, lock};

/// What a run has given.
#[derive(Debug)]
pub(crate) struct Run {
    /// With the time at which each event was written.
    pub(crate) log: Vec<(Event, Instant)>,
    /// When moment 0 was.
    pub(crate) began: Instant,
}

/// Runs `program` with moments of `tick`: its log, or what was found broken besides.
pub(crate) fn run(program: &Arc<Program>, tick: Duration) -> Result<Run, String> {
    let before = rustlet::stats();
    assert_eq!(before.live, 0, "a trace has the thread for itself");
    let world = World::new(program, tick, true);
    for (number, body) in program.greenlets.iter().enumerate() {
        if body.root {
            run::start(&world, number, run::spawn);
        }
    }
    settle(&world, tick);
    loop {
        let alive = alive(&world);
        if alive.is_empty() {
            break;
        }
        for &number in &alive {
            world.log(MAIN, 0, What::Waits(number));
        }
        for number in alive {
            let handle = world.handle(number).filter(|handle| !handle.is_finished());
            if let Some(handle) = handle {
                world.log(MAIN, 0, What::Kills(number));
                handle.kill();
                settle(&world, tick);
            }
        }
    }
    look_at_what_is_left(&world);
    let (log, began) = (world.take_log(), world.clock.time_of(0));
    match broken(world) {
        Some(text) => Err(text),
        None => Ok(Run { log, began }),
    }
}

/// The greenlets that were spawned and have not ended.
pub(crate) fn alive(world: &World) -> Vec<usize> {
    let places = lock(&world.places);
    let alive = places.iter().enumerate().filter(|(_, place)| {
        let handle = place.handle.as_ref();
        handle.is_some_and(|handle| !handle.is_finished())
    });
    alive.map(|(number, _)| number).collect()
}

/// Lets the greenlets run until none can, and no deadline is left that an operation waits for.
fn settle(world: &World, tick: Duration) {
    loop {
        // One pass of the run queue; if that resumed nobody but this code, it was empty.
        let before = rustlet::stats().switches;
        rustlet::yield_now();
        if rustlet::stats().switches > before + 1 {
            continue;
        }
        match world.clock.next_deadline() {
            None => return,
            Some(time) if time > Instant::now() => rustlet::sleep_until(time),
            // It has passed, and its operation waits for something else by now: unless the alarm is yet to go off.
            Some(_) => {
                let done = world.progress();
                rustlet::sleep(Duration::max(tick / 4, Duration::from_millis(1)));
                if world.progress() == done && world.clock.later_deadline().is_none() {
                    return;
                }
                if let Some(time) = world.clock.later_deadline() {
                    rustlet::sleep_until(time);
                }
            }
        }
    }
}

fn look_at_what_is_left(world: &World) {
    let mut left = Vec::new();
    for (number, mutex) in world.mutexes.iter().enumerate() {
        // A guard that is still somewhere is not the mutex's value.
        let held = matches!(mutex.try_lock(), Err(std::sync::TryLockError::WouldBlock));
        let value = match mutex.try_lock() {
            Ok(value) => *value,
            Err(std::sync::TryLockError::Poisoned(error)) => **error.get_ref(),
            Err(std::sync::TryLockError::WouldBlock) => 0,
        };
        let poisoned = mutex.is_poisoned();
        left.push(What::Left("mutex", number, summary(value, held, poisoned)));
    }
    for (number, rwlock) in world.rwlocks.iter().enumerate() {
        let held = matches!(rwlock.try_write(), Err(std::sync::TryLockError::WouldBlock));
        let value = match rwlock.try_read() {
            Ok(value) => *value,
            Err(std::sync::TryLockError::Poisoned(error)) => **error.get_ref(),
            Err(std::sync::TryLockError::WouldBlock) => 0,
        };
        let poisoned = rwlock.is_poisoned();
        left.push(What::Left("rwlock", number, summary(value, held, poisoned)));
    }
    for (number, semaphore) in world.semaphores.iter().enumerate() {
        left.push(What::Left(
            "semaphore",
            number,
            semaphore.available_permits() as u64,
        ));
    }
    for (number, event) in world.events.iter().enumerate() {
        left.push(What::Left("event", number, u64::from(event.is_set())));
    }
    for (number, queue) in world.queues.iter().enumerate() {
        while let Ok(item) = queue.get_nowait() {
            left.push(What::Left("queue", number, item.number));
        }
    }
    for what in left {
        world.log(MAIN, 0, what);
    }
}

/// A lock in one number, as the model has it.
fn summary(value: u64, held: bool, poisoned: bool) -> u64 {
    value * 4 + u64::from(held) * 2 + u64::from(poisoned)
}

/// What is wrong besides the log: values that changed, things that were not dropped, or twice.
pub(crate) fn broken(world: Arc<World>) -> Option<String> {
    let counts = world.counts.clone();
    let mut broken = world.take_broken();
    drop(world);
    let alive = counts.alive.load(std::sync::atomic::Ordering::Relaxed);
    if alive != 0 {
        let made = counts.made.load(std::sync::atomic::Ordering::Relaxed);
        broken.get_or_insert(format!(
            "of {made} items, payloads, blocks and closures {alive} are left"
        ));
    }
    broken
}
