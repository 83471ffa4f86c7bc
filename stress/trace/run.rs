//! Runs a program's greenlets: each is a real greenlet, each operation the call that it is named after.
//!
//! Blocks are closures inside of closures, so that what unwinds a greenlet unwinds real frames. What a block has taken
//! (guards, permits) is its [`Frame`]'s, and given back in the reverse order when the block ends, however it does.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustlet::Greenlet;
use rustlet::sync::{MutexGuard, Permit, RwLockReadGuard, RwLockWriteGuard};

use super::clock::Deadline;
use super::descend::descend;
use super::event::{Cause, What};
use super::program::{How, Op};
use super::tally::Seat;
use super::world::{Counted, World, cause_of, lock};

/// Room for the deepest program without the optimiser: an unwinding through it takes most.
pub(super) const STACK: usize = 1 << 20;

/// A greenlet of this thread with a [`STACK`].
pub(super) fn spawn(f: Box<dyn FnOnce() + Send>) -> Greenlet<()> {
    let builder = rustlet::Builder::new().stack_size(STACK);
    builder.spawn(f).expect("a stack for a greenlet of a trace")
}

/// Spawns greenlet `number` of the program by `spawn`; false if it was spawned already.
pub(crate) fn start(
    world: &Arc<World>,
    number: usize,
    spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> Greenlet<()>,
) -> bool {
    let mut places = lock(&world.places);
    let place = &mut places[number];
    if place.handle.is_some() {
        return false;
    }
    let life = Life {
        _counted: world.counted(),
        world: world.clone(),
        number,
        ran: false,
    };
    let greenlet = spawn(Box::new(move || life.run()));
    place.handle = Some(greenlet.handle());
    place.greenlet = Some(greenlet);
    true
}

/// A greenlet's closure: dropped once, whether it ran or not.
struct Life {
    world: Arc<World>,
    number: usize,
    ran: bool,
    _counted: Counted,
}

impl Life {
    fn run(mut self) {
        self.ran = true;
        let (world, number) = (&*self.world, self.number);
        world.log(number, 0, What::Began);
        let ops = &world.program.greenlets[number].ops;
        let ended = catch_unwind(AssertUnwindSafe(|| Frame::of(world, number).run(ops, 1)));
        world.looks[number].ended.store(1, Ordering::Release);
        match ended {
            Ok(()) => world.log(number, 0, What::Returned),
            Err(payload) => {
                world.log(number, 0, What::Unwound(cause_of(&*payload)));
                resume_unwind(payload);
            }
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if !self.ran {
            self.world.looks[self.number]
                .ended
                .store(1, Ordering::Release);
            self.world.log(self.number, 0, What::NeverRan);
        }
    }
}

/// Something that a block has taken. The seat is left before the guard is dropped.
pub(super) enum Held<'w> {
    Mutex(usize, Seat<'w>, MutexGuard<'w, u64>),
    Read(usize, Given<'w, RwLockReadGuard<'w, u64>>),
    Write(usize, Given<'w, RwLockWriteGuard<'w, u64>>),
    Permit(
        usize,
        #[expect(dead_code, reason = "only dropped")] Permit<'w>,
    ),
}

/// A guard that is only dropped.
#[expect(dead_code, reason = "only dropped")]
pub(super) struct Given<'w, G>(pub(super) Seat<'w>, pub(super) G);

/// A block that runs.
pub(super) struct Frame<'f, 'w> {
    pub(super) world: &'w World,
    pub(super) me: usize,
    around: Option<&'f Frame<'f, 'w>>,
    /// When the time of the innermost limit around it is over.
    limit: Option<u32>,
    pub(super) held: RefCell<Vec<Held<'w>>>,
    _counted: Counted,
}

impl Drop for Frame<'_, '_> {
    fn drop(&mut self) {
        let mut held = self.held.take();
        while let Some(last) = held.pop() {
            drop(last);
        }
    }
}

impl<'f, 'w> Frame<'f, 'w> {
    fn of(world: &'w World, me: usize) -> Self {
        Frame {
            world,
            me,
            around: None,
            limit: None,
            held: RefCell::default(),
            _counted: world.counted(),
        }
    }

    /// A block inside of this one.
    pub(super) fn inner(&self) -> Frame<'_, 'w> {
        let mut inner = Frame::of(self.world, self.me);
        inner.around = Some(self);
        inner.limit = self.limit;
        inner
    }

    /// Does `ops`, of which the first is line number `line`.
    pub(super) fn run(&self, ops: &[Op], mut line: usize) {
        for op in ops {
            self.world.looks[self.me]
                .line
                .store(line, Ordering::Relaxed);
            let what = self.perform(op, line);
            self.world.log(self.me, line, what);
            line += op.lines();
        }
    }

    pub(super) fn keep(&self, held: Held<'w>) {
        self.held.borrow_mut().push(held);
    }

    /// Takes out what was taken last of those that `is` says yes to, here or further out; and with it where it was.
    pub(super) fn find(
        &self,
        is: &dyn Fn(&Held<'_>) -> bool,
        then: &mut dyn FnMut(&Frame<'_, '_>, usize),
    ) -> bool {
        let place = self.held.borrow().iter().rposition(is);
        match (place, self.around) {
            (Some(place), _) => then(self, place),
            (None, Some(around)) => return around.find(is, then),
            (None, None) => return false,
        }
        true
    }

    /// Gives back what `is` says.
    fn give_back(&self, is: &dyn Fn(&Held<'_>) -> bool) -> What {
        let found = self.find(is, &mut |frame, place| {
            let held = frame.held.borrow_mut().remove(place);
            drop(held);
        });
        if found { What::Done } else { What::Nothing }
    }

    fn perform(&self, op: &Op, line: usize) -> What {
        let world = self.world;
        match *op {
            Op::Yield => rustlet::yield_now(),
            Op::Sleep(moments) => {
                let deadline = world.clock.deadline(moments);
                rustlet::sleep_until(deadline.time());
                self.not_early(&deadline);
            }
            Op::Park(How::Within(moments)) => {
                let deadline = world.clock.deadline(moments);
                rustlet::park_timeout(deadline.left());
            }
            Op::Park(_) => rustlet::park().expect("a greenlet gets no report of a deadlock"),
            Op::Unpark(other) => match world.handle(other) {
                Some(handle) => handle.unpark(),
                None => return What::Nothing,
            },
            Op::Kill(other) => match world.handle(other) {
                Some(handle) => handle.kill(),
                None => return What::Nothing,
            },
            Op::Throw(other, what) => match world.handle(other) {
                Some(handle) => handle.throw(world.payload(Cause::Thrown(what))),
                None => return What::Nothing,
            },
            Op::Panic(what, false) => {
                resume_unwind(Box::new(world.payload(Cause::Panicked(what))));
            }
            Op::Panic(what, true) => panic_any(world.payload(Cause::Panicked(what))),
            Op::Spawn(other) => {
                let world = self.shared();
                if !start(&world, other, spawn) {
                    return What::Nothing;
                }
            }
            Op::Join(other, how) => return self.join(other, how),
            Op::End(other, how) => return self.end(other, how),
            Op::Set(event) => world.events[event].set(),
            Op::Clear(event) => world.events[event].clear(),
            Op::Wait(event, how) => return self.wait(event, how),
            Op::Lock(mutex, how) => return self.lock(mutex, how),
            Op::Unlock(mutex) => {
                return self.give_back(&|held| matches!(*held, Held::Mutex(n, ..) if n == mutex));
            }
            Op::Read(rwlock, how) => return self.read(rwlock, how),
            Op::Write(rwlock, how) => return self.write(rwlock, how),
            Op::Leave(rwlock) => {
                return self.give_back(
                    &|held| matches!(*held, Held::Read(n, _) | Held::Write(n, _) if n == rwlock),
                );
            }
            Op::Acquire(semaphore, how) => return self.acquire(semaphore, how),
            Op::Release(semaphore) => {
                return self
                    .give_back(&|held| matches!(*held, Held::Permit(n, _) if n == semaphore));
            }
            Op::Add(semaphore, count) => {
                world.semaphore_tallies[semaphore]
                    .added
                    .fetch_add(count.into(), Ordering::Relaxed);
                world.semaphores[semaphore].add_permits(count.into());
            }
            Op::Await(condvar, mutex, how) => return self.wait_condvar(condvar, mutex, how),
            Op::Notify(condvar) => world.condvars[condvar].notify_one(),
            Op::NotifyAll(condvar) => world.condvars[condvar].notify_all(),
            Op::Put(queue, how) => return self.put(queue, how),
            Op::Get(queue, how) => return self.get(queue, how),
            Op::Shutdown(queue) => world.queues[queue].shutdown(),
            Op::Discard(queue) => world.queues[queue].shutdown_now(),
            Op::Select(ref arms, how) => return self.select(arms, how),
            Op::Timeout(moments, ref ops) => {
                let deadline = match (moments, self.limit) {
                    (0, Some(around)) => world.clock.same_deadline(around),
                    _ => world.clock.deadline(moments),
                };
                let ended = rustlet::timeout_at(deadline.time(), || {
                    let mut inner = self.inner();
                    inner.limit = Some(deadline.moment());
                    inner.run(ops, line + 1);
                });
                if ended.is_err() {
                    self.not_early(&deadline);
                    return What::Unwound(Cause::Limit);
                }
            }
            Op::Catch(ref ops) => {
                let ended = catch_unwind(AssertUnwindSafe(|| self.inner().run(ops, line + 1)));
                if let Err(payload) = ended {
                    return What::Unwound(cause_of(&*payload));
                }
            }
            Op::Depth(calls, ref ops) => {
                descend(self, calls, &mut |frame| frame.run(ops, line + 1))
            }
            Op::Repeat(times, ref ops) => {
                for _ in 0..times {
                    self.inner().run(ops, line + 1);
                }
            }
        }
        What::Done
    }

    /// Something has ended because `deadline` has come.
    fn not_early(&self, deadline: &Deadline<'_>) {
        let left = deadline.left();
        if !left.is_zero() {
            self.world
                .broken(|| format!("g{}: {left:?} before its time", self.me));
        }
    }

    /// The world as its closures have it.
    fn shared(&self) -> Arc<World> {
        self.world.myself()
    }
}
