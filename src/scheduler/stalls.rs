//! Hubs as others see them: which there are, whether they go on, and whose code keeps one that does not.
//!
//! ```text
//!   a thread's hub:  made ─► in HUBS ─► ended: out of HUBS, then freed
//!   any thread:      progress() twice: the same number, and a greenlet waits to be served ─► stuck in between
//!                    culprit(): a signal makes the thread itself look ([`crate::sys::stack_sample`])
//! ```
//! Nothing is counted or noted for this: it reads what hubs count anyway ([`super::counters`]). Whoever watches does so from a
//! thread of its own (`crate::inspect`).
//!
//! # In the signal handler
//! [`visit`] runs between any two instructions of a hub's thread. It reads this thread's hub, which is either whole or not to be
//! found: the pointer is set last and cleared before the hub is freed. From there it takes whose code is current, a control block that is alive
//! whenever it is named there, and counts one more reference to its task, of which the control block holds one. It frees
//! nothing.
#![allow(unsafe_code)] // A task's reference travels through a signal handler as a pointer.

use core::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::counters::Counters;
use super::hub::{self, Hub};
use super::task::{Header, TaskRef};
use super::waits::Who;
use crate::sys::stack_sample::{self, End, Outcome};

/// How long a thread may take to notice the signal: it may have to share a processor with many.
const PATIENCE: Duration = Duration::from_secs(2);

/// The hubs of the process.
static HUBS: Mutex<Vec<Subject>> = Mutex::new(Vec::new());

/// A hub, for other threads.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// No two hubs of a process have the same.
    pub(crate) hub: u64,
    /// The kernel's number of its thread.
    pub(crate) thread: u32,
    /// The thread's name, as it was when the hub was made.
    pub(crate) name: Option<Box<str>>,
    /// Which worker of its runtime it is.
    pub(crate) worker: Option<usize>,
    counters: Arc<Counters>,
}

/// A number that grows whenever the hub does anything but to run one and the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress(u64);

impl Progress {
    fn of(counters: &Counters) -> Progress {
        // Each of them only ever grows: two sums are equal only if all of the parts are.
        let parts = [
            &counters.turns,
            &counters.switches,
            &counters.looked,
            &counters.idle,
        ];
        let parts = parts.iter().map(|count| count.get());
        Progress(parts.fold(0, u64::wrapping_add))
    }
}

/// What keeps a hub.
#[derive(Debug)]
pub(crate) struct Culprit {
    /// `None` if the thread did not answer.
    pub(crate) who: Option<Who>,
    /// Addresses of code, innermost first: the first is that of the next instruction, the others are return addresses.
    pub(crate) frames: Vec<usize>,
    /// Why these are not all.
    pub(crate) note: Option<&'static str>,
}

/// A hub has been made on the calling thread.
pub(super) fn enter(hub: &Hub, name: Option<&str>) {
    let subject = Subject {
        hub: hub.shared.hub_id(),
        thread: stack_sample::thread(),
        name: name.map(Into::into),
        worker: None,
        counters: hub.counters.clone(),
    };
    lock().push(subject);
}

/// The calling thread's hub has become a worker's.
pub(super) fn became_worker(hub: &Hub, worker: usize) {
    let id = hub.shared.hub_id();
    if let Some(subject) = lock().iter_mut().find(|subject| subject.hub == id) {
        subject.worker = Some(worker);
    }
}

/// The calling thread's hub ends.
pub(super) fn leave(hub: &Hub) {
    let id = hub.shared.hub_id();
    lock().retain(|subject| subject.hub != id);
}

fn lock() -> std::sync::MutexGuard<'static, Vec<Subject>> {
    HUBS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All hubs of the process.
pub(crate) fn subjects() -> Vec<Subject> {
    lock().clone()
}

impl Subject {
    /// How far the hub has come; `None` if it sleeps, or has no greenlet: then it is not expected to come anywhere.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let counters = &self.counters;
        let expected = counters.asleep_since.get() == 0 && counters.live.get() > 0;
        expected.then(|| Progress::of(counters))
    }

    /// Greenlets that it has.
    pub(crate) fn live(&self) -> usize {
        self.counters.live.get() as usize
    }

    /// Whose code keeps the hub, and which; `None` if it has gone on since `progress`.
    ///
    /// Blocks the calling thread until the hub's has answered. After [`stack_sample::prepare`].
    pub(crate) fn culprit(&self, progress: Progress) -> Option<Culprit> {
        let question = [self.hub, progress.0];
        let sample = match stack_sample::take(self.thread, visit, question, PATIENCE) {
            Outcome::Sampled(sample) => sample,
            Outcome::Declined => return None,
            Outcome::NoAnswer if self.progress() != Some(progress) => return None,
            Outcome::NoAnswer => {
                return Some(Culprit {
                    who: None,
                    frames: Vec::new(),
                    note: Some("the thread did not answer the signal that asks for it"),
                });
            }
        };
        let who = sample.whose.map(|task| {
            // SAFETY: from `visit`, which is what gave the sample its word; taken back once.
            let task = unsafe { TaskRef::from_raw(task.cast::<Header>()) };
            Who::new(&task)
        });
        let note = match sample.end {
            End::Outermost | End::Declined => None,
            End::Cut => Some("cut here: the stack is deeper"),
            End::Fault => Some("ends here: the stack could not be read further"),
            End::NoRoom => Some("ends here: the thread's signal stack has no room for more"),
        };
        Some(Culprit {
            who,
            frames: sample.frames,
            note,
        })
    }
}

/// In a signal handler on a hub's thread: the task of the current code, with a reference of its own, if this is the hub
/// that was meant and it has not gone on.
fn visit([id, progress]: [u64; 2]) -> Option<NonNull<()>> {
    let hub = hub::existing()?;
    if hub.shared.hub_id() != id || Progress::of(&hub.counters) != Progress(progress) {
        return None;
    }
    Some(hub.current().task.clone().into_raw().cast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::stack_sample::{prepare, take, thread};

    /// A thread with a hub, that blocks until the end of the test.
    fn with_a_thread(test: impl FnOnce(u32)) {
        let (tell, told) = std::sync::mpsc::channel();
        let (keep, kept) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            hub::get();
            tell.send(thread()).unwrap();
            let _ = kept.recv();
            // It is as it was: signals arrive, floating point works.
            std::hint::black_box(1.5_f64) * std::hint::black_box(4.0)
        });
        prepare().unwrap();
        test(told.recv().unwrap());
        drop(keep);
        assert_eq!(thread.join().unwrap(), 6.0);
    }

    #[test]
    fn a_fault_ends_the_look_and_nothing_else() {
        with_a_thread(|thread| {
            let fault = |_: [u64; 2]| -> Option<NonNull<()>> {
                // SAFETY: none: this faults, which is the point; the handler does not come back here.
                unsafe {
                    core::ptr::without_provenance::<Option<NonNull<()>>>(4096).read_volatile()
                }
            };
            let right = |_: [u64; 2]| Some(NonNull::<u8>::dangling().cast());
            for _ in 0..10 {
                let outcome = take(thread, fault, [0; 2], Duration::from_secs(50));
                let Outcome::Sampled(sample) = outcome else {
                    panic!("{outcome:?}");
                };
                assert_eq!((sample.end, sample.whose), (End::Fault, None));
                // The signal is not left blocked, and the desk is free.
                let outcome = take(thread, right, [0; 2], Duration::from_secs(50));
                let Outcome::Sampled(sample) = outcome else {
                    panic!("{outcome:?}");
                };
                assert_eq!(sample.end, End::Outermost);
                assert!(sample.frames.len() > 3, "{sample:?}");
            }
        });
    }

    #[test]
    fn who_has_gone_on_or_is_gone_is_not_looked_at() {
        with_a_thread(|thread| {
            let nothing = |_: [u64; 2]| None;
            let outcome = take(thread, nothing, [0; 2], Duration::from_secs(50));
            assert!(matches!(outcome, Outcome::Declined), "{outcome:?}");
        });
        // Above what the kernel gives to threads.
        let outcome = take(1 << 23, visit, [0; 2], Duration::from_secs(50));
        assert!(matches!(outcome, Outcome::NoAnswer), "{outcome:?}");
    }
}
