//! Raw greenlets: symmetric coroutines without a scheduler, after Python's `greenlet`.
//!
//! A [`Greenlet<V>`] is a closure on a stack of its own. It runs when somebody
//! [switches](Greenlet::switch) to it, and until it switches to somebody else; with each switch
//! goes a value of type `V`. Nothing else decides who runs.
//!
//! ```
//! use rustlet::raw::Greenlet;
//! use std::{cell::OnceCell, rc::Rc};
//!
//! let pong = Rc::new(OnceCell::<Greenlet<u32>>::new());
//! let ping = {
//!     let pong = Rc::clone(&pong);
//!     Greenlet::new(move |mut n| {
//!         while n < 5 {
//!             n = pong.get().unwrap().switch(n + 1); // to pong, and back
//!         }
//!         n // to the parent: main
//!     })
//! };
//! pong.set(Greenlet::new({
//!     let ping = ping.downgrade(); // see "Who owns whom"
//!     move |mut n| loop {
//!         n = ping.upgrade().unwrap().switch(n + 1);
//!     }
//! })).unwrap();
//! assert_eq!(ping.switch(0), 6);
//! assert!(ping.dead());
//! ```
//!
//! # Families, and main
//! The greenlets of one value type form a family. The code outside of all of them is the family's
//! *main* greenlet: [`current`] gives it there, the first switch starts from it, and a switch to it
//! returns there. Code of one family may use another: inside a `Greenlet<A>`, the first switch to a
//! `Greenlet<B>` starts from the `A`'s code, which is then the main of `B`; and a switch between `A`s
//! from inside that `B` leaves both, to come back to both.
//!
//! A greenlet belongs to the *context* in which it was created: one scheduled greenlet, or the code
//! of an OS thread outside of those. It is part of it: what blocks in it blocks the context. Handles
//! are not `Send`; a switch from another context of the same thread panics.
//!
//! # Parents and ends
//! The greenlet that creates another is its parent ([`Greenlet::set_parent`] changes that). What
//! the closure returns goes to the parent, as if switched; a panic goes there too and is raised in
//! the parent where it is suspended, having been reported by the panic hook once, where it happened.
//! If the parent is dead its parent stands in; main never is. A parent that has not started is
//! started with the value.
//!
//! A greenlet is ended from outside by raising [`GreenletExit`] in it. Uncaught, that is no error:
//! the greenlet returns the value that came with it.
//!
//! ```
//! use rustlet::raw::{self, Greenlet};
//!
//! let g = Greenlet::new(|_| {
//!     raw::switch_to_parent("waiting");
//!     unreachable!("nobody switches to it again")
//! });
//! assert_eq!(g.switch("start"), "waiting");
//! assert_eq!(g.throw_exit("ended"), "ended");
//! assert!(g.dead());
//! assert_eq!(g.switch("anybody?"), "anybody?"); // a dead one's parent gets it: here
//! ```
//!
//! Python returns the exception object, because there any object can be a value. Here the exit
//! carries the value that is to be returned. The other ways were a `V` with a variant for it, or a
//! `Result` from every switch, for the sake of a case in which the one who ends the greenlet
//! knows best what its parent should read.
//!
//! # Dropping
//! Dropping the last handle of a suspended greenlet unwinds it at once, and comes back when its
//! destructors have run. A panic out of them is reported by the hook and goes no further. One that
//! has not started drops its closure.
//!
//! ```
//! use rustlet::raw::{self, Greenlet};
//! use std::{cell::Cell, rc::Rc};
//!
//! struct Bell(Rc<Cell<bool>>);
//! impl Drop for Bell {
//!     fn drop(&mut self) { self.0.set(true) }
//! }
//!
//! let rung = Rc::new(Cell::new(false));
//! let bell = Bell(Rc::clone(&rung));
//! let g = Greenlet::new(move |()| {
//!     let _bell = bell;
//!     raw::switch_to_parent(());
//! });
//! g.switch(());
//! drop(g);
//! assert!(rung.get());
//! ```
//!
//! # Who owns whom
//! A greenlet owns its parent, its closure, and when suspended every handle on its stack. A circle
//! of these is never dropped, as with any `Rc`. In particular a handle to itself: write
//! [`switch_to_parent`], not `current().parent()…switch(…)`, whose temporary handle to the current
//! greenlet would lie on its own stack. [`Greenlet::downgrade`] breaks a circle.
//! A leaked greenlet keeps its stack.
//!
//! # Never while unwinding
//! A switch while the thread unwinds from a panic (in a destructor that runs because of it) panics,
//! and a panic in such a destructor aborts the process. The count of panics belongs to the OS thread,
//! and a greenlet that was left in the middle of one would leave it wrong for all others. The one
//! exception is the unwinding on drop, which begins and ends in the drop.
//!
//! # Files
//! | file | one idea |
//! |---|---|
//! | `greenlet` | the handles |
//! | `node` | what the handles share, its phases, how its coroutine is entered |
//! | `transfer` | leaving one greenlet, and arriving at another |
//! | `drive` | the loop in between, and where control goes at an end |
//! | `reap` | the drop of a last handle |
//! | `builder`, `error`, `trace` | stack size and parent; what goes wrong; the tracer |
//! | `generator` | iterators and conversations |

mod builder;
mod drive;
mod error;
mod generator;
mod greenlet;
mod node;
mod reap;
mod trace;
mod transfer;

pub use builder::Builder;
pub use error::{GreenletExit, SetParentError};
pub use generator::{Generator, GeneratorState, TwoWay, Yielder, generator, generator_with};
pub use greenlet::{Greenlet, WeakGreenlet};
pub use trace::{Event, EventKind, Id, Tracer, set_tracer};

/// The greenlet of the family of `V` that the calling code runs in: main, if none.
///
/// Do not keep this handle on the greenlet's own stack across a switch (see "Who owns whom" in the
/// [module](self)).
pub fn current<V: 'static>() -> Greenlet<V> {
    Greenlet::current()
}

/// The main greenlet of the family of `V`: the code outside of it that switched into it.
pub fn main<V: 'static>() -> Greenlet<V> {
    let context = match node::here::<V>() {
        Some(node) => node::Node::handle(node).context.get(),
        None => crate::coroutine::context(),
    };
    Greenlet::main_of(context)
}

/// Switches to the parent of the current greenlet, and returns the value that comes back.
///
/// # Panics
/// In a main greenlet, which has no parent; otherwise as [`Greenlet::switch`].
#[inline(always)]
#[track_caller]
pub fn switch_to_parent<V: 'static>(value: V) -> V {
    match transfer::switch_to_parent(0, value) {
        Ok(value) => value,
        Err(value) => transfer::switch_slow(parent_of_current(), value),
    }
}

#[inline(never)]
#[track_caller]
fn parent_of_current<V: 'static>() -> Greenlet<V> {
    let current = current::<V>();
    current
        .parent()
        .expect("a main greenlet has no parent to switch to")
}

/// Ends the current greenlet by unwinding it with [`GreenletExit`]; it returns `value`.
///
/// # Panics
/// In a main greenlet, which is not ended by this.
#[track_caller]
pub fn exit<V: 'static>(value: V) -> ! {
    let id = {
        let current = current::<V>();
        let node = current.node().expect("a main greenlet cannot exit");
        drop(node.exit_value.replace(Some(value)));
        node.id
    };
    std::panic::resume_unwind(Box::new(GreenletExit { greenlet: id }))
}
