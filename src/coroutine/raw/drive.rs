//! The loop that runs greenlets, and where control goes when one ends.
//!
//! See [`transfer`](super::transfer) for the picture: this is its left column. The loop's frame lies
//! on the stack of the root, which is the code that switched into the family from outside.
//!
//! Nothing here unwinds while a greenlet runs. What may run of the user's code is a destructor, of a
//! closure that is not to start ([`settle`]) or of a dead greenlet's last handle; at that point none of
//! this loop's greenlets runs, and a panic comes out of the root's switch.
#![allow(unsafe_code)] // Resumes.

use core::any::Any;
use core::cell::Cell;
use core::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::GreenletExit;
use super::greenlet::{Counted, Greenlet, Inner};
use super::node::{Node, Phase};
use super::trace;
use super::transfer::Parcel;
use crate::coroutine::{self, Coroutine, State};

/// The state of one loop: lives in [`drive`]'s frame.
pub(super) struct Run<V: 'static> {
    parcel: Cell<Option<Parcel<V>>>,
    /// Set by a greenlet before it suspends; `None` is main.
    pub(super) next: Cell<Option<Counted<V>>>,
    /// Who was left last; dropped by who arrives.
    pub(super) origin: Cell<Option<Counted<V>>>,
}

impl<V: 'static> Run<V> {
    #[inline(always)]
    pub(super) fn put(&self, parcel: Parcel<V>) {
        self.parcel.set(Some(parcel));
    }

    #[inline(always)]
    pub(super) fn take(&self) -> Parcel<V> {
        self.parcel
            .take()
            .expect("control does not arrive empty-handed")
    }
}

/// The loop of a root: runs greenlets from `target` on, until one switches to main.
#[inline(never)]
pub(super) fn drive<V: 'static>(first: Counted<V>, parcel: Parcel<V>) -> Parcel<V> {
    let run = Run {
        parcel: Cell::new(Some(parcel)),
        next: Cell::new(None),
        origin: Cell::new(None),
    };
    let cell = coroutine::chain();
    let mut target = first;
    loop {
        if target.phase.get() == Phase::Created
            && let Err(error) = Node::start(&target.0)
        {
            target.cancel();
            let text = format!("no stack for raw greenlet #{}: {error}", target.id);
            match after(&run, &target, Parcel::Panic(raise_here(&text))) {
                Some(next) => target = next,
                None => return run.take(),
            }
            continue;
        }
        debug_assert_eq!(target.phase.get(), Phase::Suspended);
        target.phase.set(Phase::Running);
        target.run.set(&raw const run);
        let body = target.body.get().expect("it was started");
        // SAFETY: the greenlet was suspended by its own coroutine or has not been entered; it was
        // created on this thread (handles are `!Send`), whose cell this is; it is not finished.
        let next = match unsafe { Coroutine::from_body(body).resume(cell) } {
            State::Suspended => run.next.take(),
            State::Finished => {
                // SAFETY: it has just finished.
                unsafe { target.bury() };
                after(&run, &target, run.take())
            }
        };
        let Some(next) = next else {
            let parcel = run.take();
            // It may be the last handle.
            drop(target);
            return parcel;
        };
        run.origin.set(Some(mem::replace(&mut target, next)));
    }
}

/// Where control goes from `node`, which has ended with `parcel`: to its parent. `None` is main.
fn after<V: 'static>(run: &Run<V>, node: &Node<V>, parcel: Parcel<V>) -> Option<Counted<V>> {
    let (mut target, mut parcel) = settle(node.parent(), parcel);
    if trace::is_on() {
        let report = || trace::report(node.id, target.number(), &parcel);
        if let Err(payload) = catch_unwind(AssertUnwindSafe(report)) {
            (target, parcel) = settle(target, Parcel::Panic(payload));
        }
    }
    if let Inner::Child(parent) = &target.inner
        && parent.phase.get() == Phase::Running
    {
        let text = format!(
            "raw greenlet #{} ended, but its parent #{} is in the middle of a switch of another \
             family and cannot be resumed",
            node.id, parent.id
        );
        target = Greenlet::main_of(node.context.get());
        parcel = Parcel::Panic(raise_here(&text));
    }
    run.put(parcel);
    match target.inner {
        Inner::Main(_) => None,
        Inner::Child(node) => Some(node),
    }
}

/// Finds who takes `parcel` if it is sent to `target`: passes over the dead, and ends those that are
/// to be unwound before they have started.
pub(super) fn settle<V: 'static>(
    mut target: Greenlet<V>,
    mut parcel: Parcel<V>,
) -> (Greenlet<V>, Parcel<V>) {
    loop {
        let parent = match &target.inner {
            Inner::Main(_) => {
                if let Parcel::Exit(_) | Parcel::Reap = parcel {
                    parcel = Parcel::Panic(Box::new(GreenletExit { greenlet: 0 }));
                }
                return (target, parcel);
            }
            Inner::Child(node) => {
                match (node.phase.get(), &parcel) {
                    (Phase::Dead, _) => {}
                    (Phase::Created, Parcel::Panic(_) | Parcel::Exit(_)) => node.cancel(),
                    _ => return (target, parcel),
                }
                node.parent()
            }
        };
        if let Parcel::Exit(value) = parcel {
            parcel = Parcel::Value(value);
        }
        target = parent;
    }
}

/// A panic with `text`, reported by the panic hook as having happened here, as a payload.
#[cold]
fn raise_here(text: &str) -> Box<dyn Any + Send> {
    catch_unwind(|| panic!("{text}")).map_or_else(|payload| payload, |never: ()| Box::new(never))
}
