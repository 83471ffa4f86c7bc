//! Kills, throws, timeouts and panics at every kind of place where a greenlet can wait.
//!
//! Plan: on each worker, victims. Each goes down through one to a dozen frames, every one with a witness whose destructor
//! takes notes, some with a `catch_unwind` that passes on what it caught, or that insists: it swallows it and waits again. At the
//! bottom it waits at a place ([`points`]) where it would wait for ever, or panics. Then, in random order, some before they
//! began, they are killed, thrown at, timed out (also by the inner or the outer of two limits), released, or released and killed in one
//! go, in either order; kills come from this worker or another.
//! Now and then a destructor tries to suspend.
//!
//! Chaos: more kills, panics in the frames, delays on the way down.
//!
//! Invariant: witnesses are dropped once each, innermost first. A kill or a timeout that was swallowed comes again, a throw
//! does not. A join tells what hit: the kill, the very payload, the limit, never before its time. What was waited for
//! is as if the victim had never waited, or had got what it waited for: locks are free, permits, items and bytes are all
//! there or were taken, groups are empty. No switch happens while a destructor runs because of an unwinding.

mod points;
mod victim;

use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::{Greenlet, Handle, JoinError};

use crate::chaos::ChaosPanic;
use crate::crew::Crew;
use crate::workload::{Context, Failure, Workload, ensure};
use points::{Point, Scene};
use victim::{End, Fate, Plan, Thrown, Told};

pub(crate) struct Unwind;

/// Victims in a step, on all workers together: about.
const VICTIMS: usize = 700;
/// At a time on each worker, of those whose place needs descriptors or a process; and of all.
const DEAR: usize = 40;
const MOST: usize = 5000;

/// Victims that any worker may kill.
type Marked = Arc<Mutex<Vec<Handle>>>;

impl Workload for Unwind {
    fn name(&self) -> &'static str {
        "unwind"
    }

    fn about(&self) -> &'static str {
        "kills, throws, timeouts and panics wherever a greenlet can wait: destructors run, nothing is lost"
    }

    fn unit(&self) -> &'static str {
        "victims"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("kill and wait for it")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let at_a_time = context.crowd(&mut rng).div_ceil(context.workers).min(MOST);
        let rounds = (context.scaled(VICTIMS) / context.workers).div_ceil(at_a_time);
        context.phase(&format!("{at_a_time} victims at a time on each worker"));
        let marked = Marked::default();
        let crew = Crew::of(context)?;
        let masters = Vec::from_iter((0..context.workers).map(|nth| {
            let (context, marked) = (*context, marked.clone());
            crew.spawn_on(nth, move || {
                let mut rng = context.rng(1 + nth as u64);
                (0..rounds).try_for_each(|_| round(&context, at_a_time, &marked, &mut rng))
            })
        }));
        for master in masters {
            master.join()??;
        }
        crew.end()
    }
}

/// A victim, its fate, and where it waits.
struct Case {
    victim: Greenlet<End>,
    told: Rc<Told>,
    point: &'static Point,
    scene: Scene,
    fate: Fate,
    given: u64,
}

fn round(context: &Context, victims: usize, marked: &Marked, rng: &mut Rng) -> Result<(), Failure> {
    let mut dear = 0;
    let mut cases = Vec::with_capacity(victims);
    for _ in 0..victims {
        let point = loop {
            let point = &points::ALL[rng.usize(..points::ALL.len())];
            if point.cost == 0 || (dear + point.cost <= DEAR && rng.usize(..point.cost) == 0) {
                break point;
            }
        };
        dear += point.cost;
        let scene = (point.set_up)()?;
        let plan = Plan::random(rng, &scene);
        let (fate, told) = (plan.fate, Rc::<Told>::default());
        let (context, its, wait) = (*context, told.clone(), scene.wait.clone());
        let victim = rustlet::spawn_local(move || victim::live(plan, &context, &*wait, &its));
        cases.push(Case {
            victim,
            told,
            point,
            scene,
            fate,
            given: 0,
        });
    }
    (0..rng.u8(..4)).for_each(|_| rustlet::yield_now());
    rng.shuffle(&mut cases);
    for case in &mut cases {
        case.strike(context, marked, rng);
        let victim = marked.lock().unwrap().pop();
        victim.iter().for_each(Handle::kill);
        context.delay(rng);
    }
    // Whoever marked them, all must be killed by somebody.
    std::mem::take(&mut *marked.lock().unwrap())
        .iter()
        .for_each(Handle::kill);
    cases.into_iter().try_for_each(|case| case.close(context))
}

impl Case {
    /// Does to the victim what is its fate, or its part that comes from outside.
    fn strike(&mut self, context: &Context, marked: &Marked, rng: &mut Rng) {
        let handle = self.victim.handle();
        context.phase(&format!("{}, {:?} begins", self.point.name, self.fate));
        if context.kills(rng) {
            handle.kill();
        }
        match self.fate {
            Fate::Killed => match rng.u8(..4) {
                0 => marked.lock().unwrap().push(handle),
                1 => {
                    let begun = Instant::now();
                    self.victim.kill().expect("a victim ends when it is killed");
                    context.time(begun.elapsed());
                }
                _ => handle.kill(),
            },
            // What never began cannot say what hit it, but with a payload that is chaos' own.
            Fate::ThrownAt(number) if self.victim.is_started() => self.victim.throw(Thrown(number)),
            Fate::ThrownAt(_) | Fate::ThrownThrough => self.victim.throw(ChaosPanic),
            Fate::Released => {
                self.release();
                if self.given == 0 {
                    handle.kill();
                }
            }
            Fate::ReleasedAndKilled => {
                self.release();
                handle.kill();
            }
            Fate::KilledAndReleased => {
                handle.kill();
                self.release();
            }
            Fate::TimedOut(_) | Fate::TimedOutWithin(_) | Fate::Panics(_) => {}
        }
    }

    fn release(&mut self) {
        if let Some(release) = self.scene.release.take() {
            self.given = release(&self.victim.handle());
        }
    }

    /// Joins, and looks at what is left.
    fn close(self, context: &Context) -> Result<(), Failure> {
        let name = self.point.name;
        // So that a hang has a name.
        context.phase(&format!("{name}, {:?}", self.fate));
        self.victim.wait()?;
        let late = |failure: Failure| Failure(format!("{name}, {:?}: {failure}", self.fate));
        self.told.verdict().map_err(late)?;
        let began = self.told.began();
        match self.victim.join() {
            Ok(end) => expect(self.fate, self.given, &end).map_err(late)?,
            Err(error) => excuse(context, self.fate, began, error).map_err(late)?,
        }
        (self.scene.intact)(self.given, self.told.taken()).map_err(late)?;
        context.count(1);
        Ok(())
    }
}

/// A victim's own account of its end.
fn expect(fate: Fate, given: u64, end: &End) -> Result<(), Failure> {
    let fits = match (fate, end) {
        (Fate::TimedOut(limit) | Fate::TimedOutWithin(limit), End::TimedOut(took)) => {
            ensure!(took >= &limit, "a limit of {limit:?} passed after {took:?}");
            true
        }
        (Fate::ThrownAt(number) | Fate::Panics(number), End::Threw(payload)) => *payload == number,
        (Fate::Released | Fate::ReleasedAndKilled | Fate::KilledAndReleased, End::Returned) => {
            given > 0
        }
        _ => false,
    };
    ensure!(
        fits,
        "the victim's end was {end:?}, having been given {given}"
    );
    Ok(())
}

/// An end without a value.
fn excuse(context: &Context, fate: Fate, began: bool, error: JoinError) -> Result<(), Failure> {
    let may_be_killed = matches!(
        fate,
        Fate::Killed | Fate::Released | Fate::ReleasedAndKilled | Fate::KilledAndReleased
    );
    if may_be_killed && error.is_killed() {
        return Ok(());
    }
    let thrown_through =
        matches!(fate, Fate::ThrownThrough) || (!began && matches!(fate, Fate::ThrownAt(_)));
    if thrown_through && error.is_panic() {
        return context.victim(error);
    }
    ensure!(context.chaos.any(), "the victim ended otherwise: {error}");
    context.victim(error)
}

/// Longer than any step.
const HOUR: Duration = Duration::from_secs(3600);
