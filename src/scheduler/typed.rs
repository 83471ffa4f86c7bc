//! The part of a task that depends on its types: the closure, then the outcome, and what is done with them.
//!
//! [`task`](super::task) says who owns what, rule by rule.
#![allow(unsafe_code)] // Behind a pointer whose types the vtable knows.

use core::alloc::Layout;
use core::cell::UnsafeCell;
use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;
use std::alloc::alloc;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::cells;
use super::task::{DETACHED, DONE, End, Failure, HAS_JOINERS, Header};

pub(super) type Outcome<T> = Result<T, Failure>;

pub(super) enum Stage<F, T> {
    Pending(F),
    Running,
    Finished(Outcome<T>),
    Taken,
}

#[derive(Debug)]
pub(super) struct VTable {
    pub(super) run: unsafe fn(NonNull<Header>),
    pub(super) fail: unsafe fn(NonNull<Header>, Failure) -> Option<Box<dyn Unrun>>,
    pub(super) take: unsafe fn(NonNull<Header>, *mut ()) -> bool,
    pub(super) drop_outcome: unsafe fn(NonNull<Header>),
    pub(super) free: unsafe fn(NonNull<Header>),
}

impl VTable {
    pub(super) const fn of<F, T>() -> Self
    where
        F: FnOnce() -> T,
    {
        VTable {
            run: run::<F, T>,
            fail: fail::<F, T>,
            take: take::<F, T>,
            drop_outcome: drop_outcome::<F, T>,
            free: free::<F, T>,
        }
    }
}

#[repr(C)]
pub(super) struct TaskCell<F, T> {
    pub(super) header: Header,
    pub(super) stage: UnsafeCell<Stage<F, T>>,
}

/// The greenlet's code: runs on its stack.
unsafe fn run<F, T>(task: NonNull<Header>)
where
    F: FnOnce() -> T,
{
    // SAFETY: `task` is the header of a live `TaskCell<F, T>` (repr C, header first); by the
    // caller's promise and rule 1 the stage is ours.
    let stage = unsafe { task.cast::<TaskCell<F, T>>().as_ref() }
        .stage
        .get();
    // SAFETY: as above.
    let before = unsafe { mem::replace(&mut *stage, Stage::Running) };
    // SAFETY: the header is alive while the queue's reference is, which the runner holds.
    let header = unsafe { task.as_ref() };
    let interrupted = header.is_interrupted();
    let Stage::Pending(f) = before else {
        unreachable!("a task runs once")
    };
    let failure = match catch_unwind(AssertUnwindSafe(|| {
        if interrupted {
            drop(f);
            None
        } else {
            header.started.store(true, Ordering::Relaxed);
            Some(f())
        }
    })) {
        Ok(Some(value)) => {
            // SAFETY: as above, on the hub's thread; not DONE yet. What is overwritten is Running, which
            // has nothing to drop. Written here and not where both outcomes meet: a copy of what
            // was just written would stall.
            unsafe {
                header.drop_belongings();
                stage.write(Stage::Finished(Ok(value)));
                announce::<F, T>(task, End::Value);
            }
            return;
        }
        // SAFETY: `task` is this header, and the runner holds a reference; so in the next line.
        Ok(None) => unsafe { header.end_unrun(task) },
        // SAFETY: as above.
        Err(payload) => unsafe { header.end_unwound(task, payload) },
    };
    let end = failure.end();
    // SAFETY: as above.
    unsafe {
        header.drop_belongings();
        stage.write(Stage::Finished(Err(failure)));
        announce::<F, T>(task, end);
    }
}

/// A closure that will not run: there to be dropped.
pub(super) trait Unrun {}

impl<F> Unrun for F {}

/// As `Box::new`; leaks what there is no memory for.
fn boxed<F>(f: F) -> Option<Box<F>> {
    let layout = Layout::new::<F>();
    if layout.size() == 0 {
        return Some(Box::new(f));
    }
    // SAFETY: the size is not zero.
    let place = unsafe { alloc(layout) }.cast::<F>();
    if place.is_null() {
        mem::forget(f);
        return None;
    }
    // SAFETY: memory for an `F`, of the allocator that a box gives it back to.
    unsafe {
        place.write(f);
        Some(Box::from_raw(place))
    }
}

/// Ends a task from outside, and gives its closure if that is there and may be dropped later.
unsafe fn fail<F, T>(task: NonNull<Header>, failure: Failure) -> Option<Box<dyn Unrun>>
where
    F: FnOnce() -> T,
{
    // SAFETY: `task` is the header of a live `TaskCell<F, T>`, whose stage is ours (rule 1).
    let stage = unsafe { task.cast::<TaskCell<F, T>>().as_ref() }
        .stage
        .get();
    // SAFETY: as above; the caller's reference keeps the task alive.
    let header = unsafe { task.as_ref() };
    let outlives_all = matches!(failure, Failure::NotStarted(_)) && !header.borrows();
    // SAFETY: as above.
    let (before, end) = unsafe {
        let end = failure.end();
        (
            mem::replace(&mut *stage, Stage::Finished(Err(failure))),
            end,
        )
    };
    // Nothing is dropped here, in the hub's loop, where a destructor of the user's could not block.
    let closure = match before {
        Stage::Pending(f) if outlives_all => {
            boxed(f).map(|f| {
                let closure: Box<dyn Unrun + '_> = f;
                // SAFETY: what does not borrow from a frame (`borrows`) is 'static, by the bounds of those who spawn it. Only the
                // compiler cannot know.
                unsafe { mem::transmute::<Box<dyn Unrun + '_>, Box<dyn Unrun>>(closure) }
            })
        }
        before => {
            mem::forget(before);
            None
        }
    };
    // SAFETY: as above.
    unsafe { announce::<F, T>(task, end) };
    closure
}

/// The outcome is stored: drops it if nobody will ask, and tells those who wait.
#[inline(always)]
unsafe fn announce<F, T>(task: NonNull<Header>, end: End)
where
    F: FnOnce() -> T,
{
    // SAFETY: the caller's reference keeps the task alive.
    let header = unsafe { task.as_ref() };
    let mut before = header.state.load(Ordering::Acquire);
    let mut ours = false;
    loop {
        if before & DETACHED != 0 && !ours {
            // First, while it can still be woken and killed: a destructor may wait, for other threads too.
            // SAFETY: DETACHED comes before DONE, so the outcome is ours (rule 2).
            unsafe { drop_outcome::<F, T>(task) };
            ours = true;
        }
        let after = before | DONE | end.into_state();
        let exchange =
            header
                .state
                .compare_exchange_weak(before, after, Ordering::AcqRel, Ordering::Acquire);
        match exchange {
            Ok(_) => break,
            Err(now) => before = now,
        }
    }
    if before & HAS_JOINERS != 0 {
        // SAFETY: as above.
        unsafe { header.tell(task) };
    }
}

/// Drops a user's value whose destructor may panic: the panic hook has then reported it, and
/// nobody is left to take the payload.
pub(super) fn drop_quietly<V>(value: V) {
    if mem::needs_drop::<V>() {
        let _ = catch_unwind(AssertUnwindSafe(|| drop(value))).map_err(mem::forget);
    }
}

/// Moves the outcome out; if it is a value and the caller's reference the last, frees the task and says
/// so.
unsafe fn take<F, T>(task: NonNull<Header>, out: *mut ()) -> bool {
    // SAFETY: by the caller's promise the stage is the caller's, and `out` has room for an
    // `Outcome<T>`. If the caller's reference is the last, nobody can make another.
    unsafe {
        let cell = task.cast::<TaskCell<F, T>>().as_ref();
        let Stage::Finished(outcome) = mem::replace(&mut *cell.stage.get(), Stage::Taken) else {
            unreachable!("an outcome is taken once, after the end")
        };
        // Acquire pairs with the Release of the other drops.
        let last = outcome.is_ok() && cell.header.refs.load(Ordering::Acquire) == 1;
        out.cast::<Outcome<T>>().write(outcome);
        if last {
            free::<F, T>(task);
        }
        last
    }
}

unsafe fn drop_outcome<F, T>(task: NonNull<Header>) {
    // SAFETY: by the caller's promise the stage is the caller's.
    let old = unsafe {
        let stage = task.cast::<TaskCell<F, T>>().as_ref().stage.get();
        match &*stage {
            Stage::Finished(_) => mem::replace(&mut *stage, Stage::Taken),
            _ => return,
        }
    };
    drop_quietly(old);
}

unsafe fn free<F, T>(task: NonNull<Header>) {
    // SAFETY: no reference is left, and the memory was obtained for this type. The stage is
    // Taken (or Running for a thread's own stack, and for what was abandoned), by rules 2 and 3.
    unsafe {
        let cell = task.cast::<TaskCell<F, T>>();
        core::ptr::drop_in_place(cell.as_ptr());
        cells::free(cell.cast(), Layout::new::<TaskCell<F, T>>());
    }
}
