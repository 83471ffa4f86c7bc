//! The end of a greenlet that nobody can reach any more.
//!
//! When the last handle to a suspended greenlet is dropped, the greenlet is unwound there and then,
//! with [`GreenletExit`], and the dropper as its parent: control comes back to the drop when it has
//! ended. This is a transfer like any other, but for two liberties: it may happen while the dropper
//! itself unwinds (the greenlet's unwinding begins and ends inside, so the two nest), and in any
//! context of the thread, where the greenlet's destructors then run.
//!
//! Why not corosensei's forced unwind, which a plain drop would give: its payload cannot be
//! recognised by the code it unwinds, it is raised again at every later suspension, and
//! a greenlet that suspends again for good reason could not be spared.

use core::mem;
use std::rc::Rc;

use super::error::GreenletExit;
use super::greenlet::Counted;
use super::node::Phase;
use super::transfer::{Cause, Parcel, discard, transfer};

/// Unwinds the suspended greenlet `node`, whose last handle is being dropped.
#[cold]
#[inline(never)]
pub(super) fn reap<V: 'static>(node: &Counted<V>) {
    let spare = node.clone();
    let parent = node.replace_parent(super::current());
    match transfer(node.clone().into(), Parcel::Reap, Cause::Drop) {
        Parcel::Panic(payload) => {
            let expected = payload
                .downcast_ref::<GreenletExit>()
                .is_some_and(|exit| exit.greenlet == node.id);
            if !expected {
                tracing::warn!(
                    target: "rustlet",
                    greenlet = node.id,
                    "a raw greenlet panicked while it was dropped"
                );
            }
            discard(payload);
        }
        value => drop(value),
    }
    // The dropper's handle goes before the old parent's: that one may have to be unwound in turn.
    drop(node.replace_parent(parent));

    let nobody_else = Rc::strong_count(&node.0) == 2;
    if nobody_else && node.phase.get() == Phase::Suspended {
        eprintln!(
            "rustlet: GreenletExit did not end raw greenlet #{}; it is leaked",
            node.id
        );
        tracing::warn!(target: "rustlet", greenlet = node.id, "GreenletExit did not end a raw greenlet");
        mem::forget(spare);
    }
}
