//! Signals that a program listens to: a handler that counts, and rings an eventfd.
//!
//! ```text
//!   handler:    slot.count += 1 ──► write(slot.bell) ──► the handler before ours, if there was one
//!   listener:   waits for an edge of the bell (its own duplicate of it, in its hub's epoll),
//!               then compares slot.count with what it saw last
//! ```
//! # Nothing is missed
//! The count is raised before the bell is rung, and a listener that finds nothing new waits for an edge that comes after
//! its look. The bell is never read: it stays readable, and each write is an edge for every epoll instance that watches it. (If
//! one listener emptied it, another's hub could look in between, find nothing to report, and forget
//! the edge.)
//!
//! # Who may call what
//! [`listen`], [`restore`]: any thread, not a signal handler; they take a lock. [`count`]: anybody. The handler runs on any
//! thread between any two instructions. It uses a table that never moves, atomics, and one raw system call, which leaves
//! errno alone.
//!
//! # On which stack
//! On the alternate one, as that of [`super::signal`]: greenlets' stacks may be nearly full. Unless the handler before
//! ours expects the stack of the code that it interrupts, which may be larger: then it gets that.
//!
//! # Not chosen
//! signalfd needs the signal blocked in every thread, those of other libraries too, and children inherit
//! the mask. One bell for all kinds would wake SIGINT's listeners for each SIGCHLD.

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::event::EventfdFlags;
use rustix::fd::{BorrowedFd, IntoRawFd, OwnedFd};
use rustix::io::Errno;

use super::syscall::syscall6;

/// Signals are numbered from 1 to 64.
const SLOTS: usize = 65;
/// No bell yet.
const NONE: i32 = -1;

struct Slot {
    /// How often the handler has run.
    count: AtomicU64,
    /// An eventfd that lives as long as the process, or [`NONE`].
    bell: AtomicI32,
    /// The action before ours; null if ours is not installed and never was. Never freed, since a
    /// handler may be reading it.
    previous: AtomicPtr<libc::sigaction>,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        count: AtomicU64::new(0),
        bell: AtomicI32::new(NONE),
        previous: AtomicPtr::new(ptr::null_mut()),
    }
}; SLOTS];

/// Held by who installs or restores.
static INSTALLING: Mutex<()> = Mutex::new(());

fn slot(signal: c_int) -> Result<&'static Slot, Errno> {
    let index = usize::try_from(signal).ok().filter(|&index| index > 0);
    index.and_then(|index| TABLE.get(index)).ok_or(Errno::INVAL)
}

/// Whether a program may handle `signal` and go on: not those of faults, which would happen again, and
/// not those that the kernel keeps for itself.
pub(crate) fn may_be_handled(signal: c_int) -> bool {
    ![
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
    ]
    .contains(&signal)
}

/// Sees to it that deliveries of `signal` are counted, and returns a duplicate of the bell: edge-triggered, not
/// to be read.
///
/// # Errors
/// `EINVAL` for what is no signal, or one that must not be handled; no descriptor is left.
pub(crate) fn listen(signal: c_int) -> Result<OwnedFd, Errno> {
    let slot = slot(signal)?;
    if !may_be_handled(signal) {
        return Err(Errno::INVAL);
    }
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.bell.load(Ordering::Relaxed) == NONE {
        let bell = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // Release: pairs with the handler's Acquire; the number alone is what it needs.
        slot.bell.store(bell.into_raw_fd(), Ordering::Release);
    }
    // SAFETY: the bell is never closed.
    let bell = unsafe { BorrowedFd::borrow_raw(slot.bell.load(Ordering::Relaxed)) };
    let duplicate = rustix::io::fcntl_dupfd_cloexec(bell, 3)?;
    install(signal, slot)?;
    Ok(duplicate)
}

/// How often `signal` has been delivered since it was first listened to.
pub(crate) fn count(signal: c_int) -> u64 {
    // Acquire: what the code that was interrupted had done before is visible.
    slot(signal).map_or(0, |slot| slot.count.load(Ordering::Acquire))
}

/// The action in force.
pub(super) fn action(signal: c_int) -> Result<libc::sigaction, Errno> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: reads the action in force into `action`, which is large enough; changes nothing.
    if unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) } != 0 {
        // glibc keeps two numbers for itself (32 and 33).
        return Err(Errno::INVAL);
    }
    // SAFETY: sigaction succeeded and filled it.
    Ok(unsafe { action.assume_init() })
}

/// Puts `action` in force.
pub(super) fn set_action(signal: c_int, action: &libc::sigaction) -> Result<(), Errno> {
    // SAFETY: `action` is one that sigaction gave, or that of our handler, which obeys the rules.
    match unsafe { libc::sigaction(signal, action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(Errno::INVAL),
    }
}

fn is_ours(action: &libc::sigaction) -> bool {
    action.sa_sigaction == handler as *const () as usize
}

pub(super) fn is_function(action: &libc::sigaction) -> bool {
    ![libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
}

/// Installs our handler, unless it is in force. Under the lock.
fn install(signal: c_int, slot: &Slot) -> Result<(), Errno> {
    let old = action(signal)?;
    if is_ours(&old) {
        return Ok(());
    }
    // What is chained is what was there the first time, and after a `restore` what is there then.
    let previous = match slot.previous.load(Ordering::Relaxed) {
        first if first.is_null() => {
            let old = Box::into_raw(Box::new(old));
            // Release: before our handler can read it.
            slot.previous.store(old, Ordering::Release);
            old
        }
        // Installed after ours, and may well hand on to ours, as ours does: handing back would never end.
        _ if is_function(&old) => return Ok(()),
        previous => previous,
    };
    // SAFETY: what `previous` points at is never freed.
    let previous = unsafe { &*previous };
    // SAFETY: an all-zero sigaction is a valid value (no flags, empty mask, default handler).
    let mut new: libc::sigaction = unsafe { core::mem::zeroed() };
    new.sa_sigaction = handler as *const () as usize;
    // RESTART: system calls of code that knows nothing of signals go on.
    new.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    if is_function(previous) {
        new.sa_mask = previous.sa_mask;
        new.sa_flags |= previous.sa_flags & (libc::SA_ONSTACK | libc::SA_NOCLDSTOP);
    } else {
        new.sa_flags |= libc::SA_ONSTACK;
    }
    set_action(signal, &new)
}

/// Puts the action back that was in force before the first [`listen`]; false if ours is not in force: it never was,
/// or somebody has installed another one since.
///
/// # Errors
/// `EINVAL` for what is no signal.
pub(crate) fn restore(signal: c_int) -> Result<bool, Errno> {
    let slot = slot(signal)?;
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_ours(&action(signal)?) {
        return Ok(false);
    }
    // SAFETY: ours is in force, so `previous` was set; what it points at is never freed.
    let previous = unsafe { &*slot.previous.load(Ordering::Relaxed) };
    set_action(signal, previous)?;
    // Leaked, as a handler may still be reading it: some 150 bytes each time.
    slot.previous.store(ptr::null_mut(), Ordering::Release);
    Ok(true)
}

/// Sends `signal` to process `pid`.
///
/// # Errors
/// As kill(2).
pub(crate) fn send(pid: u32, signal: c_int) -> Result<(), Errno> {
    let signal = usize::try_from(signal).map_err(|_| Errno::INVAL)?;
    // SAFETY: kill takes two numbers and touches no memory of this process.
    unsafe { syscall6(libc::SYS_kill, [pid as usize, signal, 0, 0, 0, 0]) }.map(drop)
}

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Ok(slot) = slot(signal) else {
        return;
    };
    // Release: pairs with `count`.
    slot.count.fetch_add(1, Ordering::Release);
    let bell = slot.bell.load(Ordering::Acquire);
    if bell != NONE {
        // SAFETY: the bell is never closed.
        let bell = unsafe { BorrowedFd::borrow_raw(bell) };
        // It fails only when full, after 2^64 signals.
        let _ = rustix::io::write(bell, &1_u64.to_ne_bytes());
    }
    // SAFETY: null, or an action that is never freed.
    let Some(previous) = (unsafe { slot.previous.load(Ordering::Acquire).as_ref() }) else {
        return;
    };
    if is_function(previous) {
        call(previous, signal, info, context);
    }
}

/// Calls the handler before ours.
pub(super) fn call(
    previous: &libc::sigaction,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    let address = previous.sa_sigaction as *const ();
    if previous.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: with SA_SIGINFO the stored address is a function of this signature.
        let call: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
            unsafe { core::mem::transmute(address) };
        call(signal, info, context);
    } else {
        // SAFETY: without SA_SIGINFO the stored address is a function of this signature.
        let call: extern "C" fn(c_int) = unsafe { core::mem::transmute(address) };
        call(signal);
    }
}
