//! Raw greenlets against a model: random programs that switch, throw, end and reparent each other.
//!
//! Every greenlet runs a list of operations, main too. Whatever arrives is written to a log. The model
//! runs the same programs without any stack, by the rules of `raw`'s documentation; the logs must be
//! equal, and afterwards every closure's destructor must have run.

mod support;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use proptest::prelude::*;
use rustlet::raw::{self, Greenlet};

/// What a greenlet does next. Numbers are greenlets; 0 is main.
#[derive(Clone, Copy, Debug)]
enum Op {
    Switch(usize),
    Parent,
    Throw(usize),
    Exit(usize),
    Adopt(usize, usize),
}

/// What arrived where; for `Adopt`, whether it was allowed.
type Log = Vec<(usize, i64)>;

/// Payloads arrive in the log as this plus their number.
const THROWN: i64 = 1 << 32;
const ADOPTED: i64 = 1 << 33;

struct Thrown(i64);

// ---------------------------------------------------------------------------- with greenlets

#[derive(Default)]
struct World {
    greenlets: RefCell<Vec<Greenlet<i64>>>,
    log: RefCell<Log>,
    live: Cell<usize>,
}

struct Live(Rc<World>);
impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.set(self.0.live.get() - 1);
    }
}

fn run_ops(world: &World, me: usize, ops: &[Op], mut value: i64) -> i64 {
    let at = |n: usize| world.greenlets.borrow()[n].clone();
    for op in ops {
        let arrived = catch_unwind(AssertUnwindSafe(|| match *op {
            Op::Switch(n) => at(n).switch(value + 1),
            Op::Parent if me == 0 => value,
            Op::Parent => raw::switch_to_parent(value + 1),
            Op::Throw(n) => at(n).throw(Thrown(value)),
            Op::Exit(n) => at(n).throw_exit(value + 1),
            Op::Adopt(child, parent) => {
                ADOPTED + i64::from(at(child).set_parent(&at(parent)).is_ok())
            }
        }));
        value = match arrived {
            Ok(value) => value,
            Err(payload) => match payload.downcast::<Thrown>() {
                Ok(thrown) => THROWN + thrown.0,
                Err(exit) => resume_unwind(exit),
            },
        };
        world.log.borrow_mut().push((me, value));
        value %= 1000;
    }
    value
}

fn with_greenlets(programs: &[Vec<Op>], parents: &[usize]) -> (Log, usize) {
    let world = Rc::new(World::default());
    world.greenlets.borrow_mut().push(raw::main());
    for (me, ops) in programs.iter().enumerate().skip(1) {
        world.live.set(world.live.get() + 1);
        let (live, ops) = (Live(Rc::clone(&world)), ops.clone());
        let parent = world.greenlets.borrow()[parents[me] % me].clone();
        let g = Greenlet::with_parent(&parent, move |first| {
            live.0.log.borrow_mut().push((me, first));
            run_ops(&live.0, me, &ops, first % 1000)
        });
        world.greenlets.borrow_mut().push(g);
    }
    run_ops(&world, 0, &programs[0], 0);
    let log = world.log.take();
    // Suspended ones may hold handles to each other, in circles: end them one by one.
    let greenlets = world.greenlets.take();
    for g in &greenlets[1..] {
        g.set_parent(&raw::main()).unwrap();
    }
    for g in &greenlets[1..] {
        assert_eq!(g.throw_exit(-1), -1);
        assert!(g.dead());
    }
    drop(greenlets);
    (log, world.live.get())
}

// ---------------------------------------------------------------------------- without

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Created,
    Suspended,
    Dead,
}

#[derive(Clone, Copy)]
enum Parcel {
    Value(i64),
    Throw(i64),
    Exit(i64),
}

struct Model<'a> {
    programs: &'a [Vec<Op>],
    phase: Vec<Phase>,
    parent: Vec<usize>,
    pc: Vec<usize>,
    log: Log,
}

impl Model<'_> {
    fn may_adopt(&self, child: usize, parent: usize) -> bool {
        let mut ancestor = parent;
        while ancestor != 0 && ancestor != child {
            ancestor = self.parent[ancestor];
        }
        child != 0 && ancestor != child
    }

    /// Who takes the parcel, and what it is to them.
    fn settle(&mut self, mut to: usize, mut parcel: Parcel) -> (usize, Parcel) {
        while to != 0 {
            match (self.phase[to], parcel) {
                (Phase::Suspended, Parcel::Exit(_)) | (Phase::Dead, _) => {}
                (Phase::Created, Parcel::Throw(_) | Parcel::Exit(_)) => {}
                _ => break,
            }
            self.phase[to] = Phase::Dead;
            if let Parcel::Exit(value) = parcel {
                parcel = Parcel::Value(value);
            }
            to = self.parent[to];
        }
        (to, parcel)
    }

    fn run(mut self) -> Log {
        let (mut at, mut value) = (0, 0);
        loop {
            // `at` runs: its phase does not matter to itself.
            let Some(&op) = self.programs[at].get(self.pc[at]) else {
                if at == 0 {
                    return self.log;
                }
                self.phase[at] = Phase::Dead;
                let (to, parcel) = self.settle(self.parent[at], Parcel::Value(value));
                (at, value) = self.arrive(to, parcel);
                continue;
            };
            self.pc[at] += 1;
            let (to, parcel) = match op {
                Op::Switch(n) => (n, Parcel::Value(value + 1)),
                Op::Parent if at == 0 => (0, Parcel::Value(value)),
                Op::Parent => (self.parent[at], Parcel::Value(value + 1)),
                Op::Throw(n) => (n, Parcel::Throw(value)),
                Op::Exit(n) => (n, Parcel::Exit(value + 1)),
                Op::Adopt(child, parent) => {
                    let may = self.may_adopt(child, parent);
                    if may {
                        self.parent[child] = parent;
                    }
                    (at, Parcel::Value(ADOPTED + i64::from(may)))
                }
            };
            if at != 0 {
                self.phase[at] = Phase::Suspended;
            }
            let (to, parcel) = self.settle(to, parcel);
            (at, value) = self.arrive(to, parcel);
        }
    }

    fn arrive(&mut self, to: usize, parcel: Parcel) -> (usize, i64) {
        let value = match parcel {
            Parcel::Value(value) => value,
            Parcel::Throw(number) => THROWN + number,
            Parcel::Exit(_) => unreachable!("exits are not aimed at main"),
        };
        self.log.push((to, value));
        (to, value % 1000)
    }
}

fn without(programs: &[Vec<Op>], parents: &[usize]) -> Log {
    let n = programs.len();
    Model {
        programs,
        phase: vec![Phase::Created; n],
        parent: (0..n)
            .map(|me| if me == 0 { 0 } else { parents[me] % me })
            .collect(),
        pc: vec![0; n],
        log: Vec::new(),
    }
    .run()
}

// ---------------------------------------------------------------------------- the comparison

const GREENLETS: usize = 5;

fn op() -> impl Strategy<Value = Op> {
    let any = || 0..=GREENLETS;
    let child = || 1..=GREENLETS;
    prop_oneof![
        8 => any().prop_map(Op::Switch),
        3 => Just(Op::Parent),
        2 => any().prop_map(Op::Throw),
        1 => child().prop_map(Op::Exit),
        2 => (any(), any()).prop_map(|(child, parent)| Op::Adopt(child, parent)),
    ]
}

fn programs() -> impl Strategy<Value = Vec<Vec<Op>>> {
    prop::collection::vec(prop::collection::vec(op(), 0..20), GREENLETS + 1)
}

#[test]
fn random_programs_do_what_the_model_does() {
    let mut runner = proptest::test_runner::TestRunner::new(support::proptest_config(2000));
    let strategy = (
        programs(),
        prop::collection::vec(0..100_usize, GREENLETS + 1),
    );
    runner
        .run(&strategy, |(programs, parents)| {
            let (log, live) = with_greenlets(&programs, &parents);
            prop_assert_eq!(log, without(&programs, &parents));
            prop_assert_eq!(live, 0, "closures that were not dropped");
            Ok(())
        })
        .unwrap();
}
