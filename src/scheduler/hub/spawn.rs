//! New greenlets: queued at once, or kept until their alarm.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use std::io;

use super::Hub;
use crate::scheduler::queue::Work;
use crate::scheduler::task::{Attributes, Header, TaskRef};
use crate::stack::StackSize;

/// Greenlet numbers are taken from the process's counter in blocks of this many.
const ID_BLOCK: u64 = 1024;

impl Hub {
    /// Queues a new greenlet. Its stack is promised here and taken at its first run.
    pub(in crate::scheduler) fn spawn<F, T>(
        &self,
        name: Option<Box<str>>,
        size: StackSize,
        measure: bool,
        f: F,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T,
    {
        let (task, queued) = self.new_task(name, size, measure, f)?;
        self.push(Work::Start(queued));
        Ok(task)
    }

    /// As [`Hub::spawn`], but the greenlet starts when [`Hub::start_delayed`] is called, or
    /// when it is killed. `arm` gets its number and returns the alarm to cancel in the latter case.
    pub(crate) fn spawn_delayed<F, T>(
        &self,
        f: F,
        arm: impl FnOnce(u64) -> u64,
    ) -> io::Result<TaskRef>
    where
        F: FnOnce() -> T,
    {
        let (task, queued) = self.new_task(None, StackSize::DEFAULT, false, f)?;
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

    fn new_task<F, T>(
        &self,
        name: Option<Box<str>>,
        size: StackSize,
        measure: bool,
        f: F,
    ) -> io::Result<(TaskRef, NonNull<Header>)>
    where
        F: FnOnce() -> T,
    {
        self.pool.promise(size)?;
        let attributes = Attributes {
            id: self.next_id(),
            name,
            size,
            measure,
            shared: self.shared,
        };
        let (task, queued) = TaskRef::new(&self.cells, attributes, f);
        self.live.set(self.live.get() + 1);
        self.spawned.set(self.spawned.get() + 1);
        tracing::trace!(target: "rustlet", id = task.id, name = task.name(), "spawn");
        Ok((task, queued))
    }

    fn next_id(&self) -> u64 {
        static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);
        let mut id = self.next_id.get();
        if id.is_multiple_of(ID_BLOCK) {
            id = NEXT_BLOCK.fetch_add(ID_BLOCK, Ordering::Relaxed);
        }
        self.next_id.set(id + 1);
        id + 1
    }
}
