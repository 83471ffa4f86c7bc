//! Deadlines: sleeping, limits, nested limits, greenlets that start later; near, far, and taken back.
//!
//! Plan: a crowd of sleepers on all workers, each with a few things to do that have to do with time. Deadlines are microseconds to
//! some milliseconds away where they are waited for; an hour, years, and all eternity where they are to be taken back.
//! Chaos kills sleepers, whose alarms go with them. Beside them, *conductors* ([`order`]) have a few greenlets of their thread
//! sleep until known times, and look at who woke first. What is timed is lateness; it is nobody's fault but the load's, and
//! nothing is said of how late is too late.
//!
//! Invariant: nothing ends before its time; what is taken back never comes; of limits that pass together the innermost hits, and
//! a limit hits its own frame; on one thread, sleepers wake in the order of their deadlines, those of the same deadline
//! in the order in which they went to sleep. Everybody wakes in the end.

mod order;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::sync::{Event, Semaphore, WaitGroup, mpmc};
use rustlet::{Greenlet, JoinError};

use crate::crew::Crew;
use crate::witness::{Victims, Witness};
use crate::workload::{Context, Failure, Workload};

pub(crate) struct Timers;

/// Things done in a step, by all sleepers.
const DEEDS: usize = 30_000;
/// The most that one sleeper does, because each takes some milliseconds.
const EACH: usize = 30;

impl Workload for Timers {
    fn name(&self) -> &'static str {
        "timers"
    }

    fn about(&self) -> &'static str {
        "sleeps and limits: never early, in order, and never after they were taken back"
    }

    fn unit(&self) -> &'static str {
        "deadlines"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("lateness")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let sleepers = context.crowd(&mut rng);
        let conductors = rng.usize(..=3);
        let deeds = (context.scaled(DEEDS) / sleepers).clamp(1, EACH);
        context.phase(&format!("{sleepers} sleepers, {conductors} conductors"));

        let crew = Crew::of(context)?;
        let scene = Arc::new(Scene {
            witness: Witness::default(),
            victims: Victims::default(),
            bound: Arc::new(WaitGroup::new()),
            context: *context,
        });
        let conductors = Vec::from_iter((0..conductors).map(|nth| {
            let scene = scene.clone();
            let mut rng = context.rng(u64::MAX - nth as u64);
            crew.spawn_on(nth, move || {
                (0..3).for_each(|_| order::trial(&scene.context, &mut rng, &scene.witness));
            })
        }));
        let sleepers = Vec::from_iter((0..sleepers).map(|nth| {
            let scene = scene.clone();
            crew.spawn_on(rng.usize(..64), move || scene.sleep(nth, deeds))
        }));
        scene.victims.set(sleepers.iter().map(Greenlet::handle));
        for (nth, sleeper) in sleepers.into_iter().enumerate() {
            scene.victims.ended(nth, sleeper.join())?;
        }
        for conductor in conductors {
            conductor.join()?;
        }
        scene.bound.wait();
        crew.end()?;
        scene.witness.verdict()
    }
}

struct Scene {
    witness: Witness,
    victims: Victims,
    /// Greenlets that sleepers made, and may have left to die.
    bound: Arc<WaitGroup>,
    context: Context,
}

/// A time to wait for: mostly short.
fn near(rng: &mut Rng) -> Duration {
    match rng.u8(..8) {
        0 => Duration::ZERO,
        1..4 => Duration::from_nanos(rng.u64(..200_000)),
        _ => Duration::from_nanos(rng.u64(..6_000_000)),
    }
}

/// A time that is not to come.
fn far(rng: &mut Rng) -> Duration {
    match rng.u8(..4) {
        0 => Duration::MAX,
        1 => Duration::from_secs(rng.u64(3600..1 << 40)),
        _ => Duration::from_secs(3600) + near(rng),
    }
}

impl Scene {
    fn sleep(&self, nth: usize, deeds: usize) {
        let mut rng = self.context.rng(1 + nth as u64);
        for _ in 0..deeds {
            self.do_one(&mut rng);
            self.context.count(1);
            self.victims.strike(&self.context, &mut rng);
            self.context.strike(&mut rng);
        }
    }

    /// `what` began and was to take `limit`. Is it over now, and late by how much?
    fn over(&self, what: &str, begun: Instant, limit: Duration) {
        let took = begun.elapsed();
        let early = limit.saturating_sub(took);
        self.witness.expect(early.is_zero(), || {
            let id = rustlet::current().id();
            format!("{what} of {limit:?} ended {early:?} early, after {took:?}, in greenlet {id}")
        });
        self.context.time(took.saturating_sub(limit));
    }

    fn expect(&self, holds: bool, text: &str) {
        self.witness.expect(holds, || {
            format!("{text}, in greenlet {}", rustlet::current().id())
        });
    }

    fn do_one(&self, rng: &mut Rng) {
        let (limit, never) = (near(rng), far(rng));
        let begun = Instant::now();
        match rng.u8(..16) {
            0..3 => {
                rustlet::sleep(limit);
                self.over("a sleep", begun, limit);
            }
            3 => {
                rustlet::sleep_until(begun + limit);
                self.over("a sleep until", begun, limit);
            }
            4 => {
                rustlet::block_on(rustlet::Sleep::new(limit));
                self.over("a future's sleep", begun, limit);
            }
            5 => {
                let result = rustlet::timeout(limit, || rustlet::sleep(never));
                self.over("a timeout", begun, limit);
                self.expect(result.is_err(), "a timeout let a sleep of an hour through");
            }
            6 => {
                let result = rustlet::timeout(never, || rustlet::sleep(limit));
                self.over("a sleep in a timeout", begun, limit);
                self.expect(
                    result.is_ok(),
                    "a timeout of an hour hit a sleep of milliseconds",
                );
            }
            7 => self.nested(1 + rng.u32(..6), rng),
            8 => self.together(limit, never, rng.bool()),
            9 => {
                let set = Event::new().wait_timeout(limit);
                self.over("a wait for an event", begun, limit);
                self.expect(!set, "an event was set that nobody set");
            }
            10 => {
                let got = Semaphore::new(0).acquire_timeout(limit).is_some();
                self.over("a wait for a permit", begun, limit);
                self.expect(!got, "a semaphore without permits gave one");
            }
            11 => {
                let (sender, receiver) = mpmc::bounded::<u8>(1);
                let got = receiver.recv_timeout(limit);
                self.over("a wait for an item", begun, limit);
                self.expect(
                    got == Err(mpmc::RecvTimeoutError::Timeout),
                    "a receive saw something else",
                );
                drop(sender);
            }
            12 => self.later(limit, rng.bool()),
            13 => self.never_later(never),
            14 => {
                let member = self.bound.member();
                let sleeper = Bound(Some(rustlet::spawn_local(move || {
                    rustlet::sleep(never);
                    drop(member);
                })));
                let ended = sleeper.ends_in(limit);
                self.over("a wait for an end", begun, limit);
                self.expect(!ended, "a sleep of an hour was over in milliseconds");
                self.expect(sleeper.dies(), "a sleeper that was killed sleeps on");
            }
            _ => self.taken_back(),
        }
    }

    /// Limits in each other, and a sleep inside. Whichever comes first ends it, at its own frame.
    fn nested(&self, depth: u32, rng: &mut Rng) {
        let limit = near(rng);
        let begun = Instant::now();
        if depth == 0 {
            rustlet::sleep(limit);
            return self.over("a sleep in nested timeouts", begun, limit);
        }
        let limit = if rng.u8(..3) == 0 { far(rng) } else { limit };
        let inner = AtomicBool::new(false);
        let result = rustlet::timeout(limit, || {
            let _entered = Entered::new(&inner);
            self.nested(depth - 1, rng);
        });
        self.expect(
            !inner.load(Ordering::Relaxed),
            "a timeout returned before its frame was left",
        );
        if result.is_err() {
            self.over("a nested timeout", begun, limit);
        }
    }

    /// Two limits at the same instant: the inner one hits, and the outer one only what still waits.
    fn together(&self, limit: Duration, never: Duration, waits_on: bool) {
        let begun = Instant::now();
        let deadline = begun + limit;
        let mut inner_was_hit = false;
        let outer = rustlet::timeout_at(deadline, || {
            inner_was_hit = rustlet::timeout_at(deadline, || rustlet::sleep(never)).is_err();
            if waits_on {
                rustlet::sleep(never);
            }
        });
        self.over("two timeouts", begun, limit);
        self.expect(
            inner_was_hit,
            "of two timeouts at one time the outer one hit first",
        );
        self.expect(
            outer.is_err() == waits_on,
            "the outer one of two timeouts did as the inner one should",
        );
    }

    /// A greenlet that starts at its time; or, if it is killed, perhaps not at all.
    fn later(&self, delay: Duration, kill: bool) {
        let begun = Instant::now();
        let ran = Arc::new(AtomicBool::new(false));
        let (runs, member) = (ran.clone(), self.bound.member());
        let later = rustlet::spawn_later(delay, move || {
            runs.store(true, Ordering::Relaxed);
            drop(member);
            begun.elapsed()
        });
        let later = Bound(Some(later));
        if kill {
            rustlet::sleep(delay / 2);
            later.kill();
        }
        match later.join() {
            Ok(started) => {
                self.witness.expect(started >= delay, || {
                    format!("spawn_later of {delay:?} started after {started:?}")
                });
                self.context.time(started.saturating_sub(delay));
            }
            Err(error) => {
                self.expect(
                    kill && error.is_killed(),
                    &format!("spawn_later did not run: {error}"),
                );
                let ran = ran.load(Ordering::Relaxed);
                self.expect(
                    !ran,
                    "spawn_later: a greenlet was killed and has run to its end",
                );
            }
        }
    }

    fn never_later(&self, delay: Duration) {
        let member = self.bound.member();
        let later = Bound(Some(rustlet::spawn_later(delay, || drop(member))));
        rustlet::yield_now();
        self.expect(
            later.dies(),
            "spawn_later: an hour was over, or a kill did not end it",
        );
    }

    /// A limit that is not reached, and then a park whose end would tell of it.
    fn taken_back(&self) {
        let (limit, longer) = (Duration::from_millis(2), Duration::from_millis(4));
        let event = Arc::new(Event::new());
        let (sets, member) = (event.clone(), self.bound.member());
        // On this thread: an unpark from another one may come later than what it tells of.
        let setter = Bound(Some(rustlet::spawn_local(move || {
            sets.set();
            drop(member);
        })));
        event.wait_timeout(limit);
        let joined = setter.join();
        self.expect(joined.is_ok(), "who sets an event ended otherwise");
        // Takes the token that the wait may have left.
        rustlet::park_timeout(Duration::from_micros(1));
        let begun = Instant::now();
        rustlet::park_timeout(longer);
        self.over(
            "a park that nobody ends, after a limit that was taken back,",
            begun,
            longer,
        );
    }
}

/// A greenlet that goes with who made it, whom chaos may kill meanwhile. (A handle that is dropped detaches.)
struct Bound<T>(Option<Greenlet<T>>);

impl<T> Bound<T> {
    fn get(&self) -> &Greenlet<T> {
        self.0.as_ref().expect("it is taken by `join` alone")
    }

    fn kill(&self) {
        self.get().kill_nowait();
    }

    fn ends_in(&self, limit: Duration) -> bool {
        !rustlet::wait([self.get()], Some(limit), None).is_empty()
    }

    fn join(mut self) -> Result<T, JoinError> {
        self.get().wait()?;
        self.0.take().expect("it is joined once").join()
    }

    /// Whether a kill ends it, and nothing else has.
    fn dies(self) -> bool {
        self.kill();
        self.join().is_err_and(|error| error.is_killed())
    }
}

impl<T> Drop for Bound<T> {
    fn drop(&mut self) {
        if let Some(greenlet) = &self.0 {
            greenlet.kill_nowait();
        }
    }
}

/// Says that a frame lives.
struct Entered<'a>(&'a AtomicBool);

impl<'a> Entered<'a> {
    fn new(lives: &'a AtomicBool) -> Entered<'a> {
        lives.store(true, Ordering::Relaxed);
        Entered(lives)
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
