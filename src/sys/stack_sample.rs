//! What another thread of this process executes now: a signal has it walk its own stack.
//!
//! ```text
//!   the asker                                    the thread that is asked
//!   desk: FREE ─► its tid, tgkill(SIGURG) ─────► handler: tid ─► BUSY
//!                                                  the handler before ours
//!                                                  visit(question): whose code is it? or "declined"
//!                                                  walk the stack into the desk
//!   futex wait  ◄───────────────────────────────   BUSY ─► ANSWERED, futex wake
//!   copies the desk, ANSWERED ─► FREE              back to the code that was interrupted
//!   too late: tid ─► FREE; who comes then finds no question, and does nothing
//! ```
//! There is one desk, so one question at a time: the asker holds [`ASKING`]. The desk's fields but for `state` belong to the
//! asker while it is FREE or ANSWERED, and to the handler while it is BUSY.
//!
//! # Who may call what
//! [`prepare`], [`take`]: any thread of its own, not a hub with greenlets (they block), not a signal handler. [`escape`]: the fault handler
//! of [`super::signal`]. A `visit` runs in a signal handler: it allocates nothing, frees nothing, locks nothing.
//!
//! # Which signal
//! SIGURG, as Go's runtime for its preemption. It is ignored by default, so one that comes late, or to a child process, does nothing;
//! no libc uses it; debuggers pass it on silently; and who does use it (urgent data of sockets) must look what there is anyway, as such signals
//! merge. A real-time signal would end a process that has lost the handler, and their numbers are what other runtimes
//! choose from. A handler that was there before is called for each, since nobody can tell whose a merged signal was.
//!
//! # What the handler does, and why it may
//! - It walks with `_Unwind_Backtrace`. libgcc from 12 on with glibc from 2.35 on finds the unwind tables by `_dl_find_object`, which is
//!   documented as safe in signal handlers and takes no lock. Before, it was `dl_iterate_phdr` and its recursive lock: the handler then waits
//!   for a `dlopen` of another thread, and one that interrupts its own thread's `dlopen` may see a list that is half changed. What libgcc
//!   initialises on its first walk ("once", under a lock) is done by [`prepare`].
//! - It runs on the alternate signal stack, which a hub's thread has ([`super::signal::ensure_alternate_stack`]), as the interrupted stack may
//!   be nearly full; with less than [`ROOM`] on it, or none, it does not walk.
//! - The walk may meet code whose tables are wrong at just that instruction: hand-written assembly, code made at run time, the few
//!   instructions of a switch. It then reads from wrong addresses, and may fault. So the fault handler looks first whether this thread walks, and if
//!   so replaces the state that it will return to by that of the code which the *first* signal had interrupted: both handlers are over, and the
//!   walk ends with what it had ([`End::Fault`]). (A program that has put a handler of its own in front of that one gets the fault.)
//! - errno is kept. SA_RESTART is set: reads and writes go on; calls which the kernel never restarts
//!   (signal(7): poll, nanosleep, epoll_wait) end with EINTR, as with any signal.
//!
//! # Not chosen
//! Copying the stack in the handler and walking the copy elsewhere needs an unwinder of our own. Frame pointers are not
//! in every library. ptrace cannot be used on one's own threads.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex;

use super::signal_delivery::{action, call, is_function, set_action};
use super::syscall::syscall6;

const SIGNAL: c_int = libc::SIGURG;
/// Frames that are kept of a walk.
pub(crate) const FRAMES: usize = 128;
/// Frames of the handler itself, at most.
const OWN_FRAMES: usize = 32;
/// Bytes of alternate stack that the walk may need; it was seen to use less than a fifth.
const ROOM: usize = 16 * 1024;
/// How long a handler that has begun is waited for.
const WALK_LIMIT: Duration = Duration::from_secs(10);

/// Bytes of the registers in a `uc_mcontext`.
#[cfg(not(target_arch = "riscv64"))]
const STATE: usize = size_of::<libc::mcontext_t>();
/// Of integers, double precision and fcsr. The structure has room for quadruple precision, which qemu-user's is without.
#[cfg(target_arch = "riscv64")]
const STATE: usize = 32 * 8 + 32 * 8 + 8;

/// Nobody asks.
const FREE: u32 = 0;
/// The handler is at it.
const BUSY: u32 = u32::MAX;
/// It is done.
const ANSWERED: u32 = u32::MAX - 1;

/// Called in the signal handler on the thread that was asked, with the question: something about whose code was
/// interrupted, or `None` if it is no longer what the question was about.
pub(crate) type Visit = fn([u64; 2]) -> Option<NonNull<()>>;

/// What was found.
#[derive(Debug)]
pub(crate) struct Sample {
    /// What the visitor returned; `None` if it did not come to that.
    pub(crate) whose: Option<NonNull<()>>,
    /// Return addresses, innermost first; the first is the address of the interrupted instruction itself.
    pub(crate) frames: Vec<usize>,
    pub(crate) end: End,
}

/// What a question led to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Sampled(Sample),
    /// The visitor said `None`.
    Declined,
    /// The thread has ended, has the signal blocked, or does not get to run.
    NoAnswer,
}

/// Where a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// There is nothing further, or no unwind table for it.
    Outermost,
    /// After [`FRAMES`].
    Cut,
    /// At an address that could not be read.
    Fault,
    /// Before it began: no alternate stack, or too little of it.
    NoRoom,
    Declined,
}

impl End {
    const ALL: [End; 5] = [
        End::Outermost,
        End::Cut,
        End::Fault,
        End::NoRoom,
        End::Declined,
    ];
}

struct Desk {
    /// [`FREE`], [`BUSY`], [`ANSWERED`], or the thread that is asked. A futex.
    state: AtomicU32,
    /// A [`Visit`].
    visit: AtomicPtr<()>,
    question: [AtomicU64; 2],
    whose: AtomicPtr<()>,
    frames: [AtomicUsize; FRAMES],
    length: AtomicUsize,
    /// An index into [`End::ALL`].
    end: AtomicUsize,
    /// The thread whose handler is at it.
    walker: AtomicU32,
    /// The state of the code that it has interrupted; null unless it is at it.
    interrupted: AtomicPtr<libc::ucontext_t>,
    errno: AtomicI32,
}

static DESK: Desk = Desk {
    state: AtomicU32::new(FREE),
    visit: AtomicPtr::new(ptr::null_mut()),
    question: [const { AtomicU64::new(0) }; 2],
    whose: AtomicPtr::new(ptr::null_mut()),
    frames: [const { AtomicUsize::new(0) }; FRAMES],
    length: AtomicUsize::new(0),
    end: AtomicUsize::new(0),
    walker: AtomicU32::new(0),
    interrupted: AtomicPtr::new(ptr::null_mut()),
    errno: AtomicI32::new(0),
};

/// Held by who asks; whether the handler is installed.
static ASKING: Mutex<bool> = Mutex::new(false);
/// The action before ours; null until it is known. Never freed, since a handler may be reading it.
static PREVIOUS: AtomicPtr<libc::sigaction> = AtomicPtr::new(ptr::null_mut());

fn here() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs()
}

/// This thread's number, for [`take`].
pub(crate) fn thread() -> u32 {
    here()
}

// ---------------------------------------------------------------------------- the asker

/// Installs the handler, and has the unwinder initialise itself. Once per process; the handler stays.
///
/// # Errors
/// If the kernel refuses the handler.
pub(crate) fn prepare() -> Result<(), Errno> {
    let mut installed = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    if *installed {
        return Ok(());
    }
    backtrace::trace(|_| true);
    let old = action(SIGNAL)?;
    // SAFETY: an all-zero sigaction is a valid value (no flags, empty mask, default handler).
    let mut new: libc::sigaction = unsafe { core::mem::zeroed() };
    new.sa_sigaction = handler as *const () as usize;
    // The mask stays empty: a fault must reach its handler.
    new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    if is_function(&old) {
        // Release: before our handler can read it.
        PREVIOUS.store(Box::into_raw(Box::new(old)), Ordering::Release);
    }
    set_action(SIGNAL, &new)?;
    *installed = true;
    Ok(())
}

/// Asks `thread` what it executes. Waits up to `patience` for it to notice. After [`prepare`].
pub(crate) fn take(thread: u32, visit: Visit, question: [u64; 2], patience: Duration) -> Outcome {
    let _asking = ASKING.lock().unwrap_or_else(PoisonError::into_inner);
    // A handler that did not come to its end in time may have done so since; whose code it was is lost.
    match DESK.state.load(Ordering::Acquire) {
        FREE | ANSWERED => {}
        _ => return Outcome::NoAnswer,
    }
    DESK.visit.store(visit as *mut (), Ordering::Relaxed);
    for (slot, word) in DESK.question.iter().zip(question) {
        slot.store(word, Ordering::Relaxed);
    }
    DESK.whose.store(ptr::null_mut(), Ordering::Relaxed);
    DESK.length.store(0, Ordering::Relaxed);
    // Release: pairs with the handler's Acquire.
    DESK.state.store(thread, Ordering::Release);
    if send(thread).is_ok() {
        wait_while(thread, patience);
    }
    // Acquire, on failure too: pairs with `finish`.
    let withdrawn = DESK
        .state
        .compare_exchange(thread, FREE, Ordering::Acquire, Ordering::Acquire);
    if withdrawn.is_ok() {
        return Outcome::NoAnswer;
    }
    wait_while(BUSY, WALK_LIMIT);
    if DESK.state.load(Ordering::Acquire) != ANSWERED {
        return Outcome::NoAnswer;
    }
    let length = DESK.length.load(Ordering::Relaxed).min(FRAMES);
    let frames = DESK.frames[..length].iter();
    let sample = Sample {
        whose: NonNull::new(DESK.whose.load(Ordering::Relaxed)),
        frames: frames.map(|frame| frame.load(Ordering::Relaxed)).collect(),
        end: End::ALL[DESK.end.load(Ordering::Relaxed) % End::ALL.len()],
    };
    DESK.state.store(FREE, Ordering::Relaxed);
    match sample.end {
        End::Declined => Outcome::Declined,
        _ => Outcome::Sampled(sample),
    }
}

/// Waits until the desk is no longer in `state`, or `limit` has passed.
fn wait_while(state: u32, limit: Duration) {
    let end = Instant::now() + limit;
    while DESK.state.load(Ordering::Acquire) == state {
        let left = end.saturating_duration_since(Instant::now());
        let Ok(timeout) = rustix::thread::Timespec::try_from(left) else {
            return;
        };
        if left.is_zero() {
            return;
        }
        let _ = futex::wait(&DESK.state, futex::Flags::PRIVATE, state, Some(&timeout));
    }
}

/// Has `thread` of this process run the handler.
fn send(thread: u32) -> Result<(), Errno> {
    let process = rustix::process::getpid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs();
    let arguments = [process as usize, thread as usize, SIGNAL as usize, 0, 0, 0];
    // SAFETY: tgkill takes three numbers and touches no memory; the signal's action is our handler, or whatever the
    // program has put in its place for the same signal, or to ignore it.
    unsafe { syscall6(libc::SYS_tgkill, arguments) }.map(drop)
}

// ---------------------------------------------------------------------------- the handler

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = errno();
    // First: nothing after it is sure to be reached.
    // SAFETY: null, or an action that is never freed.
    if let Some(previous) = unsafe { PREVIOUS.load(Ordering::Acquire).as_ref() } {
        call(previous, signal, info, context);
    }
    let here = here();
    // Acquire: pairs with the asker's Release.
    let asked = DESK
        .state
        .compare_exchange(here, BUSY, Ordering::Acquire, Ordering::Relaxed);
    if asked.is_ok() {
        DESK.errno.store(errno, Ordering::Relaxed);
        DESK.walker.store(here, Ordering::Relaxed);
        // Release: `escape` may be called from the next instruction on, on this thread, and is
        // called on others at any time.
        DESK.interrupted
            .store(context.cast::<libc::ucontext_t>(), Ordering::Release);
        // SAFETY: the kernel passes an SA_SIGINFO handler the state of the code that it interrupted.
        let end = look(unsafe { &*context.cast::<libc::ucontext_t>() });
        finish(end);
    }
    set_errno(errno);
}

/// Fills the desk.
fn look(interrupted: &libc::ucontext_t) -> End {
    let visit = DESK.visit.load(Ordering::Relaxed);
    // SAFETY: stored by `take` from a function of this type.
    let visit: Visit = unsafe { core::mem::transmute(visit) };
    let question = [0, 1].map(|index: usize| DESK.question[index].load(Ordering::Relaxed));
    let Some(whose) = visit(question) else {
        return End::Declined;
    };
    DESK.whose.store(whose.as_ptr(), Ordering::Relaxed);
    let here = instruction(interrupted);
    DESK.frames[0].store(here, Ordering::Relaxed);
    DESK.length.store(1, Ordering::Relaxed);
    if room_left() < ROOM {
        return End::NoRoom;
    }
    walk_from(here)
}

/// Walks this thread's stack; what is called by the code that was interrupted at `here`, which is the handler, is left out.
fn walk_from(here: usize) -> End {
    let mut end = End::Outermost;
    let mut own = 0;
    let mut reached = false;
    let visit = |frame: &backtrace::Frame| {
        let address = frame.ip().addr();
        if !reached {
            reached = address == here;
            own += 1;
            return own < OWN_FRAMES;
        }
        // What calls the first function of a program or thread.
        if address == 0 {
            return false;
        }
        let length = DESK.length.load(Ordering::Relaxed);
        match DESK.frames.get(length) {
            Some(frame) => {
                frame.store(address, Ordering::Relaxed);
                DESK.length.store(length + 1, Ordering::Relaxed);
                true
            }
            None => {
                end = End::Cut;
                false
            }
        }
    };
    // SAFETY: what this lacks against `trace` is a lock around platforms' libraries that need one; libgcc does not.
    // `visit` does not panic.
    unsafe { backtrace::trace_unsynchronized(visit) };
    end
}

fn finish(end: End) {
    DESK.interrupted.store(ptr::null_mut(), Ordering::Release);
    DESK.end.store(end as usize, Ordering::Relaxed);
    // Release: pairs with the asker's Acquire.
    DESK.state.store(ANSWERED, Ordering::Release);
    let _ = futex::wake(&DESK.state, futex::Flags::PRIVATE, 1);
}

/// For the fault handler: if this thread faulted while it walked, has it go on with the code that it had been interrupted
/// in once the fault handler returns; true then.
///
/// # Safety
/// `context` is what the kernel passed to the handler of a fault that has happened on this thread, and this is called from it.
pub(super) unsafe fn escape(context: *mut c_void) -> bool {
    let outer = DESK.interrupted.load(Ordering::Acquire);
    if outer.is_null() || DESK.walker.load(Ordering::Relaxed) != here() {
        return false;
    }
    let inner = context.cast::<libc::ucontext_t>();
    // SAFETY: both are states that the kernel has written on this thread's signal stack. `outer` is that of the handler above, which
    // has not returned (it would have cleared the pointer) and so is intact, with the vector state that its pointers name. The two do not
    // overlap: the frames of the handler and the walk lie between them. No destructor is skipped that matters: `look` and the walk
    // own nothing. Of the mask the kernel's frame has 64 bits.
    unsafe {
        // The flags come first; their name is not the same everywhere.
        *inner.cast::<libc::c_ulong>() = *outer.cast::<libc::c_ulong>();
        // As bytes: what the structure calls reserved is the vector registers on aarch64.
        ptr::copy_nonoverlapping(
            (&raw const (*outer).uc_mcontext).cast::<u8>(),
            (&raw mut (*inner).uc_mcontext).cast::<u8>(),
            STATE,
        );
        let mask = (&raw const (*outer).uc_sigmask).cast::<u64>();
        (&raw mut (*inner).uc_sigmask)
            .cast::<u64>()
            .write(mask.read());
    }
    set_errno(DESK.errno.load(Ordering::Relaxed));
    finish(End::Fault);
    true
}

/// Bytes left on the alternate stack that this runs on; 0 if it runs on another.
fn room_left() -> usize {
    let mut stack = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: reads the alternate stack in force into `stack`; changes nothing. sigaltstack is safe in signal handlers.
    if unsafe { libc::sigaltstack(ptr::null(), stack.as_mut_ptr()) } != 0 {
        return 0;
    }
    // SAFETY: sigaltstack succeeded and filled it.
    let stack = unsafe { stack.assume_init() };
    if stack.ss_flags & libc::SS_ONSTACK == 0 {
        return 0;
    }
    let mark = 0_u8;
    (&raw const mark).addr().saturating_sub(stack.ss_sp.addr())
}

/// The address of the instruction that was interrupted.
fn instruction(interrupted: &libc::ucontext_t) -> usize {
    #[cfg(target_arch = "x86_64")]
    let address = interrupted.uc_mcontext.gregs[libc::REG_RIP as usize];
    #[cfg(target_arch = "aarch64")]
    let address = interrupted.uc_mcontext.pc;
    #[cfg(target_arch = "riscv64")]
    let address = interrupted.uc_mcontext.__gregs[libc::REG_PC as usize];
    address as usize
}

fn errno() -> i32 {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() }
}

fn set_errno(errno: i32) {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() = errno }
}
