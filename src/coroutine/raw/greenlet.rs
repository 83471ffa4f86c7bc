//! The handles: [`Greenlet`] and [`WeakGreenlet`].
//!
//! A handle is either main (a context's code outside of the family: nothing but the context's
//! number, so main needs no table and no allocation) or a counted reference to a node. Everything
//! that keeps a node alive does so by such a [`Counted`], so that the drop of the last one is always
//! seen here.

use core::any::Any;
use core::fmt;
use core::ops::Deref;
use std::io;
use std::rc::{Rc, Weak};

use super::builder::Builder;
use super::error::SetParentError;
use super::node::{Node, Phase, here};
use super::reap::reap;
use super::trace::Id;
use super::transfer::{self, Cause, Parcel};
use crate::coroutine;

/// A coroutine that is switched to by name, and exchanges values of type `V` with those who switch.
///
/// This is a handle: clones mean the same greenlet, and compare equal. Dropping the last handle to
/// one that is suspended unwinds it, at once (see the [module](super)).
///
/// ```
/// use rustlet::raw::{self, Greenlet};
///
/// let doubler = Greenlet::new(|mut x: u32| loop {
///     x = raw::switch_to_parent(x * 2);
/// });
/// assert_eq!(doubler.switch(2), 4);
/// assert_eq!(doubler.switch(21), 42);
/// ```
///
/// Greenlets do not leave their OS thread:
///
/// ```compile_fail,E0277
/// let g = rustlet::raw::Greenlet::new(|x: u32| x);
/// std::thread::spawn(move || g.switch(1));
/// ```
pub struct Greenlet<V: 'static> {
    pub(super) inner: Inner<V>,
}

pub(super) enum Inner<V: 'static> {
    /// The code of a context outside of all greenlets of the family.
    Main(u64),
    Child(Counted<V>),
}

/// A reference that keeps a node alive. Dropping the last one unwinds a suspended greenlet.
pub(super) struct Counted<V: 'static>(pub(super) Rc<Node<V>>);

impl<V: 'static> Greenlet<V> {
    /// Creates a greenlet that will run `f`; the current greenlet is its parent.
    ///
    /// Nothing runs yet. The first switch to it calls `f` with its value; what `f` returns goes to
    /// the parent.
    ///
    /// # Panics
    /// There is no memory for its stack; see [`try_new`](Self::try_new).
    #[track_caller]
    pub fn new(f: impl FnOnce(V) -> V + 'static) -> Self {
        or_panic(Self::try_new(f))
    }

    /// [`new`](Self::new), with the error instead of a panic.
    ///
    /// # Errors
    /// No stack can be had: address space, memory or kernel mappings are used up. The text says
    /// which and what to do.
    pub fn try_new(f: impl FnOnce(V) -> V + 'static) -> io::Result<Self> {
        Builder::new().build(f)
    }

    /// Creates a greenlet whose parent is `parent`.
    ///
    /// # Panics
    /// `parent` belongs to another context, or as [`new`](Self::new).
    #[track_caller]
    pub fn with_parent(parent: &Self, f: impl FnOnce(V) -> V + 'static) -> Self {
        or_panic(Builder::new().parent(parent).build(f))
    }

    /// Creates a greenlet with a stack of at least `bytes`, guard included, instead of 256 KiB.
    ///
    /// # Errors
    /// More than 1 GiB is asked for, or as [`try_new`](Self::try_new).
    pub fn with_stack_size(bytes: usize, f: impl FnOnce(V) -> V + 'static) -> io::Result<Self> {
        Builder::new().stack_size(bytes).build(f)
    }

    /// Runs this greenlet until something switches back, and returns the value that comes.
    ///
    /// If it has not started, its closure is called with `value`; otherwise the switch that it is
    /// suspended in returns `value`. A switch to the current greenlet returns `value`. One to a dead
    /// greenlet goes to its parent, or the parent's parent: the first that lives.
    ///
    /// # Panics
    /// - With the payload that somebody [throws](Self::throw) at this place, or that a child of the
    ///   current greenlet ended with.
    /// - The thread is unwinding from a panic.
    /// - The greenlet belongs to another context, or waits in the middle of a switch of another
    ///   family (see the [module](super)).
    /// - The current greenlet has entered a [`timeout`](crate::timeout) or a [`scope`](crate::scope) and not left it: those are frames which have to
    ///   end in order. Put the limit around what resumes the greenlet, or switch outside of it.
    #[inline(always)]
    pub fn switch(&self, value: V) -> V {
        transfer::switch(self, value)
    }

    /// Switches to this greenlet and raises `payload` there, as [`std::panic::resume_unwind`] does:
    /// the panic hook does not run. Returns what control comes back with.
    ///
    /// A greenlet that has not started ends without its closure having run; the payload then goes to
    /// its parent, as it does from a dead one, and may be raised here.
    ///
    /// # Panics
    /// As [`switch`](Self::switch).
    #[inline(never)]
    pub fn throw<P: Any + Send>(&self, payload: P) -> V {
        let parcel = Parcel::Panic(Box::new(payload));
        transfer::open(transfer::transfer(self.clone(), parcel, Cause::Call))
    }

    /// Ends this greenlet: switches to it and raises [`GreenletExit`](super::GreenletExit) there. If
    /// it does not catch that, `value` is its return value, and goes to its parent.
    ///
    /// A greenlet that has not started ends without its closure having run. From a dead one the
    /// value goes to the parent. In a main greenlet the exit is a panic like any other, and `value`
    /// is dropped.
    ///
    /// # Panics
    /// As [`switch`](Self::switch).
    #[inline(never)]
    pub fn throw_exit(&self, value: V) -> V {
        let parcel = Parcel::Exit(value);
        transfer::open(transfer::transfer(self.clone(), parcel, Cause::Call))
    }

    /// Who gets control when this greenlet ends; `None` for a main greenlet.
    pub fn parent(&self) -> Option<Self> {
        self.node().map(Node::parent)
    }

    /// Makes `parent` the one who gets control when this greenlet ends.
    ///
    /// # Errors
    /// It would be its own ancestor; this is a main greenlet; or the two belong to different
    /// contexts. Nothing has changed then.
    pub fn set_parent(&self, parent: &Self) -> Result<(), SetParentError> {
        let Some(node) = self.node() else {
            return Err(SetParentError::Main);
        };
        if parent.context() != self.context() {
            return Err(SetParentError::OtherContext);
        }
        let mut ancestor = Some(parent.clone());
        while let Some(at) = ancestor {
            if at == *self {
                return Err(SetParentError::Cycle);
            }
            ancestor = at.parent();
        }
        drop(node.replace_parent(parent.clone()));
        Ok(())
    }

    /// Whether it has ended: its closure returned or was unwound, or it was told to end before it
    /// started. A main greenlet never has.
    pub fn dead(&self) -> bool {
        self.phase() == Some(Phase::Dead)
    }

    /// Whether it was ever switched to, or has ended without that. A main greenlet always was.
    pub fn started(&self) -> bool {
        self.phase() != Some(Phase::Created)
    }

    /// Whether it has started and not ended.
    pub fn is_active(&self) -> bool {
        self.started() && !self.dead()
    }

    /// Whether the calling code runs in it.
    pub fn is_current(&self) -> bool {
        match (&self.inner, here::<V>()) {
            (Inner::Main(context), None) => *context == coroutine::context(),
            (Inner::Child(node), Some(here)) => core::ptr::eq(Rc::as_ptr(&node.0), here.as_ptr()),
            _ => false,
        }
    }

    /// Whether this is a main greenlet: the code of a context outside of the family.
    pub fn is_main(&self) -> bool {
        matches!(self.inner, Inner::Main(_))
    }

    /// Its number, as [tracers](super::set_tracer) are told it.
    pub fn id(&self) -> Id {
        Id(self.number())
    }

    /// A handle that does not keep it alive.
    pub fn downgrade(&self) -> WeakGreenlet<V> {
        WeakGreenlet {
            inner: match &self.inner {
                Inner::Main(context) => WeakInner::Main(*context),
                Inner::Child(node) => WeakInner::Child(Rc::downgrade(&node.0)),
            },
        }
    }

    /// The main greenlet of a context.
    #[inline]
    pub(super) fn main_of(context: u64) -> Self {
        Greenlet {
            inner: Inner::Main(context),
        }
    }

    /// The greenlet that the calling code runs in.
    pub(super) fn current() -> Self {
        match here::<V>() {
            None => Self::main_of(coroutine::context()),
            // A running greenlet's node is alive.
            Some(node) => Node::handle(node).into(),
        }
    }

    pub(super) fn node(&self) -> Option<&Node<V>> {
        match &self.inner {
            Inner::Main(_) => None,
            Inner::Child(node) => Some(node),
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.node().map(|node| node.phase.get())
    }

    /// The number of the context it belongs to.
    #[inline]
    pub(super) fn context(&self) -> u64 {
        match &self.inner {
            Inner::Main(context) => *context,
            Inner::Child(node) => node.context.get(),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.node().map_or(0, |node| node.id)
    }
}

#[track_caller]
pub(super) fn or_panic<V>(created: io::Result<Greenlet<V>>) -> Greenlet<V> {
    match created {
        Ok(greenlet) => greenlet,
        Err(error) => panic!("a raw greenlet could not be created: {error}"),
    }
}

impl<V: 'static> Clone for Greenlet<V> {
    #[inline]
    fn clone(&self) -> Self {
        let inner = match &self.inner {
            Inner::Main(context) => Inner::Main(*context),
            Inner::Child(node) => Inner::Child(node.clone()),
        };
        Greenlet { inner }
    }
}

impl<V: 'static> Clone for Counted<V> {
    #[inline(always)]
    fn clone(&self) -> Self {
        Counted(Rc::clone(&self.0))
    }
}

impl<V: 'static> Deref for Counted<V> {
    type Target = Node<V>;

    #[inline(always)]
    fn deref(&self) -> &Node<V> {
        &self.0
    }
}

impl<V: 'static> Drop for Counted<V> {
    #[inline(always)]
    fn drop(&mut self) {
        if Rc::strong_count(&self.0) == 1 && self.phase.get() == Phase::Suspended {
            reap(self);
        }
    }
}

impl<V: 'static> From<Counted<V>> for Greenlet<V> {
    #[inline]
    fn from(node: Counted<V>) -> Self {
        Greenlet {
            inner: Inner::Child(node),
        }
    }
}

impl<V: 'static> PartialEq for Greenlet<V> {
    /// Whether both mean the same greenlet.
    fn eq(&self, other: &Self) -> bool {
        match (&self.inner, &other.inner) {
            (Inner::Main(one), Inner::Main(two)) => one == two,
            (Inner::Child(one), Inner::Child(two)) => Rc::ptr_eq(&one.0, &two.0),
            _ => false,
        }
    }
}

impl<V: 'static> Eq for Greenlet<V> {}

impl<V: 'static> fmt::Debug for Greenlet<V> {
    /// The number and Python's words for the state: `Greenlet(#3 suspended active started)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Greenlet({}", self.id())?;
        f.write_str(match self.phase() {
            Some(Phase::Created) => " pending",
            Some(Phase::Dead) => " dead",
            _ if self.is_current() => " current active started",
            _ => " suspended active started",
        })?;
        f.write_str(if self.is_main() { " main)" } else { ")" })
    }
}

/// A handle to a raw greenlet that does not keep it alive. From [`Greenlet::downgrade`].
pub struct WeakGreenlet<V: 'static> {
    inner: WeakInner<V>,
}

enum WeakInner<V: 'static> {
    Main(u64),
    Child(Weak<Node<V>>),
}

impl<V: 'static> WeakGreenlet<V> {
    /// A full handle, unless there is none left.
    ///
    /// There is one while a greenlet is being unwound because its last handle was dropped: code
    /// that runs in that unwinding can keep it, if not alive.
    pub fn upgrade(&self) -> Option<Greenlet<V>> {
        let inner = match &self.inner {
            WeakInner::Main(context) => Inner::Main(*context),
            WeakInner::Child(node) => Inner::Child(Counted(node.upgrade()?)),
        };
        Some(Greenlet { inner })
    }
}

impl<V: 'static> Clone for WeakGreenlet<V> {
    fn clone(&self) -> Self {
        let inner = match &self.inner {
            WeakInner::Main(context) => WeakInner::Main(*context),
            WeakInner::Child(node) => WeakInner::Child(Weak::clone(node)),
        };
        WeakGreenlet { inner }
    }
}

impl<V: 'static> fmt::Debug for WeakGreenlet<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(Weak)")
    }
}
