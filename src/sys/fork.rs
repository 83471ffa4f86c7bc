//! Noticing that this process is the child of a fork.
//!
//! A child has the forking thread alone, and a copy of everybody's memory as it was: locks that other threads held are held for
//! ever, queues are to be emptied by threads that are not there, and descriptors of epoll and bells are shared with the parent. What relies
//! on any of these must not go on in a child, and has to be told.
//!
//! `posix_spawn` and `vfork` run no handlers and need none: their children call `exec` and nothing else. A raw `clone` system
//! call runs none either; whoever makes one is alone with it.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Once;

/// This process came into being by a fork after [`watch`].
static CHILD: AtomicBool = AtomicBool::new(false);

/// Has forks noticed from now on: in each child `forget` is called, before fork(2) returns there. It may do no more than a
/// signal handler may.
///
/// Without memory for that, which libc says by refusing, forks go unnoticed.
pub(crate) fn watch(forget: extern "C" fn()) {
    static FORGET: std::sync::OnceLock<extern "C" fn()> = std::sync::OnceLock::new();
    static ONCE: Once = Once::new();

    extern "C" fn in_child() {
        CHILD.store(true, Ordering::Relaxed);
        if let Some(forget) = FORGET.get() {
            forget();
        }
    }

    ONCE.call_once(|| {
        let _ = FORGET.set(forget);
        // SAFETY: a function that lives as long as the process, and does what a signal handler may: it stores, and
        // loads what was written before it was registered.
        let _ = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Whether this process is a child as [`watch`] means it. One load.
#[inline(always)]
pub(crate) fn is_child() -> bool {
    CHILD.load(Ordering::Relaxed)
}
