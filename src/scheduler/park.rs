//! Parks the running greenlet, and wakes it again. Everything in this crate that blocks, blocks here.
//!
//! # Protocol
//! Each greenlet has one token. [`park`] returns at once if the token is there, and takes it;
//! otherwise the greenlet leaves its stack until [`unpark`] leaves the token. An unpark before the park
//! is not lost, and many unparks are one token. A park may return without an unpark meant for it (a
//! token left over from a wait that ended otherwise), so every caller looks at its condition in
//! a loop.
//!
//! ```text
//!            park: running ──► parked ──unpark──► queued ──the hub──► running
//!            unpark first: running(token) ──park──► running
//! ```
//!
//! The code on a thread's own stack parks too: it runs the hub until it is unparked. If nothing can
//! ever do that, it gets a [`Deadlock`] instead.
//!
//! # Who may call what
//! `park`: any code on a hub's thread, on a greenlet's stack or the thread's own. `unpark`: any
//! thread; not a signal handler, because it may free memory. On the hub's own thread an
//! unpark is a few loads and stores; from another thread it goes through the [`super::inbox`].
//!
//! # Why there is no commit callback
//! Runtimes that move started coroutines between threads must run the last step of a wait ("unlock the queue") after the
//! greenlet has left its stack, lest another thread resume it while it still runs. A started
//! greenlet never leaves its hub here, and only the hub resumes it: the token is enough.
//!
//! # While unwinding
//! A greenlet does not suspend while `std::thread::panicking()`: the others on the thread would see
//! it too, and std's locks would poison themselves for no reason. `park` then returns
//! [`ParkError::Unwinding`]; what can wait by blocking the OS thread (sockets, sleep) does, the rest gives
//! its caller an error.
//!
//! # In the hub's loop
//! A waker, a hook, or the destructor of what nobody else held any more may be called by the loop itself. The thread's own code is waiting then,
//! or has its place in the queue, and can do neither twice: such code is as code that unwinds.
#![allow(unsafe_code)] // Reads a task's control block, which its hub owns.

use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use super::control::{Control, Parked};
use super::deadlock::Deadlock;
use super::hub::{self, Hub};
use super::queue::Work;
pub(crate) use super::reason::{Holder, WaitReason};
use super::spans;
use super::task::{DONE, IN_INBOX, PLACED, TaskRef};
use crate::coroutine::{self, Body, Head, YielderPointer, arch::stack_pointer};
use crate::sys::ticks;

/// An unpark that came before the greenlet's first run.
pub(super) const EARLY_TOKEN: u32 = 1 << 5;

/// Why [`park`] did not wait.
#[derive(Debug)]
pub(crate) enum ParkError {
    /// Nothing can ever wake the caller, which is the code on the thread's own stack.
    Deadlock(Deadlock),
    /// The caller is unwinding, or is called by the hub's loop.
    Unwinding,
}

/// Why [`park_quietly`] returned without the token.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// A kill, a scope or a throw is pending: the caller ends its wait and calls [`raise`].
    Interrupted,
    /// As [`ParkError::Deadlock`].
    Deadlock(Deadlock),
    /// As [`ParkError::Unwinding`].
    Unwinding,
}

/// Waits for the token. Returns with the greenlet's pending kill or scope raised, if any.
#[inline(always)]
pub(crate) fn park(reason: WaitReason) -> Result<(), ParkError> {
    match park_quietly(&reason) {
        Ok(()) => Ok(()),
        Err(Obstacle::Interrupted) => raise(),
        Err(Obstacle::Deadlock(report)) => Err(ParkError::Deadlock(report)),
        Err(Obstacle::Unwinding) => Err(ParkError::Unwinding),
    }
}

/// As [`park`], but says that an interrupt is pending instead of raising it, so that the caller can first
/// take itself off a list, or find that it has got what it waited for.
///
/// The suspend is inlined into the caller: behind a call it costs a mispredicted return.
#[inline(always)]
pub(crate) fn park_quietly(reason: &WaitReason) -> Result<(), Obstacle> {
    let Some(control) = prepare(reason, stack_pointer()) else {
        return park_rarely(reason);
    };
    // SAFETY: `prepare` returned the current greenlet's control block, which lives while it runs. All of its
    // data is reached by computation from there.
    unsafe {
        let body = Body::around(control.as_ptr());
        coroutine::suspend_at((*body).head().yielder_near());
        control.as_ref().notified.set(false);
        if (*body).head().is_interrupted() {
            return interrupted();
        }
    }
    Ok(())
}

/// Notes that the running greenlet is parked; `None` if it needs more thought than that.
#[inline(never)]
fn prepare(reason: &WaitReason, stack_pointer: usize) -> Option<NonNull<Control>> {
    if std::thread::panicking() {
        return None;
    }
    let hub = hub::existing_inlined()?;
    let body = hub.current_body()?;
    // SAFETY: a running greenlet's body is alive; the chain is the hub's own thread's.
    let (head, control) = unsafe { ((*body.as_ptr()).head(), &(*body.as_ptr()).data) };
    // SAFETY: as above.
    let innermost = unsafe { head.is_innermost(hub.chain) };
    if !innermost || head.is_interrupted() || control.notified.get() || spans::in_use() {
        return None;
    }
    hub.note_parked(control, reason);
    hub.list.link(control);
    control.stack_pointer.set(stack_pointer);
    Some(NonNull::from(control))
}

/// [`park_quietly`] with all that [`prepare`] does not do itself.
#[cold]
#[inline(never)]
fn park_rarely(reason: &WaitReason) -> Result<(), Obstacle> {
    let hub = hub::get_inlined();
    let control = hub.current();
    if cannot_suspend_on(hub) {
        if control.notified.replace(false) {
            return Ok(());
        }
        return Err(Obstacle::Unwinding);
    }
    if control.interrupted() && control.interrupt_is_pending() {
        // At once: who waits takes itself off its list before anybody else runs. Two killed greenlets would grant each
        // other's waits for ever otherwise.
        return Err(Obstacle::Interrupted);
    }
    if control.notified.replace(false) {
        return Ok(());
    }
    leave_until_unparked(hub, control, reason).map_err(Obstacle::Deadlock)?;
    if control.interrupted() {
        return interrupted();
    }
    Ok(())
}

/// As [`park_quietly`], but nothing interrupts it: what is pending stays so, and is raised at a later
/// suspension. For code that must not return before others have ended.
#[cold]
#[inline(never)]
pub(crate) fn park_uninterrupted(reason: &WaitReason) -> Result<(), ParkError> {
    let hub = hub::get_inlined();
    let control = hub.current();
    if control.notified.replace(false) {
        return Ok(());
    }
    if cannot_suspend_on(hub) {
        return Err(ParkError::Unwinding);
    }
    hub.uninterrupted.set(hub.uninterrupted.get() + 1);
    let result = leave_until_unparked(hub, control, reason);
    hub.uninterrupted.set(hub.uninterrupted.get() - 1);
    result.map_err(ParkError::Deadlock)
}

/// Whether the running code cannot wait by suspending: it unwinds, or is called by the hub's loop.
#[inline(never)]
pub(crate) fn cannot_suspend() -> bool {
    hub::existing_inlined().map_or_else(std::thread::panicking, cannot_suspend_on)
}

fn cannot_suspend_on(hub: &Hub) -> bool {
    std::thread::panicking() || hub.is_in_loop()
}

/// Parks the running code, which has no token.
fn leave_until_unparked(hub: &Hub, control: &Control, reason: &WaitReason) -> Result<(), Deadlock> {
    let spans = spans::leave();
    let result = leave_stack(hub, control, reason);
    spans.enter();
    result
}

fn leave_stack(hub: &Hub, control: &Control, reason: &WaitReason) -> Result<(), Deadlock> {
    if control.is_main() {
        // Who knows how long the thread's own code has run?
        hub.recently.set(ticks::now());
        hub.note_parked(control, reason);
        let result = hub.run_until_main();
        if result.is_err() {
            hub.note_unparked(control);
        }
        control.notified.set(false);
        return result;
    }
    hub.note_parked(control, reason);
    hub.list.link(control);
    control.stack_pointer.set(stack_pointer());
    // SAFETY: this runs on the stack of `control`, the hub's current greenlet, or on one nested in it.
    unsafe { control.suspend(hub) };
    control.notified.set(false);
    Ok(())
}

/// What a wait that ended with the interrupt flag set returns.
#[cold]
#[inline(never)]
fn interrupted() -> Result<(), Obstacle> {
    if hub::get_inlined().current().interrupt_is_pending() {
        return Err(Obstacle::Interrupted);
    }
    Ok(())
}

/// Raises what [`Obstacle::Interrupted`] told of.
#[cold]
#[inline(never)]
pub(crate) fn raise() -> ! {
    let hub = hub::get_inlined();
    let control = hub.current();
    // The first is raised at once. Code that catches it and blocks again has, from then on, to
    // let the others run before each further one, or a loop around a caught kill would hang
    // the thread.
    if control.raised.replace(true) && !std::thread::panicking() {
        hub.let_others_run(control);
    }
    control.raise();
    unreachable!("an interrupt that is pending stays so until it is raised")
}

/// Leaves the token for `task`, waking it if it is parked.
#[inline(never)]
pub(crate) fn unpark(task: &TaskRef) {
    match hub::existing_inlined() {
        Some(hub) if task.is_of(hub.shared) => hub.unpark(task),
        _ => send(task),
    }
}

/// As [`unpark`], for a task that was just marked as killed.
pub(super) fn wake_for_kill(task: &TaskRef) {
    match hub::existing() {
        Some(hub) if task.is_of(hub.shared) => {
            hub.note_kill(task);
            hub.unpark(task);
        }
        _ => send(task),
    }
}

/// Through the inbox, unless it is there already.
fn send(task: &TaskRef) {
    // A task of no hub is told by its state (rule 5 of `task`).
    if task.state.load(Ordering::Acquire) & PLACED == 0
        && task.state.fetch_or(EARLY_TOKEN, Ordering::AcqRel) & PLACED == 0
    {
        return;
    }
    // Release: what the caller did before is visible to the woken greenlet. If the flag was
    // set, the hub has yet to clear it, and will see this write then.
    if task.state.fetch_or(IN_INBOX, Ordering::AcqRel) & (IN_INBOX | DONE) == 0 {
        let home = task.home().expect("PLACED is set after `home`");
        let _ = home.push(task.clone());
    }
}

impl Hub {
    /// [`unpark`] on the hub's own thread.
    #[inline]
    pub(super) fn unpark(&self, task: &TaskRef) {
        // SAFETY: on the hub's thread a non-null `control` is that of a live greenlet.
        let Some(control) = (unsafe { task.control.get().as_ref() }) else {
            task.state.fetch_or(EARLY_TOKEN, Ordering::Relaxed);
            return;
        };
        self.unpark_control(control);
    }

    /// As [`Hub::unpark`], for a greenlet that is known to have its stack.
    #[inline(always)]
    pub(super) fn unpark_control(&self, control: &Control) {
        if !control.notified.replace(true) && self.note_unparked(control) {
            self.push(control.work());
        }
    }

    /// The running code is about to be parked.
    #[inline(always)]
    fn note_parked(&self, control: &Control, reason: &WaitReason) {
        control.reason.set(reason);
        control.since.set(self.recently.get());
        control.waits.set(control.waits.get().wrapping_add(1));
        let mut parked = Parked::WAITS;
        if reason.external {
            self.externals.set(self.externals.get() + 1);
            parked |= Parked::EXTERNALLY;
        }
        if reason.is_traced() && !(control.is_main() && reason.holder.is_null()) {
            self.watch.begin(self.recently.get());
            parked |= Parked::TRACED;
        }
        control.parked.set(parked);
    }

    /// A parked greenlet is about to be queued; false if it is not parked.
    #[inline(always)]
    fn note_unparked(&self, control: &Control) -> bool {
        let parked = control.parked.replace(Parked::NO);
        if parked == Parked::NO {
            return false;
        }
        if parked & Parked::EXTERNALLY != 0 {
            self.externals.set(self.externals.get() - 1);
        }
        if parked & Parked::TRACED != 0 {
            self.watch.end();
        }
        true
    }

    /// Goes to the end of the run queue, without raising.
    fn let_others_run(&self, control: &Control) {
        let spans = spans::leave();
        self.push(control.work_at(stack_pointer()));
        if control.is_main() {
            // The main entry is in the queue, so this ends.
            let _ = self.run_until_main();
        } else {
            // SAFETY: as in `park`; the entry just pushed resumes it.
            unsafe { control.suspend(self) };
        }
        spans.enter();
    }
}

impl Control {
    /// The queue entry that resumes this greenlet, from where it parked.
    #[inline]
    fn work(&self) -> super::hub::Entry {
        self.work_at(self.stack_pointer.get())
    }

    #[inline]
    fn work_at(&self, stack_pointer: usize) -> super::hub::Entry {
        match NonNull::new(self.body.get().cast_mut()) {
            Some(body) => Work::Resume {
                body,
                stack_pointer,
            },
            None => Work::Main,
        }
    }

    /// # Safety
    /// This is the hub's current greenlet (not the thread's own stack), and the caller runs on its
    /// stack or on one nested in it; something will push it onto the run queue.
    #[inline(always)]
    unsafe fn suspend(&self, hub: &Hub) {
        // SAFETY: a running greenlet's body is alive; the caller's promise is `suspend`'s.
        unsafe {
            let head = (*self.body.get()).head();
            head.set_innermost(hub.chain);
            coroutine::suspend(head);
        }
    }
}

/// Lets the other greenlets run: goes to the end of the run queue.
///
/// A loop of `yield_now` is a fair round robin: every other runnable greenlet gets its turn
/// between two of them, and timers and sockets are looked at too. From code on the thread's own
/// stack it runs the others once.
///
/// Does nothing while the caller is unwinding from a panic or a kill (a greenlet never suspends then).
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// let log = Rc::new(RefCell::new(Vec::new()));
/// let greenlets: Vec<_> = ["a", "b"]
///     .map(|name| {
///         let log = log.clone();
///         rustlet::spawn_local(move || {
///             for step in 1..=2 {
///                 log.borrow_mut().push(format!("{name}{step}"));
///                 rustlet::yield_now();
///             }
///         })
///     })
///     .into();
/// for greenlet in greenlets {
///     greenlet.join().unwrap();
/// }
/// assert_eq!(*log.borrow(), ["a1", "b1", "a2", "b2"]);
/// ```
#[inline(always)]
pub fn yield_now() {
    // The suspend itself is inlined into the caller: behind a call it costs a mispredicted return.
    if let Some((head, yielder)) = queue_current(stack_pointer()) {
        // SAFETY: `queue_current` returned the current greenlet's, after pushing its entry.
        unsafe { leave(head, yielder) }
    }
}

/// Pushes the current greenlet to the end of the queue; `None` if there is nothing left to do.
///
/// Of what lies on the greenlet's stack it touches the head alone, and it uses little of the stack
/// itself: whatever is rare is a tail call. A further cache line costs more than the switch when there
/// are many greenlets.
#[inline(never)]
fn queue_current(stack_pointer: usize) -> Option<(NonNull<Head>, YielderPointer)> {
    if std::thread::panicking() {
        return None;
    }
    let Some(hub) = hub::existing_inlined() else {
        return queue_current_rarely(stack_pointer);
    };
    let Some(body) = hub.current_body() else {
        return queue_current_rarely(stack_pointer);
    };
    let work = Work::Resume {
        body,
        stack_pointer,
    };
    // SAFETY: a running greenlet's body is alive; the chain is the hub's own thread's.
    unsafe {
        let head = body.as_ref().head();
        if spans::in_use() || !head.is_innermost(hub.chain) || !hub.push_if_room(work) {
            return queue_current_rarely(stack_pointer);
        }
        Some((NonNull::from(head), head.yielder_near()))
    }
}
/// # Safety
/// `head` and `yielder` are those of the hub's current greenlet, which is in the run queue, and the caller runs on its stack
/// or one nested in it.
#[inline(always)]
unsafe fn leave(head: NonNull<Head>, yielder: YielderPointer) {
    // SAFETY: the caller's promise; a running greenlet's head is alive.
    unsafe {
        coroutine::suspend_at(yielder);
        if head.as_ref().is_interrupted() {
            raise_current();
        }
    }
}

#[cold]
#[inline(never)]
fn raise_current() {
    hub::get_inlined().current().raise();
}

/// [`queue_current`] with all that it does not do itself.
#[cold]
#[inline(never)]
fn queue_current_rarely(stack_pointer: usize) -> Option<(NonNull<Head>, YielderPointer)> {
    let hub = hub::get_inlined();
    let control = hub.current();
    if hub.is_in_loop() {
        return None;
    }
    if control.is_main() || spans::in_use() {
        hub.let_others_run(control);
        if control.interrupted() {
            control.raise();
        }
        return None;
    }
    let body = hub.current_body()?;
    hub.push(Work::Resume {
        body,
        stack_pointer,
    });
    // SAFETY: as in `queue_current`.
    unsafe {
        let head = body.as_ref().head();
        head.set_innermost(hub.chain);
        Some((NonNull::from(head), head.yielder_near()))
    }
}
