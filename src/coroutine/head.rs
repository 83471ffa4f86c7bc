//! The head of a coroutine: what a switch touches, and what tells about it.

use core::any::TypeId;
use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use corosensei::Yielder;

use super::fiber::Fiber;
use super::running::{Chain, chain};
use super::{Body, Kind, Switch, YielderPointer};

/// What every coroutine has, whatever its data: read by [`super::current`] and by the overflow report.
///
/// All that a switch touches of it, and corosensei's link at the stack's base just below, share one cache line:
/// at a thousand coroutines a second line costs more than the switch.
#[repr(C, align(16))]
pub(crate) struct Head {
    /// [`INTERRUPTED`] and [`NESTED`]; rarely anything but 0.
    pub(super) flags: Cell<u8>,
    /// How many [`super::Anchor`]s there are in its frames.
    pub(super) anchors: Cell<u32>,
    pub(super) switch: UnsafeCell<ManuallyDrop<Switch>>,
    // What is below this line is cold.
    /// corosensei's handle for suspending; null until the first resume.
    pub(super) yielder: Cell<*const Yielder<(), ()>>,
    /// With [`NESTED`]: the innermost coroutine that ran on top of this one when it was suspended.
    pub(super) inner: Cell<*const Head>,
    /// Who was current when this coroutine was resumed by [`super::Coroutine::resume`].
    pub(super) resumer: Cell<*const Head>,
    /// To a sanitizer.
    pub(super) fiber: Fiber,
    pub(super) limit: usize,
    pub(super) guard_end: usize,
    pub(super) size: usize,
    /// See [`super::Kind::context`].
    pub(super) context: Option<u64>,
    /// The type of the creator's data.
    pub(super) kind: TypeId,
    /// Writes what this coroutine is, for the overflow report; called in a signal handler, so it
    /// must not allocate or lock.
    pub(super) describe: unsafe fn(*const Head, &mut dyn fmt::Write) -> fmt::Result,
}

/// For the creator's use: something awaits the coroutine when it is resumed.
const INTERRUPTED: u8 = 1;
/// The coroutine was suspended from inside another one that it had resumed: see [`Head::inner`].
pub(super) const NESTED: u8 = 2;
/// Bytes below a body, at the base of its stack, that share the line of its head: corosensei's link.
pub(super) const LINK: usize = 16;

// With AddressSanitizer corosensei keeps more.
#[cfg(not(rustlet_asan))]
const _: () = assert!(core::mem::offset_of!(Head, yielder) + LINK <= 64);

/// How far corosensei's yielder lies below a head: the same for all coroutines of the process, learnt from
/// each that starts. It spares the fast path of a yield the cold line where the pointer is kept.
static YIELDER_BELOW: AtomicUsize = AtomicUsize::new(0);

impl Head {
    /// The yielder of this coroutine, which has been started, without touching cold memory.
    #[inline(always)]
    pub(crate) fn yielder_near(&self) -> YielderPointer {
        let near = core::ptr::from_ref(self)
            .wrapping_byte_sub(YIELDER_BELOW.load(Ordering::Relaxed))
            .cast::<Yielder<(), ()>>();
        debug_assert_eq!(near, self.yielder.get());
        near
    }

    /// The head whose [`Head::yielder_near`] this is.
    #[cfg(rustlet_tsan)]
    pub(super) fn of_yielder(yielder: YielderPointer) -> *const Head {
        yielder
            .wrapping_byte_add(YIELDER_BELOW.load(Ordering::Relaxed))
            .cast()
    }

    /// Notes the yielder at the start of the coroutine.
    #[inline]
    pub(super) fn set_yielder(&self, yielder: YielderPointer) {
        self.yielder.set(yielder);
        let below = core::ptr::from_ref(self).addr() - yielder.addr();
        if YIELDER_BELOW.load(Ordering::Relaxed) != below {
            YIELDER_BELOW.store(below, Ordering::Relaxed);
        }
    }

    /// Whether the creator set the flag.
    #[inline(always)]
    pub(crate) fn is_interrupted(&self) -> bool {
        self.flags.get() & INTERRUPTED != 0
    }

    /// Sets or clears the creator's flag.
    pub(crate) fn set_interrupted(&self, interrupted: bool) {
        let others = self.flags.get() & !INTERRUPTED;
        self.flags.set(others | u8::from(interrupted));
    }

    #[cold]
    pub(super) fn leave_nested(&self) -> *const Head {
        self.flags.set(self.flags.get() & !NESTED);
        self.inner.get()
    }

    #[cold]
    fn enter_nested(&self, innermost: *const Head) {
        self.flags.set(self.flags.get() | NESTED);
        self.inner.set(innermost);
    }

    /// Whether this coroutine itself is the one that runs innermost: then there is nothing to remember.
    ///
    /// # Safety
    /// `chain` is this thread's [`chain`].
    #[inline(always)]
    pub(crate) unsafe fn is_innermost(&self, chain: *const Chain) -> bool {
        // SAFETY: the caller's promise; the chain lives as long as its thread.
        core::ptr::eq(unsafe { (*chain).innermost.get() }, self)
    }

    /// Remembers which coroutine runs innermost on top of this one. Called before every [`super::suspend`], apart
    /// from it so that it may be done behind a call while the suspend itself is inlined.
    ///
    /// # Safety
    /// `chain` is this thread's [`chain`].
    #[inline(always)]
    pub(crate) unsafe fn set_innermost(&self, chain: *const Chain) {
        // SAFETY: the caller's promise; the chain lives as long as its thread.
        let innermost = unsafe { (*chain).innermost.get() };
        if !core::ptr::eq(innermost, self) {
            self.enter_nested(innermost);
        }
    }

    /// Who was current when this running coroutine was resumed; null for an OS thread's own stack.
    #[inline]
    pub(crate) fn resumer(&self) -> *const Head {
        match self.context {
            // SAFETY: this thread's.
            Some(_) => unsafe { &*chain() }.below_loop.get(),
            None => self.resumer.get(),
        }
    }

    /// See [`super::Kind::context`].
    #[inline]
    pub(crate) fn context(&self) -> Option<u64> {
        self.context
    }

    /// The body that `head` heads, if it is one of kind `T`.
    ///
    /// # Safety
    /// `head` belongs to a coroutine that has not been finished, and is not for as long as the result is used.
    #[inline]
    pub(crate) unsafe fn body<T: Kind>(head: NonNull<Head>) -> Option<NonNull<Body<T>>> {
        // SAFETY: by the precondition the head is alive.
        let kind = unsafe { head.as_ref() }.kind;
        // `Body` is `repr(C)` with its head first, so the addresses are equal.
        (kind == TypeId::of::<T>()).then(|| head.cast())
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Head")
            .field("limit", &self.limit)
            .field("size", &self.size)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
