//! Generators: iterators, and conversations, whose producer is written as straight code.
//!
//! Built from raw greenlets, in a family of their own ([`Turn`]), so that they never meet
//! a program's own greenlets of the same value type. Asking for the next item makes the consumer
//! the parent and switches to the generator's greenlet; yielding switches to the parent; returning
//! is a greenlet's end, which goes to the parent as well:
//!
//! ```text
//!   consumer                          generator's greenlet
//!   next() ── Turn::Give(input) ────► body runs
//!          ◄─ Turn::Take(output) ──── y.yield_(output)
//!   next() ── Turn::Give(input) ────► yield_ returns input
//!          ◄─ Turn::Done ──────────── body returns
//! ```
//!
//! Between two items the parent is main, not the last consumer: a consumer that is itself a
//! generator of the same type owns this one on its stack, and if this one owned it as a parent in
//! turn neither would ever be dropped.
//!
//! # Why not on the coroutine layer directly
//! Resume and suspend are all that a generator needs, and would be one switch shorter when
//! generators of one type nest. But unwinding on drop, panics, context and thread rules and stack
//! accounting are those of greenlets; they are written once.

use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use std::cell::Cell;
use std::rc::Rc;

use super::greenlet::{Greenlet, or_panic};
use super::node::{Node, here};
use super::transfer::{switch_slow, switch_to_parent};
use crate::coroutine;

/// What a generator's greenlet and its consumer exchange.
enum Turn<Out, In> {
    Give(In),
    Take(Out),
    Done,
}

/// What the body of a generator yields through. It stays with the body.
pub struct Yielder<Out: 'static, In: 'static = ()> {
    /// The greenlet of the generator.
    greenlet: u64,
    family: PhantomData<fn(Out) -> In>,
    /// Not for other threads.
    local: PhantomData<*const ()>,
}

impl<Out: 'static, In: 'static> Yielder<Out, In> {
    /// Hands `value` to the consumer, and returns when the consumer asks again: with what it
    /// [sends](TwoWay::send), which is `()` for an iterator.
    ///
    /// # Panics
    /// - With [`GreenletExit`](super::GreenletExit) as the payload and without a report, when the
    ///   generator is dropped.
    /// - The caller is not the body of this generator but code of another coroutine.
    /// - The thread is unwinding from a panic.
    /// - Inside of a [`timeout`](crate::timeout) or a [`scope`](crate::scope) that the body has entered: see [`Greenlet::switch`](super::Greenlet::switch).
    #[inline(always)]
    pub fn yield_(&self, value: Out) -> In {
        let turn = match switch_to_parent(self.greenlet, Turn::Take(value)) {
            Ok(turn) => turn,
            Err(turn) => switch_slow(self.consumer(), turn),
        };
        match turn {
            Turn::Give(input) => input,
            _ => unreachable!("consumers give"),
        }
    }

    #[inline(never)]
    fn consumer(&self) -> Greenlet<Turn<Out, In>> {
        here()
            .map(Node::handle)
            .filter(|current| current.id == self.greenlet)
            .map(|current| current.parent())
            .expect("yield outside of the generator's body")
    }
}

impl<Out: 'static, In: 'static> fmt::Debug for Yielder<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Yielder(#{})", self.greenlet)
    }
}

/// What both kinds of generator are.
struct Core<Out: 'static, In: 'static> {
    greenlet: Greenlet<Turn<Out, In>>,
}

impl<Out: 'static, In: 'static> Core<Out, In> {
    #[track_caller]
    fn new(body: impl FnOnce(&Yielder<Out, In>, In) + 'static) -> Self {
        let greenlet = or_panic(Greenlet::try_new(|first| {
            let Turn::Give(first) = first else {
                unreachable!("consumers give");
            };
            let greenlet = here::<Turn<Out, In>>().map(Node::handle);
            let yielder = Yielder {
                greenlet: greenlet.map_or(0, |greenlet| greenlet.id),
                family: PhantomData,
                local: PhantomData,
            };
            body(&yielder, first);
            Turn::Done
        }));
        let core = Core { greenlet };
        core.set_consumer(Greenlet::main_of(coroutine::context()));
        core
    }

    /// The next output, or `None` if the body has returned or does so now.
    #[inline]
    fn next(&mut self, input: In) -> Option<Out> {
        /// Forgets the consumer, also when a panic comes out of the body.
        struct Forget<'a, Out: 'static, In: 'static>(&'a Core<Out, In>);
        impl<Out: 'static, In: 'static> Drop for Forget<'_, Out, In> {
            fn drop(&mut self) {
                let context = self.0.greenlet.context();
                self.0.set_consumer(Greenlet::main_of(context));
            }
        }

        if self.greenlet.dead() {
            return None;
        }
        self.set_consumer(Greenlet::current());
        let forget = Forget(self);
        let turn = self.greenlet.switch(Turn::Give(input));
        drop(forget);
        match turn {
            Turn::Take(output) => Some(output),
            Turn::Done => None,
            Turn::Give(_) => unreachable!("generators take"),
        }
    }

    /// Makes `consumer` the one to yield to. Generators may be handed from one context of their
    /// thread to another, as iterators may: they belong to whoever asks.
    fn set_consumer(&self, consumer: Greenlet<Turn<Out, In>>) {
        let node = self.greenlet.node().expect("a generator is not main");
        node.context.set(consumer.context());
        drop(node.replace_parent(consumer));
    }
}

/// An iterator over what a body yields. Made by [`generator`].
///
/// Dropping it unwinds the body where it is suspended. A panic in the body comes out of `next`, and
/// after it the iterator is at its end.
pub struct Generator<T: 'static> {
    core: Core<T, ()>,
}

/// Makes an iterator of what `body` yields.
///
/// The body runs on a stack of its own, from one `next` to another, and may yield from any depth
/// of calls, and loop over other generators.
///
/// ```
/// use rustlet::raw::{self, Yielder};
///
/// enum Tree {
///     Leaf,
///     Node(Box<Tree>, i32, Box<Tree>),
/// }
/// use Tree::{Leaf, Node};
///
/// fn walk(tree: &Tree, y: &Yielder<i32>) {
///     if let Node(left, value, right) = tree {
///         walk(left, y);
///         y.yield_(*value);
///         walk(right, y);
///     }
/// }
///
/// let leaf = |value| Box::new(Node(Box::new(Leaf), value, Box::new(Leaf)));
/// let tree = Node(leaf(1), 2, leaf(3));
/// let values: Vec<i32> = raw::generator(move |y| walk(&tree, y)).collect();
/// assert_eq!(values, [1, 2, 3]);
/// ```
///
/// There is no yielding outside of a generator's body: what yields is an argument of the body, and
/// cannot be taken elsewhere.
///
/// ```compile_fail,E0521
/// use rustlet::raw;
/// let outer = raw::generator(|y: &raw::Yielder<i32>| {
///     let inner = raw::generator(move |_: &raw::Yielder<i32>| y.yield_(1));
/// });
/// ```
///
/// # Panics
/// There is no memory for its stack.
#[track_caller]
pub fn generator<T: 'static>(body: impl FnOnce(&Yielder<T>) + 'static) -> Generator<T> {
    Generator {
        core: Core::new(|y, ()| body(y)),
    }
}

impl<T: 'static> Iterator for Generator<T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.core.next(())
    }
}

impl<T: 'static> FusedIterator for Generator<T> {}

impl<T: 'static> fmt::Debug for Generator<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Generator")
            .field(&self.core.greenlet)
            .finish()
    }
}

/// What a [`TwoWay`] generator answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeneratorState<Out, R> {
    /// The body yielded this.
    Yielded(Out),
    /// The body returned this.
    Complete(R),
}

/// A generator that is sent a value each time it is asked. Made by [`generator_with`].
///
/// Dropping it unwinds the body where it is suspended.
pub struct TwoWay<In: 'static, Out: 'static, R: 'static = ()> {
    core: Core<Out, In>,
    result: Rc<Cell<Option<R>>>,
}

/// Makes a generator to which values are sent, and which returns one at its end.
///
/// `body` gets the first value as an argument; each [`Yielder::yield_`] returns the next.
///
/// ```
/// use rustlet::raw::{self, GeneratorState::{Complete, Yielded}, Yielder};
///
/// let mut average = raw::generator_with(|y: &Yielder<f64, Option<f64>>, mut input| {
///     let (mut sum, mut count) = (0.0, 0);
///     while let Some(value) = input {
///         sum += value;
///         count += 1;
///         input = y.yield_(sum / f64::from(count));
///     }
///     count
/// });
/// assert_eq!(average.send(Some(1.0)), Yielded(1.0));
/// assert_eq!(average.send(Some(2.0)), Yielded(1.5));
/// assert_eq!(average.send(None), Complete(2));
/// ```
///
/// # Panics
/// There is no memory for its stack.
#[track_caller]
pub fn generator_with<In: 'static, Out: 'static, R: 'static>(
    body: impl FnOnce(&Yielder<Out, In>, In) -> R + 'static,
) -> TwoWay<In, Out, R> {
    let result = Rc::new(Cell::new(None));
    let returned = Rc::clone(&result);
    TwoWay {
        core: Core::new(move |y, first| returned.set(Some(body(y, first)))),
        result,
    }
}

impl<In: 'static, Out: 'static, R: 'static> TwoWay<In, Out, R> {
    /// Sends `input` to the body and runs it until it yields or returns.
    ///
    /// # Panics
    /// The body has returned or panicked before; or the body panics now.
    #[inline]
    #[track_caller]
    pub fn send(&mut self, input: In) -> GeneratorState<Out, R> {
        assert!(
            !self.is_finished(),
            "a generator was sent a value after its end"
        );
        match self.core.next(input) {
            Some(output) => GeneratorState::Yielded(output),
            None => GeneratorState::Complete(self.result.take().expect("the body has returned")),
        }
    }

    /// Whether the body has returned or panicked.
    pub fn is_finished(&self) -> bool {
        self.core.greenlet.dead()
    }
}

impl<In: 'static, Out: 'static, R: 'static> fmt::Debug for TwoWay<In, Out, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TwoWay").field(&self.core.greenlet).finish()
    }
}
