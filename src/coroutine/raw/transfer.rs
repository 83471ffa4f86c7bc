//! Transfer of control between raw greenlets: leaving one, and arriving at another.
//!
//! corosensei resumes and suspends; it cannot go from one coroutine to another. So the code that
//! stands outside of all greenlets of a family and switches into one, the *root*, runs a loop on its
//! own stack ([`drive`]). A greenlet that switches to another tells the loop whom, and suspends to
//! it; the loop resumes that one:
//!
//! ```text
//!  root's stack         │ a's stack             │ b's stack
//!  a.switch(1)          │                       │
//!    drive: resume a ───┼─► arrive: 1           │
//!                       │   b.switch(2): depart │
//!    next = b       ◄───┼── suspend             │
//!    resume b       ────┼───────────────────────┼─► arrive: 2
//!                       │                       │   main.switch(3): depart
//!    next = main    ◄───┼───────────────────────┼── suspend
//!  returns 3            │                       │
//! ```
//!
//! The loop's state is a [`Run`](super::drive::Run) in its frame. Whoever leaves puts the [`Parcel`] (a value or what
//! is to be raised) and the destination there; whoever arrives takes the parcel, and drops the
//! handle of the one that was left, which unwinds that one if it was the last handle.
//!
//! # Several roots
//! A family has one value type, and greenlets of other families may run in between. Which greenlet
//! runs is found by walking from the innermost coroutine outwards ([`here`]), so *inside* is a fact
//! about the stacks, not about a table. A greenlet may be resumed by one root now and by another
//! later; "main" then is the root of now. What cannot be is resuming one that is in the middle of a
//! chain that was left from further in: its phase is `Running`, and the switch panics.
//!
//! # Rules
//! - No switch while the thread is unwinding, except by `reap`.
//! - Nothing unwinds out of the loop while a greenlet runs.
//!
//! # Rejected
//! - A table of families by context and type: a hash lookup per switch, and a lifetime of its own.
//! - Values passed through corosensei: leave the registers and cost more than the switch.
//! - A nested resume instead of a loop: a greenlet could not switch to the one that resumed it.
#![allow(unsafe_code)] // Suspends, and follows a greenlet's pointer to the loop's frame.

use core::any::Any;
use core::mem;
use core::ptr::NonNull;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::drive::{drive, settle};
use super::error::GreenletExit;
use super::greenlet::{Counted, Greenlet, Inner};
use super::node::{Node, Phase, here};
use super::trace;
use crate::coroutine::{self, running, suspend};

/// What control carries.
pub(super) enum Parcel<V> {
    /// What the switch returns.
    Value(V),
    /// Raised at the destination.
    Panic(Box<dyn Any + Send>),
    /// [`GreenletExit`] is raised at the destination, which returns the value if it ends by it.
    Exit(V),
    /// [`GreenletExit`] is raised at the destination, because its last handle is being dropped.
    Reap,
}

/// Who asks for a transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Call,
    /// The drop of a last handle, which may happen while the thread unwinds and in any context.
    Drop,
}

/// What a transfer comes to, seen from where it starts.
enum Route<V: 'static> {
    /// The destination is here.
    Stay(Parcel<V>),
    /// Here is the root.
    Drive(Counted<V>, Parcel<V>),
    /// Here is this greenlet, and it is ready to suspend.
    Leave(NonNull<Node<V>>),
}

/// How the short way goes, if it does.
pub(super) enum Ready<V: 'static> {
    /// This running greenlet has said where it goes, and is to put its parcel and suspend.
    Leave(NonNull<Node<V>>),
    /// Here is the root, and this target is suspended.
    Root(Counted<V>),
    /// By [`transfer`].
    No,
}

/// Switches to `target`: [`transfer`] for the case that everything is as it mostly is. The value
/// goes from a register into the loop's frame, and from there into a register.
///
/// Always inlined, as `suspend` is: see there.
#[inline(always)]
pub(super) fn switch<V: 'static>(target: &Greenlet<V>, value: V) -> V {
    match ready(target) {
        Ready::Leave(node) => leave_with(node, value),
        Ready::Root(target) => open(drive(target, Parcel::Value(value))),
        Ready::No => switch_slow(target.clone(), value),
    }
}

/// Switches to the parent of the current greenlet, which must be number `of` unless that is 0; gives
/// the value back if that cannot be done the short way.
#[inline(always)]
pub(super) fn switch_to_parent<V: 'static>(of: u64, value: V) -> Result<V, V> {
    match ready_for_parent(of) {
        Ready::Leave(node) => Ok(leave_with(node, value)),
        Ready::Root(_) | Ready::No => Err(value),
    }
}

#[inline(never)]
pub(super) fn switch_slow<V: 'static>(target: Greenlet<V>, value: V) -> V {
    open(transfer(target, Parcel::Value(value), Cause::Call))
}

#[inline(never)]
fn ready<V: 'static>(target: &Greenlet<V>) -> Ready<V> {
    let here = here::<V>();
    // SAFETY: the node of a running greenlet outlives its coroutine.
    let here_node = here.map(|node| unsafe { &*node.as_ptr() });
    check(target, here_node);
    match (&target.inner, here_node) {
        _ if trace::is_on() => Ready::No,
        (Inner::Child(node), _) if node.phase.get() != Phase::Suspended => Ready::No,
        (Inner::Child(node), None) => Ready::Root(node.clone()),
        (Inner::Main(_), None) => Ready::No,
        (_, Some(here)) if is_anchored(here) => misuse_anchored(here.id),
        (inner, Some(here)) => {
            announce(
                here,
                match inner {
                    Inner::Main(_) => None,
                    Inner::Child(node) => Some(node.clone()),
                },
            );
            Ready::Leave(NonNull::from(here))
        }
    }
}

#[inline(never)]
fn ready_for_parent<V: 'static>(of: u64) -> Ready<V> {
    let Some(here) = here::<V>() else {
        return Ready::No;
    };
    // SAFETY: the node of a running greenlet outlives its coroutine.
    let node = unsafe { here.as_ref() };
    if (of != 0 && of != node.id) || std::thread::panicking() || !trace::is_off() {
        return Ready::No;
    }
    if is_anchored(node) {
        misuse_anchored(node.id);
    }
    match node.parent().inner {
        Inner::Main(_) => announce(node, None),
        Inner::Child(parent) if parent.phase.get() == Phase::Suspended => {
            announce(node, Some(parent));
        }
        Inner::Child(_) => return Ready::No,
    }
    Ready::Leave(here)
}

/// Makes `here` ready to suspend, with control going to `target`, or to main.
#[inline(always)]
fn announce<V: 'static>(here: &Node<V>, target: Option<Counted<V>>) {
    // SAFETY: `here` is running, so the loop that resumed it waits in its frame.
    unsafe { &*here.run.get() }.next.set(target);
    here.phase.set(Phase::Suspended);
    let body = here.body.get().expect("a running greenlet has a coroutine");
    // SAFETY: the body of a running coroutine, and the cell of this thread.
    unsafe { body.as_ref().head().set_innermost(coroutine::chain()) };
}

/// Suspends `here`, which has been [announced](announce), with `value`; returns what comes back.
#[inline(always)]
fn leave_with<V: 'static>(here: NonNull<Node<V>>, value: V) -> V {
    // SAFETY: the node of a running greenlet outlives its coroutine, and the loop that resumed it
    // waits in its frame. After the suspension it is running again, by another loop perhaps.
    let (here, run) = unsafe { (here.as_ref(), &*here.as_ref().run.get()) };
    run.put(Parcel::Value(value));
    // SAFETY: just announced.
    unsafe { suspend_announced(here) };
    // SAFETY: as above.
    let run = unsafe { &*here.run.get() };
    match run.take() {
        Parcel::Value(value) => {
            drop(run.origin.take());
            value
        }
        other => {
            run.put(other);
            open(arrive(here))
        }
    }
}

/// # Safety
/// `here` was found by [`here`] in this call, and has been [announced](announce).
#[inline(always)]
unsafe fn suspend_announced<V: 'static>(here: &Node<V>) {
    let body = here.body.get().expect("a running greenlet has a coroutine");
    // SAFETY: `here` was found by walking the chain of running coroutines, so this code runs on its
    // stack or on one nested in it; `announce` called `set_innermost`.
    unsafe { suspend(body.as_ref().head()) }
}

/// The value of a parcel that has arrived, or the panic.
#[inline(always)]
pub(super) fn open<V: 'static>(parcel: Parcel<V>) -> V {
    match parcel {
        Parcel::Value(value) => value,
        other => raise(other),
    }
}

/// Goes to `target` with `parcel`; returns with what control comes back with.
///
/// `target` is moved in, so that no handle to it stays on a suspended stack.
pub(super) fn transfer<V: 'static>(
    target: Greenlet<V>,
    parcel: Parcel<V>,
    cause: Cause,
) -> Parcel<V> {
    match depart(target, parcel, cause) {
        Route::Leave(node) => {
            // SAFETY: the node of a running greenlet, which outlives its coroutine.
            let node = unsafe { node.as_ref() };
            // SAFETY: `depart` found and announced it.
            unsafe { suspend_announced(node) };
            arrive(node)
        }
        Route::Drive(target, parcel) => drive(target, parcel),
        Route::Stay(parcel) => parcel,
    }
}

/// Everything before the stack is left.
#[inline(never)]
fn depart<V: 'static>(target: Greenlet<V>, parcel: Parcel<V>, cause: Cause) -> Route<V> {
    let here = here::<V>();
    // SAFETY: the node of a running greenlet outlives its coroutine.
    let here_node = here.map(|node| unsafe { &*node.as_ptr() });
    if cause == Cause::Call {
        check(&target, here_node);
    }
    let (target, parcel) = settle(target, parcel);
    match (&target.inner, here_node) {
        (Inner::Child(node), Some(here)) if core::ptr::eq(&raw const **node, here) => {
            return Route::Stay(admit(here, parcel));
        }
        (Inner::Child(node), _) if node.phase.get() == Phase::Running => misuse_running(node.id),
        // A drop comes back here when the greenlet has ended, and must not panic.
        (_, Some(here)) if cause == Cause::Call && is_anchored(here) => misuse_anchored(here.id),
        _ => {}
    }
    if trace::is_on() {
        trace_departure(here_node, &target, &parcel, cause);
    }
    let target = match target.inner {
        Inner::Main(_) => None,
        Inner::Child(node) => Some(node),
    };
    match (here_node, target) {
        (Some(here), target) => {
            // SAFETY: `here` is running, so the loop that resumed it waits in its frame.
            unsafe { &*here.run.get() }.put(parcel);
            announce(here, target);
            Route::Leave(NonNull::from(here))
        }
        (None, Some(target)) => Route::Drive(target, parcel),
        (None, None) => Route::Stay(parcel),
    }
}

/// Everything after a greenlet's stack was entered again, or for the first time.
#[inline(never)]
pub(super) fn arrive<V: 'static>(node: &Node<V>) -> Parcel<V> {
    // SAFETY: it is running, so the loop that resumed it waits in its frame.
    let run = unsafe { &*node.run.get() };
    let parcel = run.take();
    // May unwind the greenlet that was left, and so suspend and arrive here once more.
    drop(run.origin.take());
    admit(node, parcel)
}

/// Turns the order to exit into a payload for `node`, which is where the parcel has come to.
#[inline]
fn admit<V: 'static>(node: &Node<V>, parcel: Parcel<V>) -> Parcel<V> {
    let exit_value = match parcel {
        Parcel::Exit(value) => Some(value),
        Parcel::Reap => None,
        parcel => return parcel,
    };
    drop(node.exit_value.replace(exit_value));
    Parcel::Panic(Box::new(GreenletExit { greenlet: node.id }))
}

/// Tells the tracer of a transfer that is about to happen.
#[cold]
#[inline(never)]
fn trace_departure<V: 'static>(
    here: Option<&Node<V>>,
    target: &Greenlet<V>,
    parcel: &Parcel<V>,
    cause: Cause,
) {
    let origin = here.map_or(0, |node| node.id);
    let report = || trace::report(origin, target.number(), parcel);
    if let Err(payload) = catch_unwind(AssertUnwindSafe(report)) {
        match cause {
            Cause::Call => resume_unwind(payload),
            // A destructor must not unwind; the hook has reported it.
            Cause::Drop => discard(payload),
        }
    }
}

/// Whether `here`, which runs, may not be left now.
#[inline]
fn is_anchored<V: 'static>(here: &Node<V>) -> bool {
    let body = here.body.get().expect("a running greenlet has a coroutine");
    // SAFETY: the body of a running coroutine.
    running::is_anchored(unsafe { body.as_ref() }.head())
}

/// Panics if a call that goes from `here` to `target` is misuse.
#[inline]
fn check<V: 'static>(target: &Greenlet<V>, here: Option<&Node<V>>) {
    if std::thread::panicking() {
        misuse_unwinding();
    }
    trace::check_not_tracing();
    let context = here.map_or_else(coroutine::context, |node| node.context.get());
    if target.context() != context {
        misuse_context(target.number());
    }
}

#[cold]
#[inline(never)]
fn misuse_unwinding() -> ! {
    panic!("a raw greenlet cannot be switched to while the thread unwinds from a panic");
}

#[cold]
#[inline(never)]
fn misuse_context(id: u64) -> ! {
    panic!(
        "raw greenlet #{id} belongs to another context: it can be used only by the scheduled \
         greenlet, or by the thread's own code, that created it"
    );
}

#[cold]
#[inline(never)]
fn misuse_anchored(id: u64) -> ! {
    panic!(
        "raw greenlet #{id} cannot switch inside of a timeout or a scope that it has entered: that would go on \
         for whoever runs next. Switch outside of it, or put the limit around what resumes this greenlet"
    );
}

#[cold]
#[inline(never)]
fn misuse_running(id: u64) -> ! {
    panic!(
        "raw greenlet #{id} is in the middle of a switch of another family, and cannot be resumed \
         from elsewhere until that returns"
    );
}

/// Raises what a parcel says that came instead of a value.
#[cold]
#[inline(never)]
fn raise<V>(parcel: Parcel<V>) -> ! {
    match parcel {
        Parcel::Panic(payload) => resume_unwind(payload),
        Parcel::Value(_) | Parcel::Exit(_) | Parcel::Reap => {
            unreachable!("arriving leaves a value or a payload")
        }
    }
}

/// Drops a payload that nobody wants, whatever its destructor does.
pub(super) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // The hook has reported it. Its destructor is not asked a second time.
        mem::forget(second);
    }
}
