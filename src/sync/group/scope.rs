//! [`scope`]: greenlets that borrow from the frame that spawned them, and end before it returns.
//!
//! `std::thread::scope` for greenlets, with what a nursery adds: if a child panics, or the frame is
//! killed or timed out, the rest is killed. How the frame waits, and why it can, is told in
//! [`super::children`]; here is what a child does:
//!
//! ```text
//!   Child { f, outcome, place }   run: f() ──► the value goes into `outcome` ──► the place is left
//!                                 dropped: f, if it never ran; then the same
//! ```
//! A value of the child's type may borrow too, and has a destructor. It is therefore never the task's: it lies in an
//! [`Outcome`] shared with the handle, and the child's share of that is dropped before the place is left. (The
//! task drops what nobody joins after it is done, when the frame may have gone.)
#![allow(unsafe_code)] // Spawns closures that borrow.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::children::{Body, Children};
use super::roster::Key;
use crate::scheduler::{Greenlet, Handle, JoinError, Killed, scoped};
use crate::sys::short_lock::ShortLock;

/// A scope of greenlets; see [`scope()`].
///
/// `'scope` is the time during which greenlets may be spawned and run, and so the time for which the scope itself may
/// be borrowed; `'env` is that of what they borrow from outside. Both are invariant, as those of
/// [`std::thread::Scope`].
#[derive(Debug)]
pub struct Scope<'scope, 'env: 'scope> {
    children: Arc<Children>,
    /// It was entered while the thread unwinds: children could not be waited for.
    unwinding: bool,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, which may spawn greenlets that borrow from here, and waits until they have ended.
///
/// What [`std::thread::scope`] is for threads:
///
/// ```
/// let mut numbers = vec![1, 2, 3];
/// let mut sum = 0;
/// rustlet::scope(|s| {
///     s.spawn(|| sum = numbers.iter().sum());
///     let longest = s.spawn(|| numbers.iter().max());
///     assert_eq!(longest.join().unwrap(), Some(&3));
/// });
/// numbers.push(sum);
/// assert_eq!(numbers, [1, 2, 3, 6]);
/// ```
///
/// # When something goes wrong
/// In each case all children are waited for first, and nothing is left running:
/// - `f` panics: the children are killed, and the panic goes on.
/// - A child panics and nobody has its [`ScopedGreenlet`] any more: the other children are killed, `f` is interrupted
///   where it waits, as by a [`timeout`](crate::timeout), and the child's panic is raised here. The
///   panic of a child whose handle exists is the business of whoever joins it; if the handle is dropped instead, it is
///   raised as above.
/// - The caller is killed, thrown at, or timed out, in `f` or while it waits for children: they are
///   killed, and the unwinding goes on.
/// - On a thread's own stack: nothing can ever end the children. They are killed, and the [`Deadlock`](crate::Deadlock)
///   is raised.
///
/// A child that catches its kill is unwound again at its next suspension. While it refuses to end this function
/// does not return, and no kill or limit interrupts *that* wait: they are raised later.
///
/// # Panics
/// With the payload of a child that panicked and was not joined, and with the report of a deadlock.
///
/// The process is aborted where children can neither be waited for nor left behind: if the scope is left in
/// a raw greenlet that is dropped while the thread unwinds from a panic.
///
/// ```compile_fail,E0373
/// rustlet::scope(|s| {
///     let local = 1;
///     s.spawn(|| println!("{local}")); // `local` is gone when the greenlet runs
/// });
/// ```
/// ```compile_fail,E0521
/// let mut outer = None;
/// rustlet::scope(|s| {
///     outer = Some(s.spawn(|| 1)); // the handle cannot leave
/// });
/// ```
/// ```compile_fail,E0499
/// let mut count = 0;
/// rustlet::scope(|s| {
///     s.spawn(|| count += 1);
///     s.spawn(|| count += 1); // two exclusive borrows
/// });
/// ```
/// ```compile_fail,E0277
/// let shared = std::rc::Rc::new(1);
/// rustlet::scope(|s| {
///     s.spawn(|| println!("{shared}")); // not Send: `spawn_local` takes it
/// });
/// ```
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope::new();
    match scope.children.see_out(|| f(&scope)) {
        Body::Returned(value) => value,
        Body::Cancelled => unreachable!("a scope is cancelled by a panic, which was raised"),
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    pub(super) fn new() -> Self {
        Scope {
            children: Children::new(),
            unwinding: crate::scheduler::cannot_suspend(),
            scope: PhantomData,
            env: PhantomData,
        }
    }

    pub(super) fn children(&self) -> &Arc<Children> {
        &self.children
    }

    /// Spawns a greenlet in the scope: as [`crate::spawn`], but it may borrow.
    ///
    /// Children may spawn further ones by the same reference. If the scope is ending early, what is spawned is
    /// killed before it starts.
    ///
    /// # Panics
    /// As [`crate::spawn`]; and if the scope was entered in a destructor that runs because of a panic or a kill: the scope
    /// could not wait for its children there.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedGreenlet<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        // SAFETY: by the bounds.
        unsafe { self.spawn_child(f, true) }
    }

    /// As [`Scope::spawn`], for closures and values that must stay on this thread (not `Send`).
    ///
    /// # Panics
    /// As [`Scope::spawn`].
    ///
    /// ```
    /// let count = std::cell::Cell::new(0);
    /// rustlet::scope(|s| {
    ///     for _ in 0..3 {
    ///         s.spawn_local(|| count.set(count.get() + 1));
    ///     }
    /// });
    /// assert_eq!(count.get(), 3);
    /// ```
    #[track_caller]
    pub fn spawn_local<F, T>(&'scope self, f: F) -> ScopedGreenlet<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        // SAFETY: it stays here.
        unsafe { self.spawn_child(f, false) }
    }

    /// # Safety
    /// `f` and `T` are Send, if any worker may start it (`anywhere`).
    #[track_caller]
    pub(super) unsafe fn spawn_child<F, T>(
        &'scope self,
        f: F,
        anywhere: bool,
    ) -> ScopedGreenlet<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        assert!(
            !self.unwinding,
            "a scope that is entered while the thread unwinds cannot wait for greenlets, so it spawns none"
        );
        let outcome = Arc::new(ShortLock::new(Outcome::Pending));
        let place = Place {
            key: self.children.reserve(),
            children: self.children.clone(),
        };
        let (key, share) = (place.key, outcome.clone());
        let child = Child {
            f: ManuallyDrop::new(f),
            share: ManuallyDrop::new(share),
            place: ManuallyDrop::new(place),
        };
        // SAFETY: what `f` and `T` borrow lives for 'scope, which does not end before `see_out` has returned or
        // unwound; that does not happen before the child has left the list of children, or is done without ever
        // running again (`children`, "Why nothing dangles"). When it leaves, `f` has been consumed or dropped, and
        // its share of the outcome too. The task's own type is (), so its handle may be dropped at any time.
        // What the child has besides is Send and Sync.
        let spawned = unsafe {
            match anywhere {
                true => scoped::spawn_borrowing_anywhere(move || child.run()),
                false => scoped::spawn_borrowing(move || child.run()),
            }
        };
        match spawned {
            Ok(greenlet) => {
                self.children.enter(key, greenlet.task().clone());
                ScopedGreenlet {
                    greenlet: Some(greenlet),
                    outcome,
                    children: self.children.clone(),
                    scope: PhantomData,
                }
            }
            Err(error) => panic!("spawn: {error}"),
        }
    }

    /// How many greenlets of the scope have not ended.
    pub fn running(&self) -> usize {
        self.children.len()
    }
}

/// What became of a child; shared by it and its handle.
enum Outcome<T> {
    Pending,
    /// The handle is gone.
    Unwanted,
    Value(T),
    Panicked(Box<dyn Any + Send>),
    /// Joined; or there is nothing but what the task says: it was killed.
    Nothing,
}

/// A place in the list of children; left when it is dropped.
struct Place {
    children: Arc<Children>,
    key: Key,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.children.leave(self.key);
    }
}

/// A child's closure with what it needs. Dropped in the order of the fields, whether it ran or not.
struct Child<F: FnOnce() -> T, T> {
    f: ManuallyDrop<F>,
    share: ManuallyDrop<Arc<ShortLock<Outcome<T>>>>,
    place: ManuallyDrop<Place>,
}

impl<F: FnOnce() -> T, T> Child<F, T> {
    fn run(self) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, and each field is taken once. (The place first: what is declared
        // later is dropped earlier, should anything below unwind.)
        let (place, share, f) = unsafe {
            (
                ManuallyDrop::take(&mut this.place),
                ManuallyDrop::take(&mut this.share),
                ManuallyDrop::take(&mut this.f),
            )
        };
        // A value that nobody wants is dropped inside, so that its panic is the child's.
        let ran = catch_unwind(AssertUnwindSafe(|| {
            drop(replace_unless_unwanted(&share, Outcome::Value(f())));
        }));
        let mut killed = None;
        match ran {
            Ok(()) => {}
            Err(payload) if payload.is::<Killed>() => killed = Some(payload),
            Err(payload) => {
                let unwanted = replace_unless_unwanted(&share, Outcome::Panicked(payload));
                if let Some(Outcome::Panicked(payload)) = unwanted {
                    place.children.fail(payload);
                }
            }
        }
        end(share, place);
        if let Some(payload) = killed {
            resume_unwind(payload);
        }
    }
}

impl<F: FnOnce() -> T, T> Drop for Child<F, T> {
    fn drop(&mut self) {
        // It never ran: it was killed before, or not spawned.
        // SAFETY: this is the destructor, so no field was taken, and each is taken once.
        let (f, share, place) = unsafe {
            (
                ManuallyDrop::take(&mut self.f),
                ManuallyDrop::take(&mut self.share),
                ManuallyDrop::take(&mut self.place),
            )
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| drop(f)));
        end(share, place);
        if let Err(payload) = dropped {
            resume_unwind(payload);
        }
    }
}

/// Gives up a child's share of its outcome, and then its place.
fn end<T>(share: Arc<ShortLock<Outcome<T>>>, place: Place) {
    // If this is the last share, the handle has taken out what there was.
    drop(share);
    drop(place);
}

/// Stores what became of the child; gives it back if the handle is gone.
fn replace_unless_unwanted<T>(
    share: &ShortLock<Outcome<T>>,
    outcome: Outcome<T>,
) -> Option<Outcome<T>> {
    let mut place = share.lock();
    if let Outcome::Unwanted = *place {
        return Some(outcome);
    }
    // What was there is Pending, which has nothing to drop.
    mem::forget(mem::replace(&mut *place, outcome));
    None
}

/// A handle to a greenlet of a [`Scope`]: what [`Scope::spawn`] returns.
///
/// Dropping it leaves the greenlet to its scope, which waits for it. If it panicked, or does so later, the scope
/// ends with that panic.
pub struct ScopedGreenlet<'scope, T> {
    /// `None` once it was joined.
    greenlet: Option<Greenlet<()>>,
    outcome: Arc<ShortLock<Outcome<T>>>,
    children: Arc<Children>,
    scope: PhantomData<&'scope mut &'scope ()>,
}

impl<T> ScopedGreenlet<'_, T> {
    fn greenlet(&self) -> &Greenlet<()> {
        self.greenlet.as_ref().expect("taken by `join` alone")
    }

    /// Waits for the greenlet to end, and returns its value.
    ///
    /// # Errors
    /// As [`Greenlet::join`]. With the handle, the panic has been taken care of: the scope goes on.
    pub fn join(mut self) -> Result<T, JoinError> {
        self.greenlet().wait()?;
        let outcome = mem::replace(&mut *self.outcome.lock(), Outcome::Nothing);
        match outcome {
            Outcome::Value(value) => Ok(value),
            Outcome::Panicked(payload) => Err(scoped::panicked(self.greenlet().task(), payload)),
            _ => {
                let greenlet = self.greenlet.take().expect("taken here alone");
                Err(greenlet.take().expect_err("it stored no value"))
            }
        }
    }

    /// Whether the greenlet has ended.
    pub fn is_finished(&self) -> bool {
        self.greenlet().is_finished()
    }

    /// Ends the greenlet and waits until it has ended, as [`Greenlet::kill`].
    ///
    /// # Errors
    /// As there.
    pub fn kill(&self) -> Result<(), JoinError> {
        self.greenlet().kill()
    }

    /// As [`ScopedGreenlet::kill`], without waiting.
    pub fn kill_nowait(&self) {
        self.greenlet().kill_nowait();
    }

    /// A handle without the value, which may leave the scope.
    ///
    /// To [`Handle::link`] a child that panicked looks like one that returned: its panic is the scope's.
    pub fn handle(&self) -> Handle {
        self.greenlet().handle()
    }

    /// The greenlet's number, unique in the process.
    pub fn id(&self) -> u64 {
        self.greenlet().id()
    }
}

impl<T> Drop for ScopedGreenlet<'_, T> {
    fn drop(&mut self) {
        let outcome = mem::replace(&mut *self.outcome.lock(), Outcome::Unwanted);
        match outcome {
            Outcome::Panicked(payload) => self.children.fail(payload),
            other => drop(other),
        }
    }
}

impl<T> fmt::Debug for ScopedGreenlet<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedGreenlet")
            .field("greenlet", &self.greenlet)
            .finish_non_exhaustive()
    }
}
