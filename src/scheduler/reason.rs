//! Why a greenlet waits, and who could end that: what reports are made of.
#![allow(unsafe_code)] // Points at the holder of what is waited for, which outlives the wait.

use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use super::task::TaskRef;
use super::waits::Target;

/// Why a greenlet waits; shown in reports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitReason {
    what: &'static str,
    /// A greenlet's number or a file descriptor, if `what` needs one.
    which: Option<u64>,
    /// Whether something outside this hub may end the wait.
    pub(super) external: bool,
    /// Who can end the wait; null if that is not known.
    pub(super) holder: *const Holder,
    /// Nobody but the holder can.
    certain: bool,
}

/// Who holds what others wait for, as far as is known: the address of the control block
/// ([`super::sleeper::current_key`]), or 0. Read without synchronisation by whoever looks for
/// deadlocks: in a deadlock it does not change any more.
#[derive(Debug, Default)]
pub(crate) struct Holder(AtomicU64);

impl Holder {
    pub(crate) const fn nobody() -> Self {
        Holder(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn set(&self, key: u64) {
        self.0.store(key, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl WaitReason {
    pub(crate) const SLEEP: Self = WaitReason::local("a timer");
    pub(crate) const PARK: Self = WaitReason::external("an unpark");

    /// A wait that only greenlets, timers or descriptors of the same hub can end.
    pub(crate) const fn local(what: &'static str) -> Self {
        WaitReason {
            what,
            which: None,
            external: false,
            holder: ptr::null(),
            certain: false,
        }
    }

    /// A wait that another thread may end.
    pub(crate) const fn external(what: &'static str) -> Self {
        WaitReason {
            external: true,
            ..WaitReason::local(what)
        }
    }

    /// A wait that `holder` alone can end. The holder must outlive the wait.
    #[inline]
    pub(crate) const fn held(what: &'static str, holder: &Holder) -> Self {
        WaitReason {
            holder,
            certain: true,
            ..WaitReason::external(what)
        }
    }

    /// A wait that `holder`, which did so before, may end, but others too. As [`WaitReason::held`].
    #[inline]
    pub(crate) const fn probably(what: &'static str, holder: &Holder) -> Self {
        WaitReason {
            holder,
            ..WaitReason::external(what)
        }
    }

    /// Who can end the wait, and whether nobody else can.
    ///
    /// # Safety
    /// The reason is that of code that is parked now, on the calling thread's hub.
    pub(super) unsafe fn waits_for(&self) -> (Option<Target>, bool) {
        // SAFETY: the holder outlives the wait (`held`).
        let target = match unsafe { self.holder.as_ref() } {
            Some(holder) => Some(holder.get())
                .filter(|&key| key != 0)
                .map(Target::Holder),
            // A join, or a descriptor, which nobody holds.
            None => self.which.filter(|_| self.certain).map(Target::Greenlet),
        };
        (target, self.certain)
    }

    /// Whether it is worth looking for cycles: somebody known can end the wait.
    #[inline(always)]
    pub(super) const fn is_traced(&self) -> bool {
        self.certain || !self.holder.is_null()
    }

    /// The wait for the end of `task`, as seen from the hub of `waiter`.
    pub(crate) fn join(task: &TaskRef, waiter: &TaskRef) -> Self {
        WaitReason {
            which: Some(task.id),
            external: !task.home().is_some_and(|home| waiter.is_of(home)),
            certain: true,
            ..WaitReason::local("the end of greenlet #")
        }
    }

    pub(crate) fn readable(fd: i32) -> Self {
        WaitReason {
            which: u64::try_from(fd).ok(),
            ..WaitReason::local("input on fd ")
        }
    }

    pub(crate) fn writable(fd: i32) -> Self {
        WaitReason {
            which: u64::try_from(fd).ok(),
            ..WaitReason::local("room for output on fd ")
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        self.which.map_or(Ok(()), |which| write!(f, "{which}"))
    }
}
