//! [`Stall`]: what is told of a hub that does not go on.

use core::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::scheduler::Who;
use crate::scheduler::stalls::{Culprit, Subject};

/// A thread whose greenlets do not get to run, since one of them, or the thread's own code, has not let go of it for longer than
/// [`watch_stalls`](super::watch_stalls) was told.
///
/// Displayed as a line that says which thread, whose code, since when and how many are held up, followed by the native
/// backtrace of that code.
#[derive(Clone, Debug)]
pub struct Stall {
    thread: u32,
    thread_name: Option<Box<str>>,
    worker: Option<usize>,
    who: Option<Who>,
    lasted: Duration,
    held_up: usize,
    frames: Vec<StallFrame>,
    note: Option<&'static str>,
}

/// One function of a [`Stall`]'s backtrace.
#[derive(Clone, Debug)]
pub struct StallFrame {
    address: usize,
    function: Option<Box<str>>,
    file: Option<PathBuf>,
    line: Option<u32>,
}

impl Stall {
    /// Finds the names of functions, which takes a while.
    pub(super) fn new(subject: &Subject, culprit: Culprit, lasted: Duration) -> Stall {
        // A greenlet does not wait for itself; nor does one that has just ended.
        let itself = culprit.who.as_ref().is_some_and(|who| who.id != 0);
        Stall {
            thread: subject.thread,
            thread_name: subject.name.clone(),
            worker: subject.worker,
            who: culprit.who,
            lasted,
            held_up: subject.live().saturating_sub(usize::from(itself)),
            frames: symbolize(&culprit.frames),
            note: culprit.note,
        }
    }

    /// The same, seen again later.
    pub(super) fn lasting(self, lasted: Duration) -> Stall {
        Stall { lasted, ..self }
    }

    /// The kernel's number of the thread, as in `/proc/self/task`, `top -H` and debuggers.
    pub fn thread_id(&self) -> u32 {
        self.thread
    }

    /// The thread's name, as it was when the thread first used this library.
    pub fn thread_name(&self) -> Option<&str> {
        self.thread_name.as_deref()
    }

    /// Which worker of its [`Runtime`](crate::Runtime) the thread is, if it is one.
    pub fn worker(&self) -> Option<usize> {
        self.worker
    }

    /// The number of the greenlet that keeps the thread; 0 for the thread's own code; `None` if it could not be learnt.
    pub fn id(&self) -> Option<u64> {
        self.who.as_ref().map(|who| who.id)
    }

    /// The name of that greenlet, if it was given one; for the thread's own code that of the thread.
    pub fn name(&self) -> Option<&str> {
        self.who.as_ref()?.name.as_deref()
    }

    /// Where that greenlet was spawned; `None` for the thread's own code.
    pub fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.who.as_ref()?.spawned_at
    }

    /// For how long it is known to have lasted. It began up to half of the watch's limit before that.
    pub fn lasted(&self) -> Duration {
        self.lasted
    }

    /// Other greenlets of the thread: none of them runs before the culprit lets go, whatever they wait for.
    /// Without what another worker may start in the meantime.
    pub fn held_up(&self) -> usize {
        self.held_up
    }

    /// The backtrace, innermost function first, as of the moment when the stall was noticed; with inlined functions. Empty
    /// if the thread could not be asked.
    pub fn backtrace(&self) -> &[StallFrame] {
        &self.frames
    }

    /// What is to be known of the backtrace: why it is not there, or ends early. `None` if it is complete.
    pub fn note(&self) -> Option<&'static str> {
        self.note
    }
}

impl StallFrame {
    /// The address in the code: of the next instruction in the innermost function, of the return in others.
    pub fn address(&self) -> usize {
        self.address
    }

    /// The function's name, if it is known.
    pub fn function(&self) -> Option<&str> {
        self.function.as_deref()
    }

    /// The source file, if the program has debugging information.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The line in it.
    pub fn line(&self) -> Option<u32> {
        self.line
    }
}

fn symbolize(addresses: &[usize]) -> Vec<StallFrame> {
    let mut frames = Vec::with_capacity(addresses.len());
    for (nth, &address) in addresses.iter().enumerate() {
        let known = frames.len();
        // `resolve` takes return addresses, and looks at the byte before. The first is none.
        let after = address + usize::from(nth == 0);
        backtrace::resolve(core::ptr::without_provenance_mut(after), |symbol| {
            frames.push(StallFrame {
                address,
                // Without the hash at the end.
                function: symbol.name().map(|name| format!("{name:#}").into()),
                file: symbol.filename().map(Path::to_owned),
                line: symbol.lineno(),
            });
        });
        if frames.len() == known {
            frames.push(StallFrame {
                address,
                function: None,
                file: None,
                line: None,
            });
        }
    }
    frames
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.thread_name.as_deref().unwrap_or("unnamed");
        write!(f, "thread '{name}' ({}", self.thread)?;
        if let Some(worker) = self.worker {
            write!(f, ", worker {worker}")?;
        }
        write!(f, ") has been kept for {:.1?} by ", self.lasted)?;
        match &self.who {
            Some(who) => write!(f, "{who}")?,
            None => f.write_str("something unknown")?,
        }
        write!(f, " and holds up {} greenlets", self.held_up)?;
        for (nth, frame) in self.frames.iter().enumerate() {
            write!(f, "\n{nth:4}: {frame}")?;
        }
        self.note
            .map_or(Ok(()), |note| write!(f, "\n      ({note})"))
    }
}

impl fmt::Display for StallFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.function {
            Some(function) => f.write_str(function)?,
            None => write!(f, "{:#x}", self.address)?,
        }
        if let Some(file) = &self.file {
            write!(f, "\n             at {}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
        }
        Ok(())
    }
}
