//! [`Handle`]: names, wakes and kills a greenlet, from anywhere.

use core::any::Any;
use core::fmt;
use std::panic::Location;

use super::deadlock::{Deadlock, Name};
use super::ended::Ended;
use super::greenlet::{Greenlet, wait_done};
use super::hub;
use super::interrupt;
use super::join_error::JoinError;
use super::link::{self, LinkId, When};
use super::park::{self, ParkError, WaitReason};
use super::task::{End, TaskRef};
use super::throw;

/// A greenlet's name tag: clones freely, goes to any thread, keeps nothing alive but a few words.
///
/// [`crate::current`] gives the running greenlet's, [`Greenlet::handle`] that of another.
#[derive(Clone)]
pub struct Handle {
    pub(super) task: TaskRef,
}

impl Handle {
    pub(crate) fn new(task: TaskRef) -> Self {
        Handle { task }
    }

    pub(crate) fn task(&self) -> &TaskRef {
        &self.task
    }

    /// The greenlet's number; 0 for the code on a thread's own stack.
    pub fn id(&self) -> u64 {
        self.task.id
    }

    /// The name given with [`crate::Builder::name`]; the thread's name for its own code.
    pub fn name(&self) -> Option<&str> {
        self.task.name()
    }

    /// As [`Greenlet::parent_id`].
    pub fn parent_id(&self) -> Option<u64> {
        (self.task.parent != 0).then_some(self.task.parent)
    }

    /// Where the greenlet was spawned. Of no meaning for the code on a thread's own stack.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.task.spawned_at
    }

    /// Whether the greenlet has ended.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.task.is_done()
    }

    /// Whether the greenlet has ended with a value.
    pub fn is_successful(&self) -> bool {
        self.task.end() == Some(End::Value) && self.task.id != 0
    }

    /// Whether the greenlet's code has begun to run.
    pub fn is_started(&self) -> bool {
        self.task.is_started() || self.task.id == 0
    }

    /// Waits for the greenlet to end, as [`Greenlet::wait`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// If a greenlet waits for its own end.
    pub fn wait(&self) -> Result<(), JoinError> {
        wait_done(&self.task).map_err(|error| JoinError::not_waited(&self.task, error))
    }

    /// Raises `payload` in the greenlet, as [`Greenlet::throw`].
    ///
    /// The code on a thread's own stack can be thrown at too: it unwinds from where it waits, and if nothing catches that,
    /// the thread ends as by a panic that no hook has seen.
    pub fn throw(&self, payload: impl Any + Send) {
        throw::throw(&self.task, Box::new(payload));
    }

    /// As [`Greenlet::link`].
    #[track_caller]
    pub fn link(&self, f: impl FnOnce(&Ended) + Send + 'static) -> LinkId {
        link::link(&self.task, When::Always, f)
    }

    /// As [`Greenlet::link_value`].
    #[track_caller]
    pub fn link_value(&self, f: impl FnOnce(&Ended) + Send + 'static) -> LinkId {
        link::link(&self.task, When::Value, f)
    }

    /// As [`Greenlet::link_error`].
    #[track_caller]
    pub fn link_error(&self, f: impl FnOnce(&Ended) + Send + 'static) -> LinkId {
        link::link(&self.task, When::Error, f)
    }

    /// As [`Greenlet::unlink`].
    pub fn unlink(&self, id: LinkId) -> bool {
        self.task.remove_link(id).is_some()
    }

    /// As [`Greenlet::unlink_all`].
    pub fn unlink_all(&self) {
        drop(self.task.remove_links());
    }

    /// As [`Greenlet::has_links`].
    pub fn has_links(&self) -> bool {
        self.task.has_links()
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

impl<T> From<&Greenlet<T>> for Handle {
    fn from(greenlet: &Greenlet<T>) -> Self {
        greenlet.handle()
    }
}

impl From<&Handle> for Handle {
    fn from(handle: &Handle) -> Self {
        handle.clone()
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
/// without one; so call it in a loop around the condition. Any other wait of the greenlet that comes in between (for a lock,
/// a queue, a socket) may take the token, and goes on waiting: look at the condition after the last of these.
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
