//! A world: raw greenlets that do what they draw, and ask the model what comes of it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Instant;

use fastrand::Rng;
use rustlet::raw::{self, Generator, Greenlet, WeakGreenlet};

use super::model::{MAIN, Model, Operation, Parcel};
use crate::workload::{Context, Failure, ensure};

/// What is thrown.
struct Thrown(i64);

struct World {
    context: Context,
    model: RefCell<Model>,
    rng: RefCell<Rng>,
    /// By number; the forgotten are `None`.
    table: RefCell<Vec<Option<Greenlet<i64>>>>,
    all: RefCell<Vec<WeakGreenlet<i64>>>,
    most: usize,
    left: Cell<usize>,
    /// What arrives next, at the model's `at`.
    expected: Cell<Parcel>,
    /// Closures that there are.
    live: Cell<usize>,
    failed: RefCell<Option<Failure>>,
}

/// Lives one world from its beginning to its end.
pub(super) fn live(
    context: &Context,
    nth: u64,
    most: usize,
    operations: usize,
) -> Result<(), Failure> {
    let world = Rc::new(World {
        context: *context,
        model: RefCell::new(Model::new()),
        rng: RefCell::new(context.rng(1 + nth)),
        table: RefCell::new(vec![Some(raw::main())]),
        all: RefCell::default(),
        most,
        left: Cell::new(operations),
        expected: Cell::new(Parcel::Value(0)),
        live: Cell::new(0),
        failed: RefCell::default(),
    });
    let ended = catch_unwind(AssertUnwindSafe(|| {
        world.run(MAIN);
        world.forget_all();
    }));
    if let Some(failure) = world.failed.take() {
        // Nothing of a broken world can be unwound. The process is about to end.
        std::mem::forget(world.table.take());
        std::mem::forget(world);
        return Err(failure);
    }
    world.end_circles();
    let left = world.live.get();
    match ended {
        Ok(()) => ensure!(left == 0, "{left} closures outlive their world"),
        // Chaos, or a bug that the join will tell of.
        Err(payload) => resume_unwind(payload),
    }
    Ok(())
}

impl World {
    /// What greenlet `me` does until it ends: its value.
    fn run(self: &Rc<World>, me: usize) -> i64 {
        while self.failed.borrow().is_none() {
            let operation = match self.left.get() {
                0 if me == MAIN => break,
                0 => Operation::Send(MAIN, Parcel::Value(0)),
                left => {
                    self.left.set(left - 1);
                    if left % 64 == 0 {
                        self.context.count(64);
                    }
                    self.draw(me)
                }
            };
            if self.rng.borrow_mut().u8(..8) == 0 {
                self.pause();
            }
            self.expected.set(self.model.borrow_mut().apply(operation));
            if let Operation::End(parcel) = operation {
                match parcel {
                    Parcel::Value(value) => return value,
                    Parcel::Thrown(number) => resume_unwind(Box::new(Thrown(number))),
                    Parcel::Exit(value) => raw::exit(value),
                }
            }
            let calls = self.rng.borrow_mut().u32(..41);
            let half_way = (self.rng.borrow_mut().u8(..8) == 0).then(numbers);
            let arrived = catch_unwind(AssertUnwindSafe(|| self.deep(calls, operation)));
            self.arrive(me, Some(operation), arrived);
            if let Some(rest) = half_way {
                let sum: u64 = rest.sum();
                self.check(sum == 1 + 2 + 3, || {
                    format!("greenlet {me}: the rest of a generator sums up to {sum}, not 6")
                });
            }
        }
        if me != MAIN {
            // Main tells of the failure.
            raw::main::<i64>().switch(0);
        }
        0
    }

    /// Compares what has arrived at `me` with what the model says.
    fn arrive(
        &self,
        me: usize,
        after: Option<Operation>,
        arrived: Result<i64, Box<dyn Any + Send>>,
    ) {
        let arrived = match arrived {
            Ok(value) => Parcel::Value(value),
            Err(payload) => match payload.downcast::<Thrown>() {
                Ok(thrown) => Parcel::Thrown(thrown.0),
                // An exit is passed on, as is what chaos raised.
                Err(other) => resume_unwind(other),
            },
        };
        let (expected, model) = (self.expected.get(), self.model.borrow());
        self.check((me, arrived) == (model.at(), expected), || {
            let at = model.at();
            format!("greenlet {me}, whose last operation was {after:?}, got {arrived:?}; expected was {expected:?} at greenlet {at}")
        });
        let live = self.live.get();
        self.check(live == model.live(), || {
            format!(
                "at greenlet {me}, after {after:?}: {live} closures are alive, and {} should be",
                model.live()
            )
        });
    }

    fn check(&self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            let mut failed = self.failed.borrow_mut();
            failed.get_or_insert_with(|| Failure(text()));
        }
    }

    fn draw(&self, me: usize) -> Operation {
        let (mut rng, model) = (self.rng.borrow_mut(), self.model.borrow());
        let any = |rng: &mut Rng| loop {
            let n = rng.usize(..model.len());
            if model.in_table(n) {
                return n;
            }
        };
        let value = rng.i64(0..1000);
        match rng.u8(..32) {
            0..12 => Operation::Send(any(&mut rng), Parcel::Value(value)),
            12..16 if me != MAIN => Operation::Parent(value),
            16..18 => Operation::Send(any(&mut rng), Parcel::Thrown(value)),
            18..20 => match any(&mut rng) {
                MAIN => Operation::Send(MAIN, Parcel::Value(value)),
                n => Operation::Send(n, Parcel::Exit(value)),
            },
            20 if me != MAIN => Operation::End(Parcel::Value(value)),
            21 if me != MAIN => Operation::End(Parcel::Thrown(value)),
            22 if me != MAIN => Operation::End(Parcel::Exit(value)),
            23..25 => Operation::Adopt {
                child: any(&mut rng),
                parent: any(&mut rng),
            },
            25 => match any(&mut rng) {
                MAIN => Operation::Send(MAIN, Parcel::Value(value)),
                n => Operation::Forget(n),
            },
            // In the place of those that have ended, too.
            _ if model.live() < self.most => Operation::New {
                parent: any(&mut rng),
            },
            _ => Operation::Send(any(&mut rng), Parcel::Value(value)),
        }
    }

    /// Does `operation` below `calls` more calls with painted arrays.
    #[inline(never)]
    fn deep(self: &Rc<World>, calls: u32, operation: Operation) -> i64 {
        if calls == 0 {
            return self.perform(operation);
        }
        let tag = u64::from(calls) << 32;
        let painted: [u64; 24] = std::array::from_fn(|nth| tag | nth as u64);
        let array = black_box(painted);
        let value = self.deep(calls - 1, operation);
        let kept = black_box(&array) == &painted;
        self.check(kept, || {
            format!("an array {calls} calls above a switch is now {array:x?}")
        });
        value
    }

    fn perform(self: &Rc<World>, operation: Operation) -> i64 {
        let at = |n: usize| {
            self.table.borrow()[n]
                .clone()
                .expect("the model has a handle")
        };
        match operation {
            Operation::Send(to, Parcel::Value(value)) => at(to).switch(value),
            Operation::Send(to, Parcel::Thrown(number)) => at(to).throw(Thrown(number)),
            Operation::Send(to, Parcel::Exit(value)) => at(to).throw_exit(value),
            Operation::Parent(value) => raw::switch_to_parent(value),
            Operation::Adopt { child, parent } => at(child).set_parent(&at(parent)).is_ok().into(),
            Operation::New { parent } => {
                let begun = Instant::now();
                let made = self.make(&at(parent));
                self.context.time(begun.elapsed());
                self.all.borrow_mut().push(made.downgrade());
                self.table.borrow_mut().push(Some(made));
                1
            }
            Operation::Forget(n) => {
                let last = self.table.borrow_mut()[n].take();
                drop(last);
                1
            }
            Operation::End(_) => unreachable!("ends are the caller's"),
        }
    }

    fn make(self: &Rc<World>, parent: &Greenlet<i64>) -> Greenlet<i64> {
        let me = self.table.borrow().len();
        let live = Live::new(self);
        Greenlet::with_parent(parent, move |first| {
            let world = &live.0;
            world.arrive(me, None, Ok(first));
            world.run(me)
        })
    }

    /// Lets other worlds go on, and chaos in.
    fn pause(&self) {
        let mut rng = self.rng.borrow_mut().fork();
        self.context.strike(&mut rng);
        rustlet::yield_now();
    }

    /// Main's end: all handles but main's go, in random order.
    fn forget_all(&self) {
        let mut numbers = Vec::from_iter(1..self.model.borrow().len());
        self.rng.borrow_mut().shuffle(&mut numbers);
        for n in numbers {
            if self.failed.borrow().is_none() && self.model.borrow().in_table(n) {
                let operation = Operation::Forget(n);
                self.expected.set(self.model.borrow_mut().apply(operation));
                let last = self.table.borrow_mut()[n].take();
                drop(last);
                self.arrive(MAIN, Some(operation), Ok(1));
            }
        }
    }

    /// Ends those that keep each other alive, or are left of a world that chaos ended.
    fn end_circles(&self) {
        self.left.set(0);
        let rest = Vec::from_iter(self.all.take().iter().filter_map(WeakGreenlet::upgrade));
        drop(self.table.take());
        for greenlet in &rest {
            // The thread's main is another one if this world ran inside of a raw greenlet; it does not.
            greenlet
                .set_parent(&raw::main())
                .expect("main is nobody's child");
        }
        for greenlet in &rest {
            assert_eq!(
                greenlet.throw_exit(-1),
                -1,
                "an exit gives its value to the parent"
            );
            assert!(
                greenlet.dead(),
                "a raw greenlet that was told to exit has ended"
            );
        }
    }
}

/// One more closure, while this is there.
struct Live(Rc<World>);

impl Live {
    fn new(world: &Rc<World>) -> Live {
        world.live.set(world.live.get() + 1);
        Live(world.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.set(self.0.live.get() - 1);
    }
}

/// 0, 1, 2, 3, of which the first has been taken.
fn numbers() -> Generator<u64> {
    let mut numbers = raw::generator(|y| (0..4).for_each(|n| y.yield_(n)));
    assert_eq!(numbers.next(), Some(0), "a generator's first");
    numbers
}
