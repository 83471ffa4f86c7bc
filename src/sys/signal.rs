//! Signals: the fault handler, the alternate stack, and writing from inside a handler.
//!
//! The handler for SIGSEGV and SIGBUS is installed once per process. It asks a hook whether the
//! fault is ours; a hook that knows the fault does not return. Otherwise the fault goes to the
//! handler that was there before (std's overflow report, a crash reporter, a JIT, a garbage
//! collector), called exactly as the kernel would have called it as far as a user program can,
//! and to the default action if there was none.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::cell::Cell;
use std::sync::OnceLock;

/// Called with the faulting address, in the signal handler, on the alternate stack.
pub(crate) type FaultHook = fn(usize);

static HOOK: OnceLock<FaultHook> = OnceLock::new();
/// The actions that were in force before ours, for SIGSEGV and SIGBUS; written once, before ours
/// is installed.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [OnceLock::new(), OnceLock::new()];
/// Bytes of alternate stack that our handler wants beyond the kernel's frame.
const HANDLER_BYTES: usize = 32 * 1024;

fn previous(signal: c_int) -> &'static OnceLock<libc::sigaction> {
    &PREVIOUS[usize::from(signal == libc::SIGBUS)]
}

/// Installs the process's fault handler with `hook`; later calls do nothing.
pub(crate) fn on_fault(hook: FaultHook) {
    HOOK.get_or_init(|| {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            install(signal);
        }
        hook
    });
}

fn install(signal: c_int) {
    let mut old = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: reads the action in force into `old`, which is large enough; changes nothing.
    if unsafe { libc::sigaction(signal, core::ptr::null(), old.as_mut_ptr()) } != 0 {
        return; // Cannot happen for these two signals; then there is no report, and no harm.
    }
    // SAFETY: sigaction succeeded and filled it.
    let _ = previous(signal).set(unsafe { old.assume_init() });
    // SAFETY: an all-zero sigaction is a valid value (no flags, empty mask, default handler).
    let mut new: libc::sigaction = unsafe { core::mem::zeroed() };
    new.sa_sigaction = handler as *const () as usize;
    new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: `new` is a valid action whose handler obeys the rules of signal handlers.
    unsafe { libc::sigaction(signal, &raw const new, core::ptr::null_mut()) };
}

extern "C" fn handler(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler; si_addr is set for faults
    // and is harmless garbage for a signal sent by kill(2).
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // First: a walk along a stack may well run into a guard, which is no overflow.
    // SAFETY: the kernel's context, in the handler that it was passed to; a fault if the code is positive.
    if code > 0 && unsafe { super::stack_sample::escape(context) } {
        return;
    }
    // Positive codes come from the kernel; a signal sent by a program has none of our addresses.
    if code > 0
        && let Some(hook) = HOOK.get()
    {
        hook(address);
    }
    forward(signal, info, context);
}

/// Hands a fault to the handler before ours.
fn forward(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(old) = previous(signal).get() else {
        return;
    };
    match old.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // Back to the default action, and return: the faulting instruction runs again and ends
            // the process as if we had never been here. (The kernel does not honour SIG_IGN for a
            // fault either.)
            // SAFETY: an all-zero sigaction is the default action.
            unsafe {
                let mut action: libc::sigaction = core::mem::zeroed();
                action.sa_sigaction = libc::SIG_DFL;
                libc::sigaction(signal, &raw const action, core::ptr::null_mut());
            }
        }
        address if old.sa_flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: with SA_SIGINFO the stored address is a function of this signature.
            let call: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                unsafe { core::mem::transmute(address as *const ()) };
            call(signal, info, context);
        }
        address => {
            // SAFETY: without SA_SIGINFO the stored address is a function of this signature.
            let call: extern "C" fn(c_int) = unsafe { core::mem::transmute(address as *const ()) };
            call(signal);
        }
    }
}

/// Ends the process with SIGABRT.
pub(crate) fn abort() -> ! {
    // SAFETY: abort may be called from a signal handler (POSIX lists it as async-signal-safe).
    unsafe { libc::abort() }
}

/// This thread's alternate stack, if rustlet had to provide one.
struct AlternateStack {
    /// This thread has been seen to.
    checked: Cell<bool>,
    base: Cell<usize>,
    size: Cell<usize>,
}

thread_local! {
    static ALTERNATE: AlternateStack =
        const {
            AlternateStack {
                checked: Cell::new(false),
                base: Cell::new(0),
                size: Cell::new(0),
            }
        };
}

/// Sees to it that this thread has an alternate signal stack large enough for our handler.
///
/// std gives its threads one of the kernel's minimum, which is enough for the frame but leaves
/// little with large vector state (11,952 bytes with AMX); threads made elsewhere have none.
#[inline(never)]
pub(crate) fn ensure_alternate_stack() {
    if !ALTERNATE.with(|mine| mine.checked.replace(true)) {
        provide_alternate_stack();
    }
}

#[cold]
#[inline(never)]
fn provide_alternate_stack() {
    static FRAME: AtomicUsize = AtomicUsize::new(0);
    let frame = match FRAME.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: getauxval reads a table that never changes; 0 when the entry is missing.
            let frame = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
            let frame = frame.max(libc::MINSIGSTKSZ);
            FRAME.store(frame, Ordering::Relaxed);
            frame
        }
        known => known,
    };
    let mut old = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: reads the alternate stack in force into `old`; changes nothing.
    if unsafe { libc::sigaltstack(core::ptr::null(), old.as_mut_ptr()) } != 0 {
        return;
    }
    // SAFETY: sigaltstack succeeded and filled it.
    let old = unsafe { old.assume_init() };
    let wanted = frame + HANDLER_BYTES;
    if old.ss_flags & (libc::SS_DISABLE | libc::SS_ONSTACK) != libc::SS_DISABLE
        && (old.ss_size >= wanted || old.ss_flags & libc::SS_ONSTACK != 0)
    {
        return;
    }
    let size = wanted.next_multiple_of(64 * 1024);
    // Without it an overflow still ends the process, though silently.
    let Ok(base) = super::mem::reserve(size, 64 * 1024) else {
        return;
    };
    // SAFETY: the range was reserved just now, and nobody else knows it.
    if unsafe { super::mem::commit(base, size) }.is_err() {
        return;
    }
    let new = libc::stack_t {
        ss_sp: base as *mut c_void,
        ss_flags: 0,
        ss_size: size,
    };
    // SAFETY: `base..base + size` is a fresh mapping that is unmapped only after it has been
    // taken out of use in `ReleaseAlternateStack`.
    if unsafe { libc::sigaltstack(&raw const new, core::ptr::null_mut()) } == 0 {
        ALTERNATE.with(|mine| {
            mine.base.set(base);
            mine.size.set(size);
        });
        RELEASE.try_with(|_| ()).ok();
    }
}

/// Whether this thread has an alternate stack as large as [`ensure_alternate_stack`] wants it.
#[cfg(test)]
pub(crate) fn has_large_alternate_stack() -> bool {
    let mut now = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: reads the alternate stack in force into `now`, which is filled if the call succeeds.
    let now = unsafe {
        assert_eq!(libc::sigaltstack(core::ptr::null(), now.as_mut_ptr()), 0);
        now.assume_init()
    };
    now.ss_flags & libc::SS_DISABLE == 0 && now.ss_size > HANDLER_BYTES
}

/// Gives the alternate stack back at the thread's end.
struct ReleaseAlternateStack;

thread_local! {
    static RELEASE: ReleaseAlternateStack = const { ReleaseAlternateStack };
}

impl Drop for ReleaseAlternateStack {
    fn drop(&mut self) {
        let (base, size) = ALTERNATE.with(|mine| (mine.base.replace(0), mine.size.get()));
        if base == 0 {
            return;
        }
        let mut now = MaybeUninit::<libc::stack_t>::uninit();
        // SAFETY: reads the alternate stack in force, and if it is ours, takes it out of use
        // before unmapping; if somebody replaced it, only the mapping goes.
        unsafe {
            if libc::sigaltstack(core::ptr::null(), now.as_mut_ptr()) == 0
                && now.assume_init().ss_sp as usize == base
            {
                let mut off: libc::stack_t = core::mem::zeroed();
                off.ss_flags = libc::SS_DISABLE;
                libc::sigaltstack(&raw const off, core::ptr::null_mut());
            }
            let _ = super::mem::unmap(base, size);
        }
    }
}

/// Collects text in a fixed buffer and writes it to stderr: usable in a signal handler.
#[derive(Debug)]
pub(crate) struct StderrWriter {
    buffer: [u8; 1024],
    used: usize,
}

impl StderrWriter {
    pub(crate) fn new() -> Self {
        StderrWriter {
            buffer: [0; 1024],
            used: 0,
        }
    }

    /// Writes what was collected; errors are ignored, since there is nobody to tell.
    pub(crate) fn flush(&mut self) {
        let mut rest = &self.buffer[..self.used];
        while !rest.is_empty() {
            // SAFETY: fd 2 is only used for this call; if it is closed, the kernel answers EBADF.
            let stderr = unsafe { rustix::fd::BorrowedFd::borrow_raw(2) };
            match rustix::io::write(stderr, rest) {
                Ok(written) if written > 0 => rest = &rest[written..],
                Err(rustix::io::Errno::INTR) => {}
                _ => break,
            }
        }
        self.used = 0;
    }
}

impl fmt::Write for StderrWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.buffer.len() - self.used;
        let taken = text.len().min(room);
        self.buffer[self.used..self.used + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.used += taken;
        Ok(())
    }
}
