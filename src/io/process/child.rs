//! `Child`: a process that was spawned, and its standard streams. The twin of [`std::process::Child`].

use std::io::{self, Read};
use std::process::{self, ExitStatus, Output};
use std::time::Duration;

use super::{ChildStderr, ChildStdin, ChildStdout, Process};
use crate::sync::group;

/// A child process; see [`std::process::Child`].
///
/// Dropping it does not end the process, unless [`Command::kill_on_drop`](super::Command::kill_on_drop) was asked for. Unlike
/// std's, it does not leave a zombie behind for good: a child that was dropped is reaped when one of the next is
/// spawned or dropped. Who has only [its number](Child::id) must therefore not wait for it by that, after the drop.
///
/// ```
/// use rustlet::process::{Command, Stdio};
/// use std::io::Write;
/// let mut sort = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// sort.stdin.take().unwrap().write_all(b"pear\napple\n")?; // dropped: the end of its input
/// assert_eq!(sort.wait_with_output()?.stdout, b"apple\npear\n");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Child {
    /// Its standard input, if that is piped.
    pub stdin: Option<ChildStdin>,
    /// Its standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// Its standard error, if that is piped.
    pub stderr: Option<ChildStderr>,
    owned: Owned,
}

/// The process, and what its owner's drop does to it. A field, because std's `Child` has no destructor, and its
/// streams can be moved out of it.
#[derive(Debug)]
struct Owned {
    process: Process,
    kill_on_drop: bool,
}

impl Child {
    pub(super) fn new(mut child: process::Child, kill_on_drop: bool) -> Self {
        Child {
            stdin: child.stdin.take().map(Into::into),
            stdout: child.stdout.take().map(Into::into),
            stderr: child.stderr.take().map(Into::into),
            owned: Owned {
                process: Process::new(child),
                kill_on_drop,
            },
        }
    }

    /// A handle with which others can wait for the process, or signal it.
    pub fn process(&self) -> Process {
        self.owned.process.clone()
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.owned.process.id()
    }

    /// Kills the process with `SIGKILL`; nothing happens if it is known to have ended.
    ///
    /// # Errors
    /// As [`std::process::Child::kill`].
    pub fn kill(&mut self) -> io::Result<()> {
        self.owned.process.kill()
    }

    /// Closes the process's standard input, if this has it, and waits for it to end.
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.owned.process.wait()
    }

    /// As [`Child::wait`], but no longer than `limit`; `None` if the process still runs then.
    ///
    /// ```
    /// use rustlet::process::Command;
    /// use std::time::Duration;
    /// let mut child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn()?;
    /// assert_eq!(child.wait_timeout(Duration::from_millis(10))?, None);
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// As [`Process::wait`].
    pub fn wait_timeout(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        self.owned.process.wait_timeout(limit)
    }

    /// The status of the process if it has ended. Never waits; called in a loop, it lets others run.
    ///
    /// # Errors
    /// As [`std::process::Child::try_wait`].
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.owned.process.try_wait()
    }

    /// Closes the process's standard input, if this has it, collects what it writes to standard output and error, as
    /// far as they are piped, and waits for it to end.
    ///
    /// Both are read at the same time, so the process is not held up by either. A greenlet that is killed meanwhile
    /// drops what it has read, and the child.
    ///
    /// # Errors
    /// As [`std::process::Child::wait_with_output`].
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (stdout, stderr) = match (self.stdout.take(), self.stderr.take()) {
            (Some(stdout), Some(stderr)) => read_both(stdout, stderr)?,
            (Some(stdout), None) => (read(stdout)?, Vec::new()),
            (None, Some(stderr)) => (Vec::new(), read(stderr)?),
            (None, None) => (Vec::new(), Vec::new()),
        };
        let status = self.wait()?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

fn read(mut stream: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_both(stdout: ChildStdout, stderr: ChildStderr) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (stdout, stderr) = if crate::scheduler::cannot_suspend() {
        // No other greenlet can run. A thread can, and is not the one that unwinds.
        std::thread::scope(|scope| {
            let stderr = scope.spawn(|| read(stderr));
            (read(stdout), stderr.join().map_err(drop))
        })
    } else {
        group::scope(|scope| {
            let stderr = scope.spawn(|| read(stderr));
            (read(stdout), stderr.join().map_err(drop))
        })
    };
    let stderr = stderr.map_err(|()| io::Error::other("reading standard error was ended"))?;
    Ok((stdout?, stderr?))
}

/// The child's streams become non-blocking at this end. Dropping the handle does not kill the process.
impl From<process::Child> for Child {
    fn from(child: process::Child) -> Self {
        Child::new(child, false)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // There is nobody to tell; it fails only for a process that runs as somebody else.
            let _ = self.process.kill();
        }
    }
}
