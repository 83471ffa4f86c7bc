//! Handles: [`Greenlet`] joins, [`Handle`] names, wakes and kills.
#![allow(unsafe_code)] // Takes an outcome out of a type-erased task.

use core::fmt;
use core::marker::PhantomData;

use super::hub;
use super::interrupt;
use super::join_error::JoinError;
use super::park::{self, ParkError, WaitReason};
use super::task::TaskRef;
use super::{Deadlock, deadlock::Name};

/// An owned handle to a greenlet: what [`crate::spawn`] returns.
///
/// Dropping it detaches the greenlet, as std's `JoinHandle` does its thread; it never kills.
/// The handle may be sent to another thread and joined there, if the value may.
pub struct Greenlet<T> {
    task: TaskRef,
    value: PhantomData<T>,
}

// SAFETY: through the handle a thread can take out a `T` and a panic payload (which is Send), and do
// what TaskRef allows any thread.
unsafe impl<T: Send> Send for Greenlet<T> {}
// SAFETY: a shared handle gives no access to the `T`.
unsafe impl<T: Send> Sync for Greenlet<T> {}

impl<T> Greenlet<T> {
    /// # Safety
    /// `task` is the one handle of a task whose type is `T`.
    pub(super) unsafe fn new(task: TaskRef) -> Self {
        Greenlet {
            task,
            value: PhantomData,
        }
    }

    pub(crate) fn task(&self) -> &TaskRef {
        &self.task
    }

    /// Waits for the greenlet to end, and returns its value.
    ///
    /// # Errors
    /// [`JoinError`] says how it ended instead: it panicked, was killed, or never
    /// got a stack. On a thread's own stack also: nothing can ever end it
    /// ([`JoinError::is_deadlock`]); and in a destructor that runs because of a panic or a
    /// kill: the caller cannot wait now. In these two the greenlet is detached.
    ///
    /// # Panics
    /// If a greenlet joins itself.
    ///
    /// ```
    /// let sum = rustlet::spawn(|| 1 + 2);
    /// assert_eq!(sum.join().unwrap(), 3);
    /// ```
    pub fn join(self) -> Result<T, JoinError> {
        if self.is_finished() {
            return self.take();
        }
        match wait_done(&self.task) {
            Ok(()) => self.take(),
            Err(error) => Err(JoinError::not_waited(&self.task, error)),
        }
    }

    /// The outcome, if the greenlet has ended; otherwise the handle again. Never waits.
    ///
    /// # Errors
    /// The handle, if the greenlet has not ended.
    pub fn try_join(self) -> Result<Result<T, JoinError>, Self> {
        if self.is_finished() {
            Ok(self.take())
        } else {
            Err(self)
        }
    }

    /// Whether the greenlet has ended. gevent's `ready()`.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.task.is_done()
    }

    /// Ends the greenlet: it is unwound from where it waits, and its destructors run. Waits until it has
    /// ended.
    ///
    /// A greenlet that has not started yet never runs; its closure is dropped. One that has ended
    /// is left as it is. A greenlet that catches the unwinding with `catch_unwind` is unwound again at
    /// its next suspension; this waits until it gives in. A greenlet that kills itself unwinds at
    /// once.
    ///
    /// # Errors
    /// As [`Greenlet::join`], if the caller cannot wait; the kill is delivered all the same.
    ///
    /// ```
    /// use std::time::Duration;
    /// let sleeper = rustlet::spawn(|| rustlet::sleep(Duration::from_secs(3600)));
    /// rustlet::yield_now();
    /// sleeper.kill().unwrap();
    /// assert!(sleeper.join().unwrap_err().is_killed());
    /// ```
    pub fn kill(&self) -> Result<(), JoinError> {
        self.handle().kill();
        wait_done(&self.task).map_err(|error| JoinError::not_waited(&self.task, error))
    }

    /// As [`Greenlet::kill`], without waiting: the target is unwound when it is next resumed.
    pub fn kill_nowait(&self) {
        self.handle().kill();
    }

    /// A handle without the value: to name, wake and kill.
    pub fn handle(&self) -> Handle {
        Handle {
            task: self.task.clone(),
        }
    }

    /// The greenlet's number, unique in the process.
    pub fn id(&self) -> u64 {
        self.task.id
    }

    /// The name given with [`crate::Builder::name`].
    pub fn name(&self) -> Option<&str> {
        self.task.name()
    }

    /// Bytes of stack that the greenlet used at most, counted from the top of its slot; `None` while it runs, and
    /// unless it was spawned with [`crate::Builder::measure_stack`].
    pub fn stack_high_water(&self) -> Option<usize> {
        self.task.high_water()
    }

    pub(crate) fn take(self) -> Result<T, JoinError> {
        // There is nothing left to detach: only the reference is dropped.
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, nor dropped.
        let task = unsafe { core::ptr::read(&raw const this.task) };
        // SAFETY: `T` is the task's type and this was its one handle (`new`); the task is done, and
        // the handle is consumed, so this is the only time.
        unsafe { task.take::<T>() }.map_err(|(failure, task)| JoinError::ended(&task, failure))
    }
}

impl<T> Drop for Greenlet<T> {
    fn drop(&mut self) {
        self.task.detach();
    }
}

impl<T> fmt::Debug for Greenlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greenlet")
            .field("id", &self.task.id)
            .field("name", &self.task.name())
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// Waits until `task` is done.
pub(crate) fn wait_done(task: &TaskRef) -> Result<(), ParkError> {
    wait_done_or(task, || false)
}

/// Waits until `task` is done or `give_up` says so, which is asked after each wake-up.
pub(crate) fn wait_done_or(task: &TaskRef, give_up: impl Fn() -> bool) -> Result<(), ParkError> {
    struct Waiting<'a> {
        task: &'a TaskRef,
        joiner: &'a TaskRef,
    }
    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            if !self.task.is_done() {
                self.task.remove_joiner(self.joiner);
            }
        }
    }

    if task.is_done() {
        return Ok(());
    }
    let me = &hub::current_control().task;
    assert!(!me.is(task), "a greenlet cannot join itself");
    if !task.add_joiner(me.clone()) {
        return Ok(());
    }
    let waiting = Waiting { task, joiner: me };
    while !waiting.task.is_done() && !give_up() {
        park::park(WaitReason::join(task, me))?;
    }
    Ok(())
}

/// A greenlet's name tag: clones freely, goes to any thread, keeps nothing alive but a few words.
///
/// [`crate::current`] gives the running greenlet's, [`Greenlet::handle`] that of another.
#[derive(Clone)]
pub struct Handle {
    task: TaskRef,
}

impl Handle {
    pub(crate) fn new(task: TaskRef) -> Self {
        Handle { task }
    }

    /// The greenlet's number; 0 for the code on a thread's own stack.
    pub fn id(&self) -> u64 {
        self.task.id
    }

    /// The name given with [`crate::Builder::name`]; the thread's name for its own code.
    pub fn name(&self) -> Option<&str> {
        self.task.name()
    }

    /// Whether the greenlet has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_done()
    }

    /// Ends the greenlet without waiting, as [`Greenlet::kill_nowait`].
    ///
    /// The running greenlet that kills itself unwinds at once, and this does not return. The code
    /// on a thread's own stack cannot be killed; for it this does nothing.
    pub fn kill(&self) {
        if self.task.id == 0 || !interrupt::kill(&self.task) {
            return;
        }
        let me = hub::current_control();
        if me.task.is(&self.task) {
            me.raise();
        }
    }

    /// Leaves the token for the greenlet's [`crate::park()`], from any thread.
    pub fn unpark(&self) {
        park::unpark(&self.task);
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("id", &self.task.id)
            .field("name", &self.task.name())
            .finish()
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Name(self.task.id, self.task.name()).fmt(f)
    }
}

/// The running greenlet; for code on a thread's own stack, a handle that stands for that code.
///
/// ```
/// let greenlet = rustlet::Builder::new()
///     .name("worker")
///     .spawn(|| rustlet::current().name().map(str::to_owned))
///     .unwrap();
/// assert_eq!(greenlet.join().unwrap().as_deref(), Some("worker"));
/// assert_eq!(rustlet::current().id(), 0);
/// ```
pub fn current() -> Handle {
    Handle::new(hub::current_control().task.clone())
}

/// Waits until [`Handle::unpark`] leaves the running greenlet its token, and takes it.
///
/// As `std::thread::park`: an unpark that came before is not lost, several are one, and it may return
/// without one; so call it in a loop around the condition.
///
/// # Errors
/// On a thread's own stack: [`Deadlock`], if nothing can ever wake it. As any other thread of the
/// process might hold a handle, this is only said while the process has a single thread.
///
/// Returns at once while the caller is unwinding.
///
/// ```
/// let waiter = rustlet::spawn(|| rustlet::park());
/// let handle = waiter.handle();
/// rustlet::spawn(move || handle.unpark());
/// waiter.join().unwrap().unwrap();
/// ```
#[inline]
pub fn park() -> Result<(), Deadlock> {
    match park::park(WaitReason::PARK) {
        Err(ParkError::Deadlock(report)) => Err(report),
        Ok(()) | Err(ParkError::Unwinding) => Ok(()),
    }
}
