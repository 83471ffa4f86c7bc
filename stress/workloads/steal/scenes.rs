//! What the step sets on a runtime: trees, bursts, stuck workers, futures, jobs.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::{Builder, Greenlet, JoinError, Runtime, RuntimeHandle, Sleep, yield_now};

use super::ledger::{Excuse, Ledger, Place};
use crate::workload::{Context, Failure, ensure};

/// Levels of a tree, at most: each is a greenlet that waits for the next.
const LEVELS: usize = 300;

/// What every closure of a step knows.
pub(super) struct Scene {
    pub(super) context: Context,
    pub(super) ledger: Arc<Ledger>,
    /// `None` on the step's own thread.
    pub(super) handle: Option<RuntimeHandle>,
    pub(super) workers: usize,
    /// How many to spawn in each scene, about.
    pub(super) closures: usize,
    /// The runtime is about to end: spawns from outside may be refused.
    pub(super) ending: AtomicBool,
    /// It may kill what has not ended by itself: then joins may fail.
    pub(super) cut: AtomicBool,
}

type Inside = fn(&Arc<Scene>, u64) -> Result<(), Failure>;

/// The scenes that a greenlet of the runtime plays.
pub(super) const INSIDE: [Inside; 3] = [tree, futures, jobs];

impl Scene {
    fn anywhere(&self) -> Place {
        match self.workers {
            0 => Place::NoWorker,
            workers => Place::Anywhere(workers),
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::SeqCst)
    }

    fn may_be_cut(&self) -> bool {
        self.is_ending() && self.cut.load(Ordering::SeqCst)
    }

    /// A join's outcome, which may be an error if chaos struck or the runtime ends.
    pub(super) fn check<T>(
        &self,
        what: &str,
        joined: Result<T, JoinError>,
    ) -> Result<Option<T>, Failure> {
        let chaos = self.context.chaos;
        match joined {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.may_be_cut() => Ok(None),
            Err(error) if error.is_killed() && chaos.kill > 0.0 => Ok(None),
            Err(error) if error.is_panic() && chaos.panic > 0.0 => Ok(None),
            Err(error) => Err(Failure(format!(
                "{what} has to end by itself, and: {error}"
            ))),
        }
    }
}

// ------------------------------------------------------------------------ trees

/// A tree of greenlets; each returns how many it and those below it are.
fn tree(scene: &Arc<Scene>, seed: u64) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(seed);
    let width = rng.usize(1..=8);
    let (mut levels, mut nodes, mut broadest) = (1, 1, 1);
    while levels < LEVELS && nodes + broadest * width <= scene.closures {
        broadest *= width;
        nodes += broadest;
        levels += 1;
    }
    let found = node(scene, width, levels, &mut rng)?;
    let chaos = scene.context.chaos;
    if chaos.kill == 0.0 && chaos.panic == 0.0 && !scene.may_be_cut() {
        ensure!(
            found == nodes,
            "a tree of {levels} levels of {width} has {nodes} nodes; {found} answered"
        );
    }
    Ok(())
}

fn node(scene: &Arc<Scene>, width: usize, levels: usize, rng: &mut Rng) -> Result<usize, Failure> {
    scene.context.strike(rng);
    if levels == 1 {
        return Ok(1);
    }
    let children = Vec::from_iter((0..width).filter_map(|_| child(scene, width, levels, rng)));
    let mut found = 1;
    for (greenlet, excuse) in children {
        if scene.context.kills(rng) {
            excuse.give();
            greenlet.kill_nowait();
        }
        if let Some(below) = scene.check("a node's child", greenlet.join())? {
            found += below?;
        }
    }
    Ok(found)
}

type Child = (Greenlet<Result<usize, Failure>>, Excuse);

/// One node below another; nothing if the runtime ends and does not take it.
fn child(scene: &Arc<Scene>, width: usize, levels: usize, rng: &mut Rng) -> Option<Child> {
    let nth = match scene.workers {
        0 => None,
        workers => (rng.u8(..8) == 0).then(|| rng.usize(..workers)),
    };
    let place = nth.map_or(scene.anywhere(), Place::Worker);
    let ticket = scene.ledger.ticket("a node", place);
    let excuse = ticket.excuse();
    let (inner, mut its) = (scene.clone(), rng.fork());
    let run = move || {
        ticket.run();
        node(&inner, width, levels - 1, &mut its)
    };
    let spawned = match (nth, &scene.handle) {
        (Some(nth), Some(handle)) => Builder::new().spawn_on(handle, nth, run),
        _ => Builder::new().spawn(run),
    };
    refused(scene, spawned, &excuse).map(|greenlet| (greenlet, excuse))
}

/// `None` if the runtime, which ends, did not take it; then it must not run.
fn refused<T>(
    scene: &Scene,
    spawned: std::io::Result<Greenlet<T>>,
    excuse: &Excuse,
) -> Option<Greenlet<T>> {
    spawned
        .inspect_err(|error| {
            assert!(scene.is_ending(), "a spawn was refused: {error}");
            excuse.give();
        })
        .ok()
}

// ------------------------------------------------------------------------ from outside

/// On a thread that is no worker: spawns as fast as it can, and joins some of it.
pub(super) fn burst(scene: &Arc<Scene>, mut rng: Rng) -> Result<(), Failure> {
    let handle = scene.handle.clone().expect("bursts need a runtime");
    let mut kept = Vec::new();
    for nth in 0..scene.closures {
        let on = (rng.u8(..8) == 0).then(|| rng.usize(..scene.workers));
        let place = on.map_or(scene.anywhere(), Place::Worker);
        let ticket = scene.ledger.ticket("a closure from outside", place);
        let excuse = ticket.excuse();
        let (context, spawned_at, yields) = (scene.context, Instant::now(), rng.u8(..4) == 0);
        let run = move || {
            context.time(spawned_at.elapsed());
            ticket.run();
            if yields {
                yield_now();
            }
            nth
        };
        let spawned = match on {
            Some(on) => Builder::new().spawn_on(&handle, on, run),
            None => Builder::new().spawn_in(&handle, run),
        };
        let Some(greenlet) = refused(scene, spawned, &excuse) else {
            break;
        };
        match rng.u8(..4) {
            0 => drop(greenlet),
            1 => {
                if let Some(got) = scene.check("a closure from outside", greenlet.join())? {
                    ensure!(got == nth, "closure {nth} gave {got}");
                }
            }
            _ => kept.push((nth, greenlet)),
        }
    }
    for (nth, greenlet) in kept {
        if let Some(got) = scene.check("a closure from outside", greenlet.join())? {
            ensure!(got == nth, "closure {nth} gave {got}");
        }
    }
    Ok(())
}

// ------------------------------------------------------------------------ a stuck worker

/// Some workers, but not all, spawn and then block their threads until all of that has run. Waits for them.
pub(super) fn stuck(scene: &Arc<Scene>, runtime: &Runtime, rng: &mut Rng) -> Result<(), Failure> {
    let many = rng.usize(1..scene.workers);
    let first = rng.usize(..scene.workers);
    let stuck = Vec::from_iter((0..many).map(|nth| {
        let (inner, left) = (scene.clone(), rng.usize(1..=100));
        let worker = (first + nth) % scene.workers;
        let on = runtime.handle().spawn_on(worker, move || {
            let (alive, all_gone) = mpsc::channel::<()>();
            for _ in 0..left {
                let ticket = inner.ledger.ticket("a stuck worker's", inner.anywhere());
                let alive = alive.clone();
                drop(rustlet::spawn(move || {
                    ticket.run();
                    drop(alive);
                }));
            }
            drop(alive);
            // Blocks the thread: only other workers can bring this to an end.
            while all_gone.recv().is_ok() {}
        });
        (worker, on)
    }));
    for (worker, greenlet) in stuck {
        greenlet
            .join()
            .map_err(|error| Failure(format!("what was stuck on worker {worker}: {error}")))?;
    }
    Ok(())
}

// ------------------------------------------------------------------------ futures

/// A flag that any number of futures wait for.
#[derive(Default)]
struct Gate(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    open: bool,
    wakers: Vec<Waker>,
}

impl Gate {
    async fn pass(&self) {
        poll_fn(|cx| {
            let mut waiting = self.0.lock().unwrap();
            if waiting.open {
                return Poll::Ready(());
            }
            waiting.wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn open(&self) {
        let mut waiting = self.0.lock().unwrap();
        waiting.open = true;
        let wakers = std::mem::take(&mut waiting.wakers);
        drop(waiting);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Lets others be polled.
async fn turn() {
    let mut turned = false;
    poll_fn(|cx| {
        cx.waker().wake_by_ref();
        match std::mem::replace(&mut turned, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
}

fn futures(scene: &Arc<Scene>, seed: u64) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(seed);
    let gates = Vec::from_iter((0..rng.usize(1..=64)).map(|_| Arc::new(Gate::default())));
    let mut handles = Vec::new();
    for nth in 0..scene.closures.min(1000) {
        if scene.is_ending() {
            break;
        }
        let ticket = scene.ledger.ticket("a future", scene.anywhere());
        let excuse = ticket.excuse();
        let (gate, inner) = (gates[rng.usize(..gates.len())].clone(), scene.clone());
        let (mut its, naps) = (rng.fork(), rng.usize(..4));
        let future = rustlet::spawn_future(async move {
            ticket.run();
            for _ in 0..naps {
                match its.u8(..5) {
                    0 => Sleep::new(Duration::from_micros(its.u64(..500))).await,
                    1 => gate.pass().await,
                    2 => turn().await,
                    3 => {
                        let greenlet = pin!(rustlet::spawn(move || nth));
                        let got = greenlet.await.ok();
                        assert!(
                            got == Some(nth) || inner.may_be_cut(),
                            "a greenlet that was awaited gave {got:?} and not {nth}"
                        );
                    }
                    _ => inner.context.strike(&mut its),
                }
            }
            nth
        });
        match rng.u8(..8) {
            0 => {
                excuse.give();
                future.cancel();
            }
            1 => drop(future),
            _ => handles.push((nth, future)),
        }
    }
    // A thread that is no worker opens some, a greenlet the rest.
    let (theirs, ours) = gates.split_at(gates.len() / 2);
    if scene.workers > 0 {
        let theirs = theirs.to_vec();
        rustlet::spawn_blocking(move || theirs.iter().for_each(|gate| gate.open()));
    } else {
        theirs.iter().for_each(|gate| gate.open());
    }
    for gate in ours {
        yield_now();
        gate.open();
    }
    for (nth, future) in handles {
        if let Some(got) = scene.check("a future", future.join())? {
            ensure!(got == nth, "future {nth} gave {got}");
        }
    }
    Ok(())
}

// ------------------------------------------------------------------------ jobs

/// Greenlets that have something done on threads of the pool.
fn jobs(scene: &Arc<Scene>, seed: u64) -> Result<(), Failure> {
    let mut rng = Rng::with_seed(seed);
    let all = Vec::from_iter((0..scene.closures.min(100)).filter_map(|nth| {
        let ticket = scene.ledger.ticket("a caller of unblock", scene.anywhere());
        let excuse = ticket.excuse();
        let (inner, killed) = (scene.clone(), scene.context.kills(&mut rng));
        if killed {
            excuse.give();
        }
        let spawned = Builder::new().spawn(move || {
            ticket.run();
            let job = inner.ledger.ticket("a job", Place::NoWorker);
            // Whoever is killed before the pool takes its job has none.
            job.excuse().give();
            rustlet::unblock(move || {
                job.run();
                nth * nth
            })
        });
        let greenlet = refused(scene, spawned, &excuse)?;
        if killed {
            greenlet.kill_nowait();
        }
        Some((nth, greenlet))
    }));
    for (nth, greenlet) in all {
        if let Some(got) = scene.check("a caller of unblock", greenlet.join())? {
            ensure!(got == nth * nth, "job {nth} gave {got}");
        }
    }
    Ok(())
}
