//! Guards: ranges at the low end of stacks that fault when touched.
//!
//! Which kind is used is found out once per process, at the first stack, by trying each on a
//! mapping of its own, best first:
//!
//! | kind | kernel | costs | fault |
//! |---|---|---|---|
//! | [`Madvise`](GuardKind::Madvise) | 6.13 | nothing but page tables | `SIGSEGV`, `SEGV_MAPERR` |
//! | [`Poison`](GuardKind::Poison) | 6.6, `userfaultfd` allowed | the same | `SIGBUS` |
//! | [`Mprotect`](GuardKind::Mprotect) | any | two kernel mappings each, of `vm.max_map_count` | `SIGSEGV`, `SEGV_ACCERR` |
//! | [`None`](GuardKind::None) | any | nothing, protects nothing | none: memory is corrupted |
//!
//! A kind is believed only if a guard that it made is seen to fault: an emulator answers success
//! to every `madvise` and does nothing. `None` is never chosen, only demanded, by the environment
//! variable `RUSTLET_GUARDS`.
//!
//! # Who may call what
//! Everything from any thread; nothing from a signal handler. [`Guards::reserve`] comes before
//! [`Guards::install`] for as many guards, [`Guards::release`] after they were unmapped.
//!
//! # Rejected
//! - Write protection by userfaultfd: catches writes only, and is lost in a forked child.
//! - A version check instead of a trial: distributions carry features back, sandboxes take them
//!   away.
//! - No guard, but a canary that is looked at on every switch: notices the damage after it is done.

use rustix::io::Errno;
use std::fmt;
use std::io;
use std::sync::OnceLock;

use super::mem::{self, Range};
use budget::Budget;

mod budget;
mod poison;
#[cfg(test)]
mod tests;

/// The environment variable that forces a kind.
const VARIABLE: &str = "RUSTLET_GUARDS";
/// Installs a guard in page tables (Linux 6.13). libc does not name it yet.
const MADV_GUARD_INSTALL: libc::c_int = 102;
/// No advice has this number; a kernel says so, an emulator that knows no better does not.
const NO_SUCH_ADVICE: libc::c_int = 9999;

/// How stacks are guarded against overflow in this process.
///
/// Chosen at the first stack; the environment variable `RUSTLET_GUARDS` (`madvise`, `poison`,
/// `mprotect`, `none` or `auto`) forces one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum GuardKind {
    /// Guard markers in the page tables, by `madvise(MADV_GUARD_INSTALL)`: any number of stacks.
    Madvise,
    /// Poisoned pages, by `userfaultfd` (`UFFDIO_POISON`): any number of stacks.
    Poison,
    /// Inaccessible pages, by `mprotect`: two kernel mappings a stack, so that
    /// `vm.max_map_count` limits their number to about thirty thousand on a default machine.
    Mprotect,
    /// No guards: an overflow silently overwrites another stack. Only when forced.
    #[default]
    None,
}

impl GuardKind {
    /// In the order in which they are tried.
    const CHOICES: [Self; 3] = [Self::Madvise, Self::Poison, Self::Mprotect];

    fn name(self) -> &'static str {
        match self {
            Self::Madvise => "madvise",
            Self::Poison => "poison",
            Self::Mprotect => "mprotect",
            Self::None => "none",
        }
    }
}

impl fmt::Display for GuardKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A row of guards to be: `count` times `len` bytes, the starts `stride` bytes apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) first: usize,
    pub(crate) stride: usize,
    pub(crate) count: usize,
    pub(crate) len: usize,
}

impl Row {
    fn starts(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.first + i * self.stride)
    }
}

/// The process's way of making guards.
#[derive(Debug)]
pub(crate) struct Guards {
    kind: GuardKind,
    /// How many `mprotect` guards there may be; without limit for the other kinds.
    budget: Budget,
}

/// The guards of this process, chosen at the first call.
///
/// # Errors
/// The environment variable has no known value, or demands what this system cannot do. Every call
/// answers the same: the choice is not tried again.
pub(crate) fn of_process() -> io::Result<&'static Guards> {
    static GUARDS: OnceLock<Result<Guards, (io::ErrorKind, String)>> = OnceLock::new();
    GUARDS
        .get_or_init(|| {
            let setting = std::env::var_os(VARIABLE);
            let setting = setting.as_ref().map(|value| value.to_string_lossy());
            Guards::choose(setting.as_deref())
                // io::Error cannot be cloned, and the answer is given to every caller.
                .map_err(|error| (error.kind(), error.to_string()))
        })
        .as_ref()
        .map_err(|(kind, text)| io::Error::new(*kind, text.clone()))
}

impl Guards {
    /// Chooses as if the environment variable held `setting`.
    pub(crate) fn choose(setting: Option<&str>) -> io::Result<Self> {
        let forced = match setting.unwrap_or("auto") {
            "auto" | "" => None,
            "madvise" => Some(GuardKind::Madvise),
            "poison" => Some(GuardKind::Poison),
            "mprotect" => Some(GuardKind::Mprotect),
            "none" => Some(GuardKind::None),
            other => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!(
                        "{VARIABLE}={other}: not a kind of stack guard; it may be auto, madvise, \
                         poison, mprotect or none"
                    ),
                ));
            }
        };
        if let Some(kind) = forced {
            return Self::tried(kind).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "{VARIABLE}={kind}: this system cannot do that ({error}); unset the \
                         variable to let rustlet choose"
                    ),
                )
            });
        }
        let mut reasons = String::new();
        for kind in GuardKind::CHOICES {
            match Self::tried(kind) {
                Ok(guards) => return Ok(guards),
                Err(error) => reasons.push_str(&format!(" {kind}: {error};")),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!(
                "no kind of stack guard works on this system:{reasons} {VARIABLE}=none runs \
                 without guards, and a stack overflow then corrupts memory"
            ),
        ))
    }

    /// Guards of this kind, if one that is made on trial faults.
    fn tried(kind: GuardKind) -> io::Result<Self> {
        let guards = Self {
            kind,
            budget: if kind == GuardKind::Mprotect {
                Budget::of_system()
            } else {
                Budget::unlimited()
            },
        };
        if kind == GuardKind::None {
            return Ok(guards);
        }
        let page = rustix::param::page_size();
        let start = mem::reserve(2 * page, page)?;
        // SAFETY: the two pages were reserved above, nobody else knows them, and they are unmapped
        // after their last use.
        unsafe {
            let verdict = guards.try_on(start, page);
            let _ = mem::unmap(start, 2 * page);
            verdict.map(|()| guards)
        }
    }

    /// # Safety
    /// Two pages from `start` are the caller's own, and hold nothing.
    unsafe fn try_on(&self, start: usize, page: usize) -> io::Result<()> {
        // SAFETY: the caller's promise covers all of these.
        unsafe {
            mem::commit(start, 2 * page)?;
            if self.kind == GuardKind::Madvise
                && mem::advise(start, page, NO_SUCH_ADVICE) != Err(Errno::INVAL)
            {
                return Err(io::Error::other("madvise answers success to any advice"));
            }
            self.install(Row {
                first: start,
                stride: 2 * page,
                count: 1,
                len: page,
            })?;
            if !mem::write_faults(start) {
                return Err(io::Error::other(
                    "the guard was installed but does not fault",
                ));
            }
            if mem::write_faults(start + page) {
                return Err(io::Error::other("the page above the guard faults too"));
            }
        }
        Ok(())
    }

    /// Which kind these are.
    pub(crate) fn kind(&self) -> GuardKind {
        self.kind
    }

    /// Sets aside the right to make up to `want` guards; answers how many, at least one.
    ///
    /// # Errors
    /// The budget of kernel mappings is used up; the text says what to raise.
    pub(crate) fn reserve(&self, want: usize) -> io::Result<usize> {
        self.budget.reserve(want)
    }

    /// Gives back the right to `count` guards, when they are unmapped or were never made.
    pub(crate) fn release(&self, count: usize) {
        self.budget.release(count);
    }

    /// Makes a row of guards.
    ///
    /// # Errors
    /// Want of memory for page tables, or a process whose memory is locked by `mlockall` since the
    /// guards were chosen. Some guards of the row may then exist; a row may be installed again.
    ///
    /// # Safety
    /// The memory from the first guard to `stride` after the last one's start is committed, the
    /// caller's own, and nothing in it is in use, also not by another thread.
    pub(crate) unsafe fn install(&self, row: Row) -> io::Result<()> {
        match self.kind {
            GuardKind::Madvise => {
                let ranges: Vec<Range> = row
                    .starts()
                    .map(|start| Range {
                        start,
                        len: row.len,
                    })
                    .collect();
                // SAFETY: the caller promises that the guards' ranges are its own and unused.
                unsafe { mem::advise_all(&ranges, MADV_GUARD_INSTALL) }.map_err(|error| {
                    let hint = match error {
                        Errno::INVAL => "; memory locked by mlockall cannot hold guards",
                        _ => "",
                    };
                    failure("madvise(MADV_GUARD_INSTALL)", error, hint)
                })
            }
            // SAFETY: as the caller promises.
            GuardKind::Poison => unsafe { poison::install(row) }
                .map_err(|error| failure("userfaultfd (UFFDIO_POISON)", error, "")),
            GuardKind::Mprotect => {
                for start in row.starts() {
                    // SAFETY: the caller promises that the guard's range is its own and unused.
                    unsafe { mem::forbid(start, row.len) }.map_err(|error| {
                        if error == Errno::NOMEM {
                            self.budget.exhausted()
                        } else {
                            failure("mprotect", error, "")
                        }
                    })?;
                }
                Ok(())
            }
            GuardKind::None => Ok(()),
        }
    }
}

fn failure(call: &str, error: Errno, hint: &str) -> io::Error {
    let error = io::Error::from(error);
    io::Error::new(
        error.kind(),
        format!("cannot install stack guards: {call}: {error}{hint}"),
    )
}
