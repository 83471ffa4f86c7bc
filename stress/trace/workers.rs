//! A program on a runtime of many workers: what must hold in whatever order it happens.
//!
//! - **Everything ends.** A greenlet that has not, when nothing moves any more, waits for something that has not happened: a lock
//!   that is held, an event that is not set, an item that is not there. Where that is not so a wake-up was lost.
//! - **Killed is ended:** whoever waits for ever is killed, and unwinds.
//! - **Nothing is lost or doubled:** permits, items, closures, blocks, what is thrown.
//! - **A mutex is one's alone**; items of one greenlet come to another in their order.
//! - **The runtime drains**, with nothing left in it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustlet::{Builder, Runtime};

use super::drive::{alive, broken};
use super::program::{Arm, How, Op};
use super::world::World;
use super::{Difference, Program, Ran, hooks, run};

/// How long moments are: there is no order to be kept.
const TICK: Duration = Duration::from_micros(100);
/// When nothing was done for so long, it is looked at why. No invariant depends on this being enough.
const QUIET: Duration = Duration::from_millis(10);
/// When nothing was done for so long although something could have been, that is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `program` on `workers` workers, and checks what must hold.
///
/// # Errors
/// What does not.
pub(crate) fn check_on_workers(program: &Program, workers: usize) -> Result<Ran, Difference> {
    program.check().map_err(Difference::new)?;
    hooks::quiet();
    let runtime = Runtime::builder().workers(workers).build();
    let runtime = runtime.map_err(|error| Difference::new(format!("no runtime: {error}")))?;
    let program = Arc::new(program.clone());
    let world = World::new(&program, TICK, false);
    for (number, body) in program.greenlets.iter().enumerate() {
        if body.root {
            run::start(&world, number, |f| {
                let builder = Builder::new().stack_size(run::STACK);
                let spawned = builder.spawn_in(&runtime.handle(), f);
                spawned.expect("a stack for a greenlet of a trace")
            });
        }
    }
    let stuck = match see_out(&world) {
        Ok(stuck) => stuck,
        Err(difference) => {
            // Its end would wait for those that hang, and nobody would hear of them.
            std::mem::forget(runtime);
            return Err(difference);
        }
    };
    let events = usize::try_from(world.progress()).unwrap_or(usize::MAX);
    let greenlets = world.spawned();
    conserved(&world)?;
    if let Err(unclean) = runtime.shutdown(PATIENCE) {
        return Err(Difference::new(format!("{unclean}")));
    }
    if let Some(text) = broken(world) {
        return Err(Difference::new(text));
    }
    Ok(Ran {
        events,
        greenlets,
        stuck,
        late: 0,
    })
}

/// Waits until all greenlets have ended, and kills those that wait for ever; how many did.
fn see_out(world: &World) -> Result<usize, Difference> {
    let mut killed = vec![false; world.program.greenlets.len()];
    let mut stuck = 0;
    let (mut done, mut since) = (world.progress(), Instant::now());
    loop {
        let alive = alive(world);
        if alive.is_empty() {
            return Ok(stuck);
        }
        std::thread::sleep(Duration::from_micros(200));
        if world.progress() != done || world.clock.later_deadline().is_some() {
            (done, since) = (world.progress(), Instant::now());
            continue;
        }
        if since.elapsed() < QUIET {
            continue;
        }
        let unjust: Vec<usize> = alive
            .iter()
            .copied()
            .filter(|&number| killed[number] || !waits(world, number))
            .collect();
        if unjust.is_empty() {
            // The first alone, and what that brings about; then all.
            let count = if stuck == 0 { 1 } else { alive.len() };
            for &number in &alive[..count] {
                let handle = world.handle(number);
                handle.iter().for_each(rustlet::Handle::kill);
                killed[number] = true;
                stuck += 1;
            }
            since = Instant::now();
        } else if since.elapsed() > PATIENCE {
            let mut text = format!("nothing was done for {PATIENCE:?}, and these could go on:");
            for number in unjust {
                let line = world.looks[number].line.load(Ordering::Relaxed);
                let op = world
                    .program
                    .line(number, line)
                    .map_or("its beginning".to_owned(), Op::to_string);
                let was = if killed[number] {
                    ", which was killed"
                } else {
                    ""
                };
                text += &format!("\n  g{number}{was}, at line {line}, {op}");
            }
            return Err(Difference::new(text));
        }
    }
}

/// Whether a greenlet is where it may wait for ever, as things are.
fn waits(world: &World, number: usize) -> bool {
    let at = |other: usize| {
        let look = &world.looks[other];
        let ended = look.ended.load(Ordering::Acquire) == 1;
        let line = look.line.load(Ordering::Relaxed);
        world.program.line(other, line).filter(|_| !ended)
    };
    let ended = |other: usize| {
        world
            .handle(other)
            .is_none_or(|handle| handle.is_finished())
    };
    let Some(op) = at(number) else {
        return false;
    };
    match *op {
        // For the notification or for the mutex: that cannot be told.
        Op::Park(How::Wait) | Op::Await(..) => true,
        Op::Lock(mutex, How::Wait) => world.mutex_tallies[mutex].is_held(),
        Op::Write(rwlock, How::Wait) => world.rwlock_tallies[rwlock].is_held(),
        Op::Read(rwlock, How::Wait) => {
            let tally = &world.rwlock_tallies[rwlock];
            let mut others = (0..world.looks.len()).filter_map(at);
            let writer_waits =
                others.any(|op| matches!(*op, Op::Write(other, _) if other == rwlock));
            tally.alone.load(Ordering::Acquire) > 0 || tally.is_held() && writer_waits
        }
        Op::Acquire(semaphore, How::Wait) => world.semaphores[semaphore].available_permits() == 0,
        Op::Wait(event, How::Wait) => !world.events[event].is_set(),
        Op::Put(queue, How::Wait) => arm_waits(world, Arm::Put(queue)),
        Op::Get(queue, How::Wait) => arm_waits(world, Arm::Get(queue)),
        // Both ends of a rendezvous in one hand: nobody meets himself, but each arm lets the queue look as if somebody came.
        Op::Select(ref arms, How::Wait) if meets_itself(world, arms) => true,
        Op::Select(ref arms, How::Wait) => arms.iter().all(|&arm| arm_waits(world, arm)),
        Op::Join(other, How::Wait) | Op::End(other, How::Wait) => !ended(other),
        _ => false,
    }
}

/// Whether there is a rendezvous that some of `arms` put into and some get from.
fn meets_itself(world: &World, arms: &[Arm]) -> bool {
    let queues = &world.program.objects.queues;
    let gets = |queue: usize| {
        arms.iter()
            .any(|arm| matches!(*arm, Arm::Get(other) if other == queue))
    };
    arms.iter()
        .any(|arm| matches!(*arm, Arm::Put(queue) if queues[queue] == Some(0) && gets(queue)))
}

fn arm_waits(world: &World, arm: Arm) -> bool {
    match arm {
        Arm::Wait(event) => !world.events[event].is_set(),
        Arm::Get(queue) => world.queues[queue].is_empty() && !world.queues[queue].is_shut_down(),
        Arm::Put(queue) => world.queues[queue].is_full() && !world.queues[queue].is_shut_down(),
    }
}

/// That permits and items are as many as there were.
fn conserved(world: &World) -> Result<(), Difference> {
    let objects = &world.program.objects;
    for (number, semaphore) in world.semaphores.iter().enumerate() {
        let added = world.semaphore_tallies[number]
            .added
            .load(Ordering::Relaxed);
        let wanted = usize::from(objects.semaphores[number]) + added;
        let free = semaphore.available_permits();
        if free != wanted {
            return Err(Difference::new(format!(
                "s{number} has {free} permits in the end and not {wanted}"
            )));
        }
    }
    for (number, mutex) in world.mutexes.iter().enumerate() {
        if matches!(mutex.try_lock(), Err(std::sync::TryLockError::WouldBlock)) {
            return Err(Difference::new(format!("m{number} is held in the end")));
        }
    }
    for (number, rwlock) in world.rwlocks.iter().enumerate() {
        if matches!(rwlock.try_write(), Err(std::sync::TryLockError::WouldBlock)) {
            return Err(Difference::new(format!("r{number} is held in the end")));
        }
    }
    for (number, queue) in world.queues.iter().enumerate() {
        let tally = &world.queue_tallies[number];
        let mut left = 0;
        while queue.get_nowait().is_ok() {
            left += 1;
        }
        let put = tally.put.load(Ordering::Relaxed);
        let got = tally.got.load(Ordering::Relaxed) + left;
        // What was discarded is missing, and of that nobody knows how much it was.
        let discards = world
            .program
            .greenlets
            .iter()
            .any(|body| has_discard(&body.ops, number));
        if got > put || (got < put && !discards) {
            return Err(Difference::new(format!(
                "{put} items were put into q{number}, and {got} came out or are left"
            )));
        }
    }
    Ok(())
}

fn has_discard(ops: &[Op], queue: usize) -> bool {
    ops.iter().any(|op| {
        *op == Op::Discard(queue) || op.block().is_some_and(|ops| has_discard(ops, queue))
    })
}
