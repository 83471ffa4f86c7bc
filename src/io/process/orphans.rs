//! Children whose handles were dropped before they had ended: reaped when the next child is spawned or dropped.
//!
//! An ended process keeps its number, as a zombie, until its parent has asked for its status. std leaves it so until the
//! parent ends, and a server that drops handles runs out of process numbers some day. Here, whatever is dropped alive
//! is put on a list, and each spawn and each drop looks at [`LOOKS`] of the list's members. As it adds at
//! most one, the zombies are never more than those that ended since the list was last walked through. (Python's
//! `subprocess` walks through all of it each time, which is slow beside many long-lived children.)
//!
//! # Not chosen
//! A thread or a greenlet that waits for each: it would keep a thread's hub from knowing that nothing is
//! left to do. `SIGCHLD`: it is the program's.

use std::collections::VecDeque;
use std::process::Child;
use std::sync::{Mutex, PoisonError};

/// Members that are looked at each time: a system call each.
const LOOKS: usize = 8;

static ORPHANS: Mutex<VecDeque<Child>> = Mutex::new(VecDeque::new());

/// Takes charge of a child that nobody has a handle to.
pub(super) fn adopt(mut child: Child) {
    if matches!(child.try_wait(), Ok(None)) {
        let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.push_back(child);
    }
    reap();
}

/// Reaps some of those that have ended meanwhile. Never waits.
pub(super) fn reap() {
    let mut orphans = ORPHANS.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..orphans.len().min(LOOKS) {
        if let Some(mut child) = orphans.pop_front()
            && matches!(child.try_wait(), Ok(None))
        {
            orphans.push_back(child);
        }
    }
}
