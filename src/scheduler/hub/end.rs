//! The end of a thread: its greenlets are killed, and what refuses is abandoned.

use core::cell::Cell;
use core::ptr;
use core::sync::atomic::{Ordering, compiler_fence};

use super::{HUB, Hub};
use crate::coroutine;
use crate::scheduler::driver::Wait;
use crate::scheduler::interrupt::kill_listed;
use crate::scheduler::stalls;
use crate::scheduler::task::{DONE, Failure, TaskRef};
use crate::sys::clock;

/// How often a greenlet that catches its kill is resumed again at the end of its thread.
pub(super) const LAST_ROUNDS: usize = 100;
/// For how long frames that nothing interrupts are left to wait for greenlets of other threads, which are being killed themselves as a
/// rule: half as long as a shutdown waits for a thread.
const PATIENCE: clock::Nanos = 500_000_000;

impl Hub {
    /// The end of the thread: kills what lives, and abandons what refuses.
    fn end(&self) {
        self.leave_team();
        self.kill_all(clock::now() + PATIENCE);
        let refusing = self.counters.live.get();
        // SAFETY: the hub's thread.
        unsafe { self.main.task.drop_belongings() };
        self.shared.close(|task| self.admit(task));
        if self.counters.live.get() > refusing {
            self.kill_all(0); // who came meanwhile; no other thread can wake anybody here any more
        }
        self.abandon_all();
        // The links of those; a link that waits is abandoned as well.
        self.start_spared(|task| self.abandon(task));
        self.abandon_all();
        self.withdraw();
        self.leak_kept();
        self.main.orphan_scopes();
        // Handles to the thread's own code may outlive it.
        self.main.task.state.fetch_or(DONE, Ordering::AcqRel);
        self.main.task.control.set(ptr::null());
    }

    /// Until `patient_until`, frames that nothing interrupts are left to wait for others.
    fn kill_all(&self, patient_until: clock::Nanos) {
        let mut rounds = 0;
        while rounds < LAST_ROUNDS {
            self.drop_kept_at_once();
            if self.counters.live.get() == 0 {
                break;
            }
            let mut listed = Vec::new();
            self.list
                .for_each(|control| listed.push(control.task.clone()));
            listed.iter().for_each(kill_listed);
            self.hasten_all();
            for _ in 0..self.queued() {
                if let Some(entry) = self.pop() {
                    entry.with_task(kill_listed);
                    self.push(entry);
                }
            }
            self.turn_left.set(self.queued());
            let _looping = self.looping();
            self.turn(false);
            let _ = self.between_turns(false);
            if self.queued() == 0 && self.waits_for_others() && clock::now() < patient_until {
                let wait = self.next_wait().unwrap_or(Wait::Forever);
                self.block(wait.no_later(patient_until));
            } else {
                rounds += 1;
            }
        }
    }

    /// Whether there is a frame that nothing interrupts, such as a scope's, and another thread may end what somebody here waits for.
    fn waits_for_others(&self) -> bool {
        self.uninterrupted.get() > 0 && self.externals.get() > 0
    }

    fn abandon_all(&self) {
        let _looping = self.looping();
        self.hasten_all();
        let mut abandoned = Vec::new();
        self.list
            .for_each(|control| abandoned.push(control.task.clone()));
        while let Some(entry) = self.pop() {
            entry.with_task(|task| abandoned.push(task.clone()));
        }
        abandoned.iter().for_each(|task| self.abandon(task));
    }

    fn abandon(&self, task: &TaskRef) {
        if !task.is_done() {
            tracing::warn!(target: "rustlet", id = task.id, "abandoned at the end of its thread");
            self.refused.set(self.refused.get() + 1);
            task.control.set(ptr::null());
            // SAFETY: the hub never resumes it again.
            let closure = unsafe { task.fail(Failure::Abandoned) };
            debug_assert!(closure.is_none(), "there is no stack to drop it on");
        }
    }
}

/// Ends the hub when the thread ends.
pub(super) struct EndOfThread;

impl Drop for EndOfThread {
    fn drop(&mut self) {
        end_of_thread();
    }
}

/// Ends this thread's hub, if it has one; the number of greenlets that refused to die. For the thread's own code, which
/// uses nothing of this crate afterwards.
#[inline(never)]
pub(in crate::scheduler) fn end_of_thread() -> usize {
    // A greenlet that calls `std::process::exit` gets here on its own stack: then nothing is
    // unwound, as on other threads.
    if !coroutine::current().is_null() {
        return 0;
    }
    let hub = HUB.with(Cell::get);
    // SAFETY: as in `get`; it was leaked from a Box, and is taken back once, below.
    let Some(here) = (unsafe { hub.as_ref() }) else {
        return 0;
    };
    here.end();
    stalls::leave(here);
    HUB.with(|cell| cell.set(ptr::null()));
    // A signal handler that finds the hub finds it whole (`stalls`).
    compiler_fence(Ordering::SeqCst);
    let shared = here.shared;
    let refused = here.refused.get();
    // A worker's is its team's, which may still be asked for it.
    let is_worker = here.worker.get().is_some();
    // SAFETY: no greenlet runs any more, and nobody else refers to the hub: tasks and other
    // threads refer to `shared`.
    drop(unsafe { Box::from_raw(hub.cast_mut()) });
    if !is_worker {
        shared.release();
    }
    refused
}
