//! `Command::pre_exec`, which std has as an unsafe method of `CommandExt`.
#![allow(unsafe_code)] // The method is unsafe, as std's.

use std::io;
use std::os::unix::process::CommandExt;

use super::Command;

impl Command {
    /// Runs `f` in the child, between fork and exec; see [`CommandExt::pre_exec`].
    ///
    /// The child is then made by fork(2) instead of a faster call. It continues on a copy of the stack of the greenlet that
    /// spawns; there is no other thread and no other greenlet in it.
    ///
    /// # Safety
    /// As std's: in the child of a program with several threads, `f` may only do what is async-signal-safe. That excludes
    /// allocating memory, taking locks, and everything of this crate that may suspend.
    pub unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller's promise is std's.
        unsafe { self.std_mut().pre_exec(f) };
        self
    }
}
