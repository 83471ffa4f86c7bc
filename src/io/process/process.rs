//! `Process`: a child process as those see it who wait for its end or signal it. Any number of them, on any thread.
//!
//! ```text
//!   try_wait   waitpid(WNOHANG), under a lock, until it has given the status, which std's Child then keeps
//!   wait       try_wait; if it still runs: the notice, and try_wait whenever that says something
//!
//!   notice     pidfd:   readable when the process has ended       ─┐ made at the first wait
//!              thread:  waitid(WNOWAIT), then sets an event       ─┘ that has to wait
//! ```
//! The notice is a hint, and the status is asked under the lock alone. So whoever comes first reaps the process, the others
//! find its status, and a signal never goes to a number that has been given to another process: as long as nobody
//! has reaped it, it keeps the number.
//!
//! # Kills and timeouts
//! A greenlet that is killed or times out in [`Process::wait`] leaves nothing behind: the process goes on, and its status is there
//! for whoever asks next.

use std::fmt;
use std::io;
use std::process::{self, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};

use super::orphans;
use crate::io::source::Source;
use crate::reactor::Interest;
use crate::scheduler::hub;
use crate::sync::Event;
use crate::sys::means::Means;
use crate::sys::{clock, signal_delivery, thread};

/// How often a process is looked at where nothing tells of its end: 1 ms.
const NAP: clock::Nanos = 1_000_000;

/// A child process, for any number of greenlets and threads that wait for it or signal it.
///
/// What [`Child`](super::Child) cannot be, whose methods take it exclusively as std's do. Clones are handles to the same
/// process. They neither keep it alive nor kill it; `kill_on_drop` is about the `Child` alone.
///
/// ```
/// use rustlet::process::Command;
/// let child = Command::new("sleep").arg("1000").spawn()?;
/// let process = child.process();
/// let waiters = [(); 2].map(|()| {
///     let process = process.clone();
///     rustlet::spawn(move || process.wait())
/// });
/// process.kill()?;
/// for waiter in waiters {
///     assert_eq!(waiter.join().unwrap()?.code(), None); // it was a signal
/// }
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
pub struct Process {
    life: Arc<Life>,
}

struct Life {
    id: u32,
    /// `None` only while it is dropped. Held for single system calls, never across a suspension.
    child: Mutex<Option<process::Child>>,
    /// What tells of the end. Set under the lock of `child`.
    notice: OnceLock<Notice>,
}

enum Notice {
    Pidfd(Source<OwnedFd>),
    Thread(Arc<Event>),
}

/// Descriptors of processes; see [`crate::sys::means`].
static PIDFD: Means = Means::new("RUSTLET_PIDFD");

impl Process {
    pub(super) fn new(child: process::Child) -> Self {
        Process {
            life: Arc::new(Life {
                id: child.id(),
                child: Mutex::new(Some(child)),
                notice: OnceLock::new(),
            }),
        }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.life.id
    }

    /// Waits for the process to end.
    ///
    /// # Errors
    /// As [`std::process::Child::wait`]: `ECHILD` if somebody else has reaped it. Where there is no pidfd: no thread could be
    /// started.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        self.life
            .wait(None)
            .map(|status| status.expect("only a limit ends it early"))
    }

    /// Waits for the process to end, but no longer than `limit`; `None` if it still runs then.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn wait_timeout(&self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        self.life.wait(Some(limit))
    }

    /// The status of the process if it has ended. Never waits; called in a loop, it lets others run.
    ///
    /// # Errors
    /// As [`std::process::Child::try_wait`].
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        hub::get().spend_budget();
        self.life.try_wait()
    }

    /// Kills the process with `SIGKILL`; nothing happens if it is known to have ended.
    ///
    /// # Errors
    /// As [`std::process::Child::kill`].
    pub fn kill(&self) -> io::Result<()> {
        self.life.running().kill()
    }

    /// Sends a signal to the process; nothing happens if it has ended.
    ///
    /// ```
    /// use rustlet::{process::Command, signal::SignalKind};
    /// use std::os::unix::process::ExitStatusExt;
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// child.process().send_signal(SignalKind::terminate())?;
    /// assert_eq!(child.wait()?.signal(), Some(SignalKind::terminate().as_raw_value()));
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// As kill(2): the number is no signal's, or the process runs as somebody else.
    pub fn send_signal(&self, signal: crate::io::signal::SignalKind) -> io::Result<()> {
        let mut child = self.life.running();
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        Ok(signal_delivery::send(self.life.id, signal.as_raw_value())?)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.life.id)
            .finish_non_exhaustive()
    }
}

/// The std child, locked.
struct Running<'a>(MutexGuard<'a, Option<process::Child>>);

impl std::ops::Deref for Running<'_> {
    type Target = process::Child;
    fn deref(&self) -> &process::Child {
        self.0.as_ref().expect("taken only by drop")
    }
}

impl std::ops::DerefMut for Running<'_> {
    fn deref_mut(&mut self) -> &mut process::Child {
        self.0.as_mut().expect("taken only by drop")
    }
}

impl Life {
    fn running(&self) -> Running<'_> {
        Running(self.child.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.running().try_wait()
    }

    fn wait(&self, limit: Option<Duration>) -> io::Result<Option<ExitStatus>> {
        if let Some(status) = self.try_wait()? {
            return Ok(Some(status));
        }
        match self.notice()? {
            Notice::Pidfd(source) => self.wait_by_pidfd(source, limit),
            Notice::Thread(ended) => self.wait_by_event(ended, limit.map(clock::after)),
        }
    }

    fn wait_by_pidfd(
        &self,
        source: &Source<OwnedFd>,
        limit: Option<Duration>,
    ) -> io::Result<Option<ExitStatus>> {
        let ended = source.operate(Interest::Read, limit, |_| match self.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err(Errno::AGAIN),
            Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        });
        match ended {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn wait_by_event(
        &self,
        ended: &Event,
        deadline: Option<clock::Nanos>,
    ) -> io::Result<Option<ExitStatus>> {
        loop {
            let may_suspend = !crate::scheduler::cannot_suspend();
            match deadline {
                _ if !may_suspend => {}
                None => ended.wait(),
                Some(at) => {
                    let left = at.saturating_sub(clock::now());
                    ended.wait_timeout(Duration::from_nanos(left));
                }
            }
            if let Some(status) = self.try_wait()? {
                return Ok(Some(status));
            }
            let now = clock::now();
            if deadline.is_some_and(|at| now >= at) {
                return Ok(None);
            }
            // Told of its end, and it is not there: a debugger has it first. Or this is unwinding.
            let nap = deadline.map_or(now + NAP, |at| at.min(now + NAP));
            match may_suspend {
                true => crate::timer::sleep(Duration::from_nanos(nap - now)),
                false => thread::sleep_until(nap),
            }
        }
    }

    /// What tells of the end; made now, if this is the first to ask.
    fn notice(&self) -> io::Result<&Notice> {
        if let Some(notice) = self.notice.get() {
            return Ok(notice);
        }
        let pidfd = PIDFD.is_allowed()?;
        // Under the lock the process is not reaped, and so its number is its own.
        let _running = self.running();
        if let Some(notice) = self.notice.get() {
            return Ok(notice);
        }
        let pid = Pid::from_raw(self.id.cast_signed()).ok_or(Errno::SRCH)?;
        let opened = match pidfd {
            true => rustix::process::pidfd_open(pid, PidfdFlags::empty()),
            false => Err(Errno::NOSYS),
        };
        let notice = match opened {
            Ok(pidfd) => Notice::Pidfd(Source::new(pidfd)),
            // ENOSYS, EPERM of a sandbox, EMFILE: a thread does it without. If the process is not there at
            // all, waiting will say so.
            Err(_) => Notice::Thread(watch(pid)?),
        };
        Ok(self.notice.get_or_init(|| notice))
    }
}

/// Starts a thread that waits for the process, and leaves its status to be asked for.
///
/// One a process: those of the blocking pool are few, and a child may run for days.
fn watch(pid: Pid) -> io::Result<Arc<Event>> {
    let ended = Arc::new(Event::new());
    let event = ended.clone();
    let name = format!("wait-{}", pid.as_raw_nonzero());
    thread::start(name, Some(64 << 10), move || {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        // Another answer than EINTR is an end too: somebody has reaped it.
        while let Err(Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
        event.set();
    })?;
    Ok(ended)
}

impl Drop for Life {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(child) = child.take() {
            orphans::adopt(child);
        }
    }
}
