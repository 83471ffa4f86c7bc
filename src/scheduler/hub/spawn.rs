//! New greenlets: queued at once, kept until their alarm, or sent to another hub.
#![allow(unsafe_code)] // Takes the queue's reference of a new task.

use core::panic::Location;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;

use super::Hub;
use crate::scheduler::inbox::Shared;
use crate::scheduler::local::Heritage;
use crate::scheduler::queue::Work;
use crate::scheduler::task::{
    ARRIVING, Attributes, DETACHED, Failure, Header, IN_INBOX, MOVED, SPARED, TaskRef,
};
use crate::stack::StackSize;

/// Greenlet numbers are taken from the process's counter in blocks of this many.
const ID_BLOCK: u64 = 1024;

/// The process's counter: where the next block begins.
static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);

/// The smallest number that a greenlet may get of a hub that is made now.
pub(super) fn next_block() -> u64 {
    NEXT_BLOCK.load(Ordering::Relaxed)
}

impl Hub {
    /// Queues a new greenlet. Its stack is promised here and taken at its first run.
    pub(in crate::scheduler) fn spawn<F, T>(
        &self,
        name: Option<Box<str>>,
        size: Option<StackSize>,
        measure: bool,
        spawned_at: &'static Location<'static>,
        f: F,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T,
    {
        let size = size.unwrap_or(self.size.get());
        let heritage = self.heritage();
        let attributes = self.attributes(name, size, measure, Some(self.shared), spawned_at);
        let (task, queued) = self.new_task(heritage, attributes, f)?;
        self.push(Work::Start(queued));
        Ok(task)
    }

    /// As [`Hub::spawn`], for greenlets of the library's own, which the hub's loop may spawn: they inherit nothing, as cloning is the user's code.
    pub(super) fn spawn_own(
        &self,
        name: Option<Box<str>>,
        spawned_at: &'static Location<'static>,
        f: fn(),
    ) -> io::Result<TaskRef> {
        let size = self.size.get();
        let attributes = self.attributes(name, size, false, Some(self.shared), spawned_at);
        let (task, queued) = self.new_task(Heritage::default(), attributes, f)?;
        self.push(Work::Start(queued));
        Ok(task)
    }

    /// As [`Hub::spawn`], for a closure that may borrow what is gone when the greenlet is done.
    pub(in crate::scheduler) fn spawn_borrowing<F, T>(
        &self,
        spawned_at: &'static Location<'static>,
        f: F,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T,
    {
        let heritage = self.heritage();
        let attributes = Attributes {
            borrows: true,
            ..self.attributes(None, self.size.get(), false, Some(self.shared), spawned_at)
        };
        let (task, queued) = self.new_task(heritage, attributes, f)?;
        self.push(Work::Start(queued));
        Ok(task)
    }

    /// As [`Hub::spawn`], but the greenlet starts when [`Hub::start_delayed`] is called, or
    /// when it is killed. `arm` gets its number and returns the alarm to cancel in the latter case.
    pub(crate) fn spawn_delayed<F, T>(
        &self,
        spawned_at: &'static Location<'static>,
        f: F,
        arm: impl FnOnce(u64) -> u64,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T,
    {
        let heritage = self.heritage();
        let attributes =
            self.attributes(None, self.size.get(), false, Some(self.shared), spawned_at);
        let (task, queued) = self.new_task(heritage, attributes, f)?;
        // SAFETY: the second reference of `new`, kept in the table instead of the queue.
        let delayed = unsafe { TaskRef::from_raw(queued) };
        let alarm = arm(task.id);
        self.delayed.borrow_mut().insert(task.id, (delayed, alarm));
        Ok(task)
    }

    /// Queues a delayed greenlet, unless it was queued because of a kill.
    pub(crate) fn start_delayed(&self, id: u64) {
        if let Some((task, _)) = self.delayed.borrow_mut().remove(&id) {
            self.push(Work::Start(task.into_raw()));
        }
    }

    /// Starts a killed greenlet that was delayed, so that its closure is dropped in good order.
    pub(in crate::scheduler) fn hasten(&self, id: u64) {
        let delayed = self.delayed.borrow_mut().remove(&id);
        if let Some((task, alarm)) = delayed {
            if let Some(alarms) = self.alarms.get() {
                alarms.cancel(alarm);
            }
            self.push(Work::Start(task.into_raw()));
        }
    }

    pub(super) fn hasten_all(&self) {
        let delayed: Vec<u64> = self.delayed.borrow().keys().copied().collect();
        for id in delayed {
            self.hasten(id);
        }
    }

    /// Queues a greenlet for the sake of `ended`, on that one's hub; here, if that hub is no more.
    /// The end of the thread does not kill it before it has begun. If there is no stack for it, `f` is called when there is one, by who drops what
    /// got none ([`super::unrun`]).
    pub(in crate::scheduler) fn spawn_for<F>(
        &self,
        ended: &TaskRef,
        spawned_at: &'static Location<'static>,
        f: F,
    ) where
        F: FnOnce() + Send + Clone + 'static,
    {
        let attributes = |shared| Attributes {
            id: self.next_id(),
            name: None,
            size: StackSize::DEFAULT,
            measure: false,
            shared: Some(shared),
            parent: ended.id,
            spawned_at,
            borrows: false,
        };
        // A thread's own code, number 0, is done when its hub ends. Of one that was moved its number says nothing; should another
        // hub have followed there, that one serves as well.
        let moved = ended.state.load(Ordering::Relaxed) & MOVED != 0;
        let lives = |there: &Shared| match ended.id {
            0 => !ended.is_done(),
            id => moved || there.is_hub_of(id),
        };
        let there = ended.home().filter(|there| !ptr::eq(*there, self.shared));
        if let Some(there) = there.filter(|there| lives(there)) {
            let (task, queued) = TaskRef::new(&self.cells, attributes(there), f.clone());
            let flags = DETACHED | SPARED | ARRIVING | IN_INBOX;
            task.state.fetch_or(flags, Ordering::Relaxed);
            // SAFETY: the second reference of `new`, for the inbox instead of the queue.
            if there.push_new(unsafe { TaskRef::from_raw(queued) }) {
                return;
            }
        }
        if let Err(error) = self.pool.promise(StackSize::DEFAULT) {
            tracing::warn!(target: "rustlet", id = ended.id, %error, "no stack for what follows an end; it comes later");
            return self.keep_to_be_called(f);
        }
        let (task, queued) = TaskRef::new(&self.cells, attributes(self.shared), f);
        task.state.fetch_or(DETACHED | SPARED, Ordering::Relaxed);
        self.note_spawn(&task);
        self.note_arrival();
        self.push(Work::Start(queued));
    }

    /// What came through the inbox: a greenlet to be started, or one that was woken or interrupted.
    pub(super) fn admit(&self, task: TaskRef) {
        if task.state.load(Ordering::Relaxed) & ARRIVING != 0 {
            task.state.fetch_and(!ARRIVING, Ordering::Relaxed);
            self.admit_new(task);
            return;
        }
        if task.is_interrupted() {
            self.note_kill(&task);
        }
        self.unpark(&task);
    }

    #[cold]
    fn admit_new(&self, task: TaskRef) {
        self.note_arrival();
        match self.pool.promise(task.size) {
            Ok(()) => self.push(Work::Start(task.into_raw())),
            Err(error) => self.give_up(&task, error),
        }
    }

    /// Ends a greenlet that gets no stack.
    #[cold]
    pub(super) fn give_up(&self, task: &TaskRef, error: io::Error) {
        tracing::error!(target: "rustlet", id = task.id, %error, "no stack");
        self.note_end();
        // SAFETY: it is Pending, on its hub's thread.
        if let Some(closure) = unsafe { task.fail(Failure::NotStarted(error)) } {
            self.keep_unrun(task, closure);
        }
    }

    /// A task of this hub, with a promise of a stack.
    #[inline(always)]
    pub(super) fn new_task<F, T>(
        &self,
        heritage: Heritage,
        attributes: Attributes,
        f: F,
    ) -> io::Result<(TaskRef, NonNull<Header>)>
    where
        F: FnOnce() -> T,
    {
        self.pool.promise(attributes.size)?;
        let (task, queued) = TaskRef::new(&self.cells, attributes, f);
        heritage.give_to(&task);
        self.note_spawn(&task);
        self.note_arrival();
        Ok((task, queued))
    }

    #[inline(always)]
    pub(super) fn attributes(
        &self,
        name: Option<Box<str>>,
        size: StackSize,
        measure: bool,
        shared: Option<&'static Shared>,
        spawned_at: &'static Location<'static>,
    ) -> Attributes {
        Attributes {
            id: self.next_id(),
            name,
            size,
            measure,
            shared,
            parent: self.current().task.id,
            spawned_at,
            borrows: false,
        }
    }

    /// Code of this hub has spawned a greenlet.
    #[inline(always)]
    pub(super) fn note_spawn(&self, task: &TaskRef) {
        self.counters.spawned.add(1);
        tracing::trace!(target: "rustlet", id = task.id, name = task.name(), "spawn");
    }

    /// A greenlet belongs to this hub from now on.
    #[inline(always)]
    pub(super) fn note_arrival(&self) {
        self.counters.live.add(1);
    }

    /// A greenlet of this hub has ended.
    #[inline(always)]
    pub(super) fn note_end(&self) {
        let counters = &self.counters;
        counters.live.set(counters.live.get() - 1);
        counters.finished.add(1);
    }

    fn next_id(&self) -> u64 {
        let mut id = self.next_id.get();
        if id.is_multiple_of(ID_BLOCK) {
            id = NEXT_BLOCK.fetch_add(ID_BLOCK, Ordering::Relaxed);
        }
        self.next_id.set(id + 1);
        id + 1
    }
}
