//! The floors: the same work on bare corosensei, with no scheduler at all.
//!
//! - [`RoundRobin`]: coroutines in a `Vec`, resumed one after the other. What a yield would cost if
//!   there were no run queue, no control block and nobody to look at timers.
//! - [`Spawn`]: a boxed closure on a stack that is used again and again. What spawning and joining would
//!   cost without a task that outlives its stack, a handle, or anything that can wait.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use corosensei::{Coroutine, CoroutineResult};

use super::clock;
use super::slab::{Slab, SlabStack, Tops};
use super::workload::Workload;

type Switch = Coroutine<(), (), (), SlabStack>;

/// `count` coroutines that do nothing but suspend. An operation is a resume and the suspend that ends it.
pub(crate) struct RoundRobin {
    coroutines: Vec<Switch>,
    stop: Rc<Cell<bool>>,
}

impl RoundRobin {
    pub(crate) fn new(count: usize, tops: Tops) -> Self {
        let stop = Rc::new(Cell::new(false));
        let stacks = Slab::stacks(count, tops).expect("address space for the floor's stacks");
        let mut coroutines: Vec<_> = stacks
            .into_iter()
            .map(|stack| {
                let stop = stop.clone();
                Switch::with_stack(stack, move |yielder, ()| {
                    while !stop.get() {
                        yielder.suspend(());
                    }
                })
            })
            .collect();
        coroutines.iter_mut().for_each(resume);
        RoundRobin { coroutines, stop }
    }
}

fn resume(coroutine: &mut Switch) {
    coroutine.resume(());
}

impl Workload for RoundRobin {
    fn operations(&self) -> u64 {
        self.coroutines.len() as u64
    }

    fn run(&mut self, rounds: u64) -> Duration {
        let start = clock::thread_cpu();
        for _ in 0..rounds {
            for coroutine in &mut self.coroutines {
                coroutine.resume(());
            }
        }
        clock::thread_cpu() - start
    }
}

impl Drop for RoundRobin {
    fn drop(&mut self) {
        // They end by themselves: dropping a suspended coroutine unwinds it, which takes a microsecond each.
        self.stop.set(true);
        self.coroutines.iter_mut().for_each(resume);
    }
}

/// `batch` closures, boxed, then run one after the other on one stack. An operation is one of them.
pub(crate) struct Spawn {
    batch: usize,
    stack: Option<SlabStack>,
    closures: Vec<Box<dyn FnOnce() -> usize>>,
}

impl Spawn {
    pub(crate) fn new(batch: usize) -> Self {
        let stacks = Slab::stacks(1, Tops::Plain).expect("address space for one stack");
        Spawn {
            batch,
            stack: stacks.into_iter().next(),
            closures: Vec::with_capacity(batch),
        }
    }
}

impl Workload for Spawn {
    fn operations(&self) -> u64 {
        self.batch as u64
    }

    fn run(&mut self, rounds: u64) -> Duration {
        let mut stack = self.stack.take().expect("put back by the run before");
        let start = clock::thread_cpu();
        for _ in 0..rounds {
            for number in 0..self.batch {
                let number = black_box(number);
                self.closures.push(Box::new(move || number));
            }
            for closure in self.closures.drain(..) {
                let mut coroutine =
                    Coroutine::<(), (), usize, _>::with_stack(stack, move |_, ()| closure());
                match coroutine.resume(()) {
                    CoroutineResult::Return(number) => black_box(number),
                    CoroutineResult::Yield(()) => unreachable!("it never suspends"),
                };
                stack = coroutine.into_stack();
            }
        }
        let time = clock::thread_cpu() - start;
        self.stack = Some(stack);
        time
    }
}
