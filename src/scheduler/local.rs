//! Greenlet-locals: one value per greenlet, made when it first asks. `rustlet::local!` declares them.
//!
//! A greenlet's values are a short list in its side box ([`super::side`]), found by the address of
//! their key. A greenlet that uses none has no list; one that uses a few looks through them, which for
//! up to ten or so is faster than any map. The code on a thread's own stack has a list too.
//!
//! # When values are dropped
//! When their greenlet has ended, on its stack, before anybody is told of the end: who joins finds what the
//! destructors did. The first made is dropped first, as std does with a thread's. A destructor that asks for
//! a local gets a fresh value if the old one is gone; values that are made so round after round are leaked in the end
//! ([`ROUNDS`]). The thread's own are dropped at the end of the thread, after its greenlets.
//!
//! A value is counted while somebody looks at it. The case where that matters: a raw greenlet that was left
//! in the middle of a [`LocalKey::with`] outlives the greenlet that it belongs to.
//!
//! # Inheriting
//! A key that is declared `inherit` is cloned at each spawn from the one who spawns, if that has a value.
//! Python's `contextvars` do so for asyncio's tasks; gevent's locals start empty. Such a value is `Send`,
//! because a greenlet that has not started may one day be given to another thread. Greenlets that call links inherit nothing.
//!
//! Rejected: keying by an index that is given out at first use, into a vector. One key with a high index would
//! cost every greenlet that uses it a vector of that length.
#![allow(unsafe_code)] // The list belongs to one thread, which types cannot say.

use core::any::Any;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use super::hub::{self, Hub};
use super::task::TaskRef;

/// How often the values that destructors have made are dropped in turn.
const ROUNDS: usize = 8;

/// Some value was made whose key is `inherit`: spawns have to look.
static INHERITED: AtomicBool = AtomicBool::new(false);

/// The values of one greenlet. Touched by its hub's thread alone.
#[derive(Default)]
pub(super) struct Locals {
    slots: RefCell<Vec<Slot>>,
}

/// Makes the value of a greenlet that is spawned from that of the spawner.
type Inherit = fn(&dyn Any) -> Rc<dyn Any>;

/// One value.
struct Slot {
    /// The address of its key.
    key: usize,
    value: Rc<dyn Any>,
    inherit: Option<Inherit>,
}

impl Locals {
    fn find(&self, key: usize) -> Option<Rc<dyn Any>> {
        let slots = self.slots.borrow();
        let slot = slots.iter().find(|slot| slot.key == key)?;
        Some(slot.value.clone())
    }

    /// Drops all values. What a destructor raises is dropped with them.
    ///
    /// # Safety
    /// On the hub's thread.
    pub(super) unsafe fn clear(&self) {
        for _ in 0..ROUNDS {
            let slots = self.slots.take();
            if slots.is_empty() {
                return;
            }
            for slot in slots {
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(slot)));
                mem::forget(dropped); // the payload's destructor is the user's too
            }
        }
        mem::forget(self.slots.take());
    }
}

impl Drop for Locals {
    fn drop(&mut self) {
        // The last reference to a task may go on any thread; the values stay with theirs. They are there only if
        // the greenlet was abandoned, or given no stack.
        mem::forget(self.slots.take());
    }
}

/// What a greenlet that is about to be spawned inherits.
#[derive(Default)]
pub(super) struct Heritage(Vec<Slot>);

impl Hub {
    /// What the running code leaves to a greenlet that it spawns. To be called before anything else of that greenlet is made: cloning is
    /// the user's code, which may wait, panic, and spawn.
    #[inline(always)]
    pub(super) fn heritage(&self) -> Heritage {
        match INHERITED.load(Ordering::Relaxed) {
            true => self.heritage_if_any(),
            false => Heritage::default(),
        }
    }

    #[cold]
    #[inline(never)]
    fn heritage_if_any(&self) -> Heritage {
        let Some(side) = self.current().task.side.get() else {
            return Heritage::default();
        };
        let heritable = Vec::from_iter(side.locals.slots.borrow().iter().filter_map(|slot| {
            let inherit = slot.inherit?;
            Some((slot.key, slot.value.clone(), inherit))
        }));
        // Without a borrow.
        let slots = heritable.into_iter().map(|(key, value, inherit)| Slot {
            key,
            value: inherit(&*value),
            inherit: Some(inherit),
        });
        Heritage(slots.collect())
    }
}

impl Heritage {
    /// Gives it to `task`, which nobody else knows yet.
    #[inline(always)]
    pub(super) fn give_to(self, task: &TaskRef) {
        if !self.0.is_empty() {
            self.put_into(&task.side.get_or_make().locals);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_into(self, locals: &Locals) {
        *locals.slots.borrow_mut() = self.0;
    }
}

/// A value per greenlet, declared with [`crate::local!`].
///
/// The interface is that of [`std::thread::LocalKey`]. There is no `try_with`: a greenlet's locals
/// can be used for as long as any code of it runs, destructors of other locals included.
pub struct LocalKey<T: 'static> {
    init: fn() -> T,
    inherit: Option<Inherit>,
}

impl<T: 'static> LocalKey<T> {
    /// For [`crate::local!`] alone.
    #[doc(hidden)]
    pub const fn new(init: fn() -> T) -> Self {
        LocalKey {
            init,
            inherit: None,
        }
    }

    fn address(&'static self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// The running greenlet's value; `init` makes it, if there is none.
    fn obtain(&'static self, init: impl FnOnce() -> T) -> Rc<T> {
        let key = self.address();
        let side = hub::current_control().task.side.get_or_make();
        if let Some(value) = side.locals.find(key) {
            return self.downcast(value);
        }
        // The user's code, which may use this very key.
        let value: Rc<dyn Any> = Rc::new(init());
        if let Some(earlier) = side.locals.find(key) {
            return self.downcast(earlier);
        }
        if self.inherit.is_some() {
            INHERITED.store(true, Ordering::Relaxed);
        }
        side.locals.slots.borrow_mut().push(Slot {
            key,
            value: value.clone(),
            inherit: self.inherit,
        });
        self.downcast(value)
    }

    fn downcast(&self, value: Rc<dyn Any>) -> Rc<T> {
        value
            .downcast()
            .unwrap_or_else(|_| unreachable!("a key is the address of one static of one type"))
    }

    /// Calls `f` with the running greenlet's value, which is made first if there is none.
    ///
    /// `f` may block. The value stays where it is meanwhile.
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.obtain(self.init))
    }

    /// As `with`, with `value` in place of the initial one; given back if there was a value.
    fn with_or<R>(&'static self, value: T, f: impl FnOnce(&T, Option<T>) -> R) -> R {
        let mut value = Some(value);
        let place = self.obtain(|| value.take().expect("taken once"));
        f(&place, value)
    }
}

impl<T: Clone + Send + 'static> LocalKey<T> {
    /// For [`crate::local!`] alone.
    #[doc(hidden)]
    pub const fn inherited(init: fn() -> T) -> Self {
        LocalKey {
            init,
            inherit: Some(|value| {
                let value: &T = value.downcast_ref().expect("the key's own type");
                Rc::new(value.clone())
            }),
        }
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets the running greenlet's value, without making the initial one.
    pub fn set(&'static self, value: T) {
        self.with_or(Cell::new(value), |cell, unused| {
            if let Some(unused) = unused {
                cell.set(unused.into_inner());
            }
        });
    }

    /// A copy of the running greenlet's value.
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.with(Cell::get)
    }

    /// Takes the running greenlet's value, and leaves the default.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(Cell::take)
    }

    /// Replaces the running greenlet's value, and returns the old one.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with a borrow of the running greenlet's value.
    ///
    /// # Panics
    /// If it is borrowed mutably.
    pub fn with_borrow<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        self.with(|cell| f(&cell.borrow()))
    }

    /// Calls `f` with a mutable borrow of the running greenlet's value.
    ///
    /// # Panics
    /// If it is borrowed.
    pub fn with_borrow_mut<R>(&'static self, f: impl FnOnce(&mut T) -> R) -> R {
        self.with(|cell| f(&mut cell.borrow_mut()))
    }

    /// Sets the running greenlet's value, without making the initial one.
    ///
    /// # Panics
    /// If it is borrowed.
    pub fn set(&'static self, value: T) {
        self.with_or(RefCell::new(value), |cell, unused| {
            if let Some(unused) = unused {
                cell.replace(unused.into_inner());
            }
        });
    }

    /// Takes the running greenlet's value, and leaves the default.
    ///
    /// # Panics
    /// If it is borrowed.
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.with(RefCell::take)
    }

    /// Replaces the running greenlet's value, and returns the old one.
    ///
    /// # Panics
    /// If it is borrowed.
    pub fn replace(&'static self, value: T) -> T {
        self.with(|cell| cell.replace(value))
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}

/// Declares greenlet-locals: statics of which each greenlet, and the code on each thread's own stack, has a
/// value of its own, made when it first asks. See [`LocalKey`].
///
/// A greenlet's values are dropped when it has ended, on its stack, before those who wait for it
/// are told.
///
/// ```
/// use std::cell::{Cell, RefCell};
///
/// rustlet::local! {
///     static CALLS: Cell<u32> = Cell::new(0);
///     static LOG: RefCell<Vec<String>> = RefCell::default();
/// }
///
/// CALLS.set(7);
/// let greenlet = rustlet::spawn(|| {
///     CALLS.set(CALLS.get() + 1);
///     LOG.with_borrow_mut(|log| log.push("called".into()));
///     CALLS.get()
/// });
/// assert_eq!(greenlet.join().unwrap(), 1); // it started from 0
/// assert_eq!(CALLS.get(), 7);
/// assert!(LOG.take().is_empty());
/// ```
///
/// With `inherit`, a greenlet begins with a clone of what the code that spawned it had then, if
/// that had a value. The type is `Clone + Send`.
///
/// ```
/// use std::cell::Cell;
///
/// rustlet::local! {
///     inherit static REQUEST: Cell<Option<u64>> = Cell::new(None);
/// }
///
/// REQUEST.set(Some(5));
/// let child = rustlet::spawn(|| REQUEST.replace(None));
/// assert_eq!(child.join().unwrap(), Some(5));
/// assert_eq!(REQUEST.get(), Some(5));
/// ```
///
/// What the type lacks is an error of the compiler:
/// ```compile_fail
/// rustlet::local! {
///     inherit static SHARED: std::rc::Rc<u8> = std::rc::Rc::new(1); // not Send
/// }
/// ```
#[macro_export]
macro_rules! local {
    () => {};
    ($(#[$attribute:meta])* $visible:vis inherit static $name:ident: $type:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $visible static $name: $crate::LocalKey<$type> = {
            fn init() -> $type { $init }
            $crate::LocalKey::inherited(init)
        };
        $($crate::local! { $($rest)* })?
    };
    ($(#[$attribute:meta])* $visible:vis static $name:ident: $type:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$attribute])*
        $visible static $name: $crate::LocalKey<$type> = {
            fn init() -> $type { $init }
            $crate::LocalKey::new(init)
        };
        $($crate::local! { $($rest)* })?
    };
}
