//! The children of a frame: whom it must see out before it returns, and why it ends early.
//!
//! ```text
//!   frame:   body runs ──► body has ended ──► waits for the children ──────────► all done ──► returns
//!                              │ unwinding        │ killed, timed out,             ▲
//!                              ▼                  ▼ deadlocked                     │
//!                            cancel ◄─────────────┘                                │
//!                              └──► children are killed ──► waits, whatever comes ─┘
//! ```
//! # Why nothing dangles
//! Children borrow from frames that lie below this one. It does not return, nor unwind further, before the list of
//! children is empty:
//! - A child enters the list before it exists, and leaves it when it has dropped its closure and its
//!   value ([`mod@super::scope`]), or never runs again: it is done without having left the list only if it got no stack,
//!   or was abandoned at the end of its thread. What it holds is leaked then, and never touched.
//! - The body is run under `catch_unwind`: whatever unwinds it stops here and goes on when the list is empty. So the
//!   wait is not one of a destructor, in which a greenlet cannot be suspended.
//! - That wait cannot be interrupted: kills and limits stay pending until it is over. A child that
//!   catches its kill is unwound again at its next suspension; while it refuses, the frame waits.
//! - Between the catch and the end of the wait nothing of the user's runs but a subscriber of [`tracing`] events. If that
//!   panics, the process is aborted ([`Bomb`]).
//! - Where it can neither wait nor return, the process is aborted. That is so if the frame is a raw greenlet's that is
//!   dropped while the thread unwinds from a panic, and if children that were killed wait for ever.
//! - When the frame's own greenlet is abandoned at the end of its thread, or its raw greenlet is leaked, the frame
//!   stays in memory, and what the children borrow with it.
//!
//! # Locks
//! The list lies behind a short lock. Handles and payloads are dropped after it is given back.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::roster::{Key, Roster};
use crate::scheduler::interrupt::{self, ScopeId};
use crate::scheduler::park::Obstacle;
use crate::scheduler::scoped::{self, Interrupts};
use crate::scheduler::{Deadlock, TaskRef};
use crate::sys::short_lock::ShortLock;

type Payload = Box<dyn Any + Send>;

/// What this is to a user who reads of it.
const FRAME: &str = "a scope";

/// What a frame and its children share. The frame may be gone when a child's last lines, which touch this
/// alone, run: hence counted.
#[derive(Debug)]
pub(super) struct Children {
    owner: TaskRef,
    state: ShortLock<State>,
}

#[derive(Debug)]
struct State {
    /// `None` while a child is being made.
    children: Roster<Option<TaskRef>>,
    /// The body, while it runs.
    body: Option<ScopeId>,
    cancelled: bool,
    panic: Option<Payload>,
}

/// How the body ended, if neither it nor a child unwinds the frame.
#[derive(Debug)]
pub(super) enum Body<T> {
    Returned(T),
    /// It was unwound by [`Children::cancel`].
    Cancelled,
}

impl Children {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Children {
            owner: scoped::current_task(),
            state: ShortLock::new(State {
                children: Roster::new(),
                body: None,
                cancelled: false,
                panic: None,
            }),
        })
    }

    /// A place for a child that is about to be spawned.
    pub(super) fn reserve(&self) -> Key {
        self.state.lock().children.push(None)
    }

    /// Puts the child there. If all is cancelled already, it is killed before it starts.
    pub(super) fn enter(&self, key: Key, child: TaskRef) {
        let mut state = self.state.lock();
        let kill = state.cancelled.then(|| child.clone());
        if let Some(place) = state.children.get_mut(key) {
            *place = Some(child);
        }
        drop(state);
        if let Some(child) = kill {
            interrupt::kill(&child);
        }
    }

    /// A child has ended, or was never spawned. It must not touch what it borrowed afterwards.
    pub(super) fn leave(&self, key: Key) {
        let left = self.state.lock().children.remove(key);
        drop(left);
    }

    /// How many children there are now.
    pub(super) fn len(&self) -> usize {
        self.state.lock().children.len()
    }

    /// Whether [`Children::cancel`] was called.
    pub(super) fn is_cancelled(&self) -> bool {
        self.state.lock().cancelled
    }

    /// Kills the children, those to come too, and unwinds the body.
    pub(super) fn cancel(&self) {
        let mut state = self.state.lock();
        if mem::replace(&mut state.cancelled, true) {
            return;
        }
        let body = state.body;
        let children = state.children.iter();
        let children: Vec<TaskRef> = children.filter_map(|(_, child)| child.clone()).collect();
        drop(state);
        let me = scoped::current_task();
        for child in children {
            // The one that failed is about to end.
            if !child.is(&me) {
                interrupt::kill(&child);
            }
        }
        if let Some(body) = body {
            scoped::hit_from_anywhere(&self.owner, body);
        }
    }

    /// Keeps a payload for the frame to end with, if it is the first, and cancels the rest.
    pub(super) fn fail(&self, payload: Payload) {
        let mut state = self.state.lock();
        let late = match state.panic {
            None => {
                state.panic = Some(payload);
                None
            }
            Some(_) => Some(payload),
        };
        drop(state);
        if let Some(late) = late {
            discard(late);
        }
        self.cancel();
    }

    /// Runs `body`, then waits until all children have ended, and unwinds if there is reason to.
    pub(super) fn see_out<T>(&self, body: impl FnOnce() -> T) -> Body<T> {
        let ended = catch_unwind(AssertUnwindSafe(|| self.run(body)));
        let bomb = Bomb;
        let mut trouble = None;
        if let Ok(Some(_)) = ended {
            trouble = self.wait(Interrupts::Heed).err();
        }
        if trouble.is_some() || !matches!(ended, Ok(Some(_))) {
            self.cancel();
            if let Err(obstacle) = self.wait(Interrupts::Ignore) {
                stuck(FRAME, self.len(), &obstacle);
            }
        }
        // No child is left: from here on this may unwind.
        mem::forget(bomb);
        let panic = self.state.lock().panic.take();
        match (ended, panic) {
            (Err(own), panic) => {
                if let Some(panic) = panic {
                    discard(panic);
                }
                resume_unwind(own)
            }
            (Ok(ended), Some(panic)) => {
                drop(ended);
                resume_unwind(panic)
            }
            (Ok(ended), None) => {
                match trouble {
                    Some(Obstacle::Interrupted) => scoped::raise_pending(),
                    Some(Obstacle::Deadlock(report)) => deadlocked(FRAME, &report),
                    _ => {}
                }
                ended.map_or(Body::Cancelled, Body::Returned)
            }
        }
    }

    /// Runs the body where it can be unwound to; `None` if it was.
    fn run<T>(&self, body: impl FnOnce() -> T) -> Option<T> {
        struct Left<'a>(&'a Children);
        impl Drop for Left<'_> {
            fn drop(&mut self) {
                self.0.state.lock().body = None;
            }
        }
        let entered = |id| {
            self.state.lock().body = Some(id);
            Left(self)
        };
        interrupt::Scope::enter(entered, body)
    }

    /// Waits until there are no children. The youngest first: mostly it is the last to end, and one wait is
    /// enough.
    fn wait(&self, interrupts: Interrupts) -> Result<(), Obstacle> {
        while let Some((key, child)) = self.youngest() {
            scoped::wait_for_end(&child, interrupts)?;
            // It has left already, unless it never ran or never will again.
            let mut state = self.state.lock();
            let lost = match state.children.get_mut(key) {
                Some(Some(other)) if other.is(&child) => state.children.remove(key),
                _ => None,
            };
            drop(state);
            if lost.is_some() {
                self.fail(Box::new(format!(
                    "greenlet #{} of a scope did not run to its end: it got no stack, or its thread \
                     has ended",
                    child.id
                )));
            }
        }
        Ok(())
    }

    fn youngest(&self) -> Option<(Key, TaskRef)> {
        loop {
            let state = self.state.lock();
            if state.children.is_empty() {
                return None;
            }
            let mut children = state.children.latest_first();
            if let Some((key, child)) =
                children.find_map(|(key, child)| Some((key, child.clone()?)))
            {
                return Some((key, child));
            }
            // Places alone: somebody is about to put a child there, on another thread.
            drop(children);
            drop(state);
            crate::sys::thread::let_others_run();
        }
    }
}

/// Aborts the process if the code that must not unwind does.
pub(super) struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        eprintln!("rustlet: panicked while greenlets that borrow had to be waited for");
        std::process::abort();
    }
}

/// Drops a payload, whatever its destructor does: the panic hook has reported it.
pub(super) fn discard(payload: Payload) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(second);
    }
}

/// `frame` is what waits, in the reports' words.
#[cold]
pub(super) fn deadlocked(frame: &str, report: &Deadlock) -> ! {
    panic!("waiting for the greenlets of {frame}: {report}")
}

/// Returning would leave children with dangling borrows.
#[cold]
pub(super) fn stuck(frame: &str, children: usize, obstacle: &Obstacle) -> ! {
    match obstacle {
        Obstacle::Deadlock(report) => {
            eprintln!("rustlet: {children} killed greenlets of {frame} never end: {report}");
        }
        _ => eprintln!(
            "rustlet: {frame} was left while the thread unwinds from a panic, with {children} \
             greenlets that could not be waited for"
        ),
    }
    std::process::abort()
}
