//! What happens once for each greenlet that a panic, or an uncaught throw, has ended.
//!
//! The greenlet's root has caught the unwinding; before anybody is told of the end, the hook is called there, on the
//! greenlet's stack, with its locals still alive. A hook that panics is reported by the panic hook and does no
//! further harm.
//!
//! Without a hook of the program's, a panic is not mentioned again: std's panic hook has printed it, below a line
//! that names the greenlet ([`super::report`]). What was thrown never met that hook, so it is printed here.

use core::any::Any;
use core::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};

use super::handle::Handle;
use super::join_error::text;
use super::task::TaskRef;
use super::workers;

/// A hook for [`set_uncaught_hook`].
pub type UncaughtHook = dyn Fn(&Uncaught<'_>) + Send + Sync + 'static;

static HOOK: RwLock<Option<Arc<UncaughtHook>>> = RwLock::new(None);

/// A greenlet that was ended by a panic or by something thrown into it; see [`set_uncaught_hook`].
pub struct Uncaught<'a> {
    handle: Handle,
    payload: &'a (dyn Any + Send),
    thrown: bool,
}

impl Uncaught<'_> {
    /// The greenlet's number.
    pub fn id(&self) -> u64 {
        self.handle.id()
    }

    /// The greenlet's name, if it was given one.
    pub fn name(&self) -> Option<&str> {
        self.handle.name()
    }

    /// Where the greenlet was spawned.
    pub fn spawned_at(&self) -> &'static Location<'static> {
        self.handle.spawned_at()
    }

    /// What it panicked with, or what was thrown.
    pub fn payload(&self) -> &(dyn Any + Send) {
        self.payload
    }

    /// The payload's text, if it is a string.
    pub fn message(&self) -> Option<&str> {
        text(self.payload)
    }

    /// Whether it was thrown ([`crate::Greenlet::throw`]): then the panic hook has not seen it.
    pub fn is_thrown(&self) -> bool {
        self.thrown
    }
}

impl fmt::Display for Uncaught<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.thrown {
            "did not catch what was thrown into it"
        } else {
            "panicked"
        };
        write!(f, "{} {verb}", self.handle.task().name_and_place())?;
        self.message().map_or(Ok(()), |text| write!(f, ": {text}"))
    }
}

impl fmt::Debug for Uncaught<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uncaught({self})")
    }
}

/// Has `hook` called once for each greenlet of the process that ends by a panic or by something
/// thrown into it that it did not catch; not for kills. It replaces the hook before it.
///
/// It runs in the greenlet, after that has unwound and before its end is told to anybody; it may
/// block. The panic hook has run long before it, where the panic began.
///
/// The default prints what was thrown to standard error, and leaves panics to the panic hook. A runtime's own hook
/// ([`crate::RuntimeBuilder::uncaught_hook`]) takes the place of this one.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// let log = Arc::new(Mutex::new(Vec::new()));
/// let out = log.clone();
/// rustlet::set_uncaught_hook(move |uncaught| {
///     out.lock().unwrap().push(uncaught.message().map(str::to_owned));
/// });
/// let sleeper = rustlet::spawn(|| rustlet::sleep(std::time::Duration::MAX));
/// rustlet::yield_now();
/// sleeper.throw("enough");
/// assert!(sleeper.join().unwrap_err().is_panic());
/// assert_eq!(*log.lock().unwrap(), [Some("enough".to_owned())]);
/// ```
pub fn set_uncaught_hook(hook: impl Fn(&Uncaught<'_>) + Send + Sync + 'static) {
    let old = replace(Some(Arc::new(hook)));
    drop(old); // without the lock
}

/// Removes the hook, so that the default holds again, and returns it.
pub fn take_uncaught_hook() -> Option<Arc<UncaughtHook>> {
    replace(None)
}

fn replace(new: Option<Arc<UncaughtHook>>) -> Option<Arc<UncaughtHook>> {
    let mut hook = HOOK.write().unwrap_or_else(PoisonError::into_inner);
    core::mem::replace(&mut *hook, new)
}

/// The greenlet of `task`, which this runs in, has been ended by `payload`.
#[cold]
pub(super) fn report(task: &TaskRef, payload: &(dyn Any + Send), thrown: bool) {
    let hook = workers::uncaught_hook()
        .or_else(|| HOOK.read().unwrap_or_else(PoisonError::into_inner).clone());
    let uncaught = Uncaught {
        handle: Handle::new(task.clone()),
        payload,
        thrown,
    };
    let called = catch_unwind(AssertUnwindSafe(|| {
        if thrown {
            tracing::error!(
                target: "rustlet",
                id = task.id,
                name = task.name(),
                message = text(payload).unwrap_or("(no text)"),
                "uncaught throw"
            );
        }
        match hook {
            Some(hook) => hook(&uncaught),
            None if thrown => eprintln!("\n{uncaught}"),
            None => {}
        }
    }));
    // The payload's destructor is the user's too.
    core::mem::forget(called);
}
