//! [`Greenlet`]: what spawning returns, with the value.
#![allow(unsafe_code)] // Takes an outcome out of a type-erased task.

use core::any::Any;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use super::ended::Ended;
use super::future::{AFTER_THE_END, TAKEN};
use super::handle::Handle;
use super::hub;
use super::join_error::JoinError;
use super::joiners::{Ticket, Waiter};
use super::link::LinkId;
use super::park::{self, ParkError, WaitReason};
use super::task::TaskRef;

/// An owned handle to a greenlet: what [`crate::spawn`] returns.
///
/// Dropping it detaches the greenlet, as std's `JoinHandle` does its thread; it never kills.
/// The handle may be sent to another thread and joined there, if the value may.
pub struct Greenlet<T> {
    handle: Handle,
    value: PhantomData<T>,
}

// SAFETY: through the handle a thread can take out a `T` and a panic payload (which is Send), and do
// what TaskRef allows any thread.
unsafe impl<T: Send> Send for Greenlet<T> {}
// SAFETY: a shared handle gives no access to the `T`.
unsafe impl<T: Send> Sync for Greenlet<T> {}

// As std's `JoinHandle`.
impl<T> UnwindSafe for Greenlet<T> {}
impl<T> RefUnwindSafe for Greenlet<T> {}

impl<T> Greenlet<T> {
    /// # Safety
    /// `task` is the one handle of a task whose type is `T`.
    pub(super) unsafe fn new(task: TaskRef) -> Self {
        Greenlet {
            handle: Handle { task },
            value: PhantomData,
        }
    }

    pub(crate) fn task(&self) -> &TaskRef {
        &self.handle.task
    }

    pub(crate) fn as_handle(&self) -> &Handle {
        &self.handle
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
        match wait_done(self.task()) {
            Ok(()) => self.take(),
            Err(error) => Err(JoinError::not_waited(self.task(), error)),
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

    /// Waits for the greenlet to end, and leaves its outcome to be joined. gevent's `join()`.
    ///
    /// # Errors
    /// Not how it ended, but only what [`Greenlet::join`] says if the caller cannot wait.
    ///
    /// # Panics
    /// If a greenlet waits for its own end.
    ///
    /// ```
    /// let greenlet = rustlet::spawn(|| 5);
    /// greenlet.wait().unwrap();
    /// assert!(greenlet.is_successful());
    /// assert_eq!(greenlet.join().unwrap(), 5);
    /// ```
    pub fn wait(&self) -> Result<(), JoinError> {
        self.handle.wait()
    }

    /// Whether the greenlet has ended. gevent's `ready()`.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Whether the greenlet has ended with a value. A kill is no success, other than in gevent.
    pub fn is_successful(&self) -> bool {
        self.handle.is_successful()
    }

    /// Whether the greenlet's code has begun to run.
    pub fn is_started(&self) -> bool {
        self.handle.is_started()
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
        self.handle.kill();
        self.handle.wait()
    }

    /// As [`Greenlet::kill`], without waiting: the target is unwound when it is next resumed.
    pub fn kill_nowait(&self) {
        self.handle.kill();
    }

    /// Raises `payload` in the greenlet: it is unwound from where it waits, as by a panic with that payload.
    /// gevent's `kill(exception)`. Does not wait.
    ///
    /// It is raised once, where the greenlet waits now or when it next does. The greenlet may
    /// catch it, and go on; otherwise it ends, [`JoinError::is_panic`] is true, and the payload comes
    /// out of [`JoinError::try_into_panic`]. The panic hook does not see it, but
    /// [`crate::set_uncaught_hook`]'s does.
    ///
    /// A greenlet that has not started yet never runs, and ends with the payload. One that has
    /// ended is left as it is. A greenlet that throws at itself unwinds at once. Several throws are
    /// raised one after the other. A kill goes before a throw, and a throw before a [`crate::timeout`] that has
    /// passed.
    ///
    /// ```
    /// use std::panic::catch_unwind;
    /// let worker = rustlet::spawn(|| {
    ///     let thrown = catch_unwind(|| rustlet::sleep(std::time::Duration::MAX)).unwrap_err();
    ///     *thrown.downcast::<u32>().unwrap()
    /// });
    /// rustlet::yield_now();
    /// worker.throw(7_u32);
    /// assert_eq!(worker.join().unwrap(), 7);
    /// ```
    pub fn throw(&self, payload: impl Any + Send) {
        self.handle.throw(payload);
    }

    /// Has `f` called when the greenlet has ended, however it did.
    ///
    /// Each link is called in a greenlet of its own, on the thread of the one that has ended. They start in
    /// the order in which they were added, and before those who wait for the end go on. One
    /// that blocks or panics keeps no other waiting. A link that is added after the end is called too.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// let (send, receive) = mpsc::channel();
    /// let greenlet = rustlet::Builder::new().name("short").spawn(|| 1).unwrap();
    /// let id = greenlet.id();
    /// greenlet.link(move |ended| {
    ///     assert!(ended.is_successful());
    ///     send.send(ended.id()).unwrap();
    /// });
    /// assert_eq!(greenlet.join().unwrap(), 1);
    /// assert_eq!(receive.try_recv(), Ok(id));
    /// ```
    #[track_caller]
    pub fn link(&self, f: impl FnOnce(&Ended) + Send + 'static) -> LinkId {
        self.handle.link(f)
    }

    /// As [`Greenlet::link`], but only if it ends with a value.
    #[track_caller]
    pub fn link_value(&self, f: impl FnOnce(&Ended) + Send + 'static) -> LinkId {
        self.handle.link_value(f)
    }

    /// As [`Greenlet::link`], but only if it ends without a value: by a panic, an uncaught throw, a kill (which
    /// gevent counts as success), or without having run.
    #[track_caller]
    pub fn link_error(&self, f: impl FnOnce(&Ended) + Send + 'static) -> LinkId {
        self.handle.link_error(f)
    }

    /// Takes a link back; false if it has been called, or has begun to be. Works also
    /// between the greenlet's end and the link's turn.
    pub fn unlink(&self, id: LinkId) -> bool {
        self.handle.unlink(id)
    }

    /// Takes all links back.
    pub fn unlink_all(&self) {
        self.handle.unlink_all();
    }

    /// Whether there are links that have not been called yet.
    pub fn has_links(&self) -> bool {
        self.handle.has_links()
    }

    /// Has `f` called with the outcome when the greenlet has ended. As [`Greenlet::link`], but with the value
    /// and not only how it ended, for which it consumes the handle.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// let (send, receive) = mpsc::channel();
    /// rustlet::spawn(|| 6 * 7).then(move |outcome| send.send(outcome.unwrap()).unwrap());
    /// rustlet::sleep(std::time::Duration::from_millis(1));
    /// assert_eq!(receive.try_recv(), Ok(42));
    /// ```
    #[track_caller]
    pub fn then<F>(self, f: F) -> LinkId
    where
        F: FnOnce(Result<T, JoinError>) + Send + 'static,
        T: Send + 'static,
    {
        let handle = self.handle();
        handle.link(move |_| f(self.take()))
    }

    /// A handle without the value: to name, wake, kill and wait for.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// The greenlet's number, unique in the process.
    pub fn id(&self) -> u64 {
        self.handle.id()
    }

    /// The number of the greenlet that spawned this one; `None` if it was a thread's own code.
    pub fn parent_id(&self) -> Option<u64> {
        self.handle.parent_id()
    }

    /// Where the greenlet was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.handle.spawned_at()
    }

    /// The name given with [`crate::Builder::name`].
    pub fn name(&self) -> Option<&str> {
        self.handle.name()
    }

    /// Bytes of stack that the greenlet used at most, counted from the top of its slot; `None` while it runs, and
    /// unless it was spawned with [`crate::Builder::measure_stack`].
    pub fn stack_high_water(&self) -> Option<usize> {
        self.handle.task.high_water()
    }

    pub(crate) fn take(self) -> Result<T, JoinError> {
        let state = self.handle.task.state.load(Ordering::Relaxed);
        assert!(state & TAKEN == 0, "{AFTER_THE_END}");
        // There is nothing left to detach: only the reference is dropped.
        let this = core::mem::ManuallyDrop::new(self);
        // SAFETY: `this` is not used again, nor dropped.
        let task = unsafe { core::ptr::read(&raw const this.handle.task) };
        // SAFETY: `T` is the task's type and this was its one handle (`new`); the task is done, and
        // the handle is consumed and no poll has taken the outcome (TAKEN), so this is the only time.
        unsafe { task.take::<T>() }.map_err(|(failure, task)| JoinError::ended(&task, failure))
    }
}

impl<T> Drop for Greenlet<T> {
    fn drop(&mut self) {
        self.handle.task.take_back_waker();
        self.handle.task.detach();
    }
}

impl<T> fmt::Debug for Greenlet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Greenlet")
            .field("id", &self.id())
            .field("name", &self.name())
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
        ticket: Ticket,
    }
    impl Drop for Waiting<'_> {
        fn drop(&mut self) {
            if !self.task.is_done() {
                self.task.remove_waiter(self.ticket);
            }
        }
    }

    if task.is_done() {
        return Ok(());
    }
    let me = &hub::current_control().task;
    assert!(!me.is(task), "a greenlet cannot join itself");
    let Some(ticket) = task.add_waiter(Waiter::Task(me.clone())) else {
        return Ok(());
    };
    let waiting = Waiting { task, ticket };
    while !waiting.task.is_done() && !give_up() {
        park::park(WaitReason::join(task, me))?;
    }
    Ok(())
}
