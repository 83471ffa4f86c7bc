//! `Command`: what is to be run, and how. The twin of [`std::process::Command`], which does the work.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};

use super::{Child, orphans};

/// A process to be spawned; see [`std::process::Command`] for what each method means.
///
/// The methods of `std::os::unix::process::CommandExt` are methods of this type.
///
/// ```
/// use rustlet::process::Command;
/// let output = Command::new("sh").args(["-c", "echo $GREETING; exit 3"]).env("GREETING", "hello").output()?;
/// assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"hello\n"[..]));
/// # std::io::Result::Ok(())
/// ```
pub struct Command {
    std: process::Command,
    /// Whether the caller has said what standard input, output and error are to be: std does not tell.
    given: [bool; 3],
    kill_on_drop: bool,
}

impl Command {
    /// A command that runs `program`, found as std finds it, without arguments, in this process's environment and directory.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        process::Command::new(program).into()
    }

    pub(super) fn std_mut(&mut self) -> &mut process::Command {
        &mut self.std
    }

    /// Adds an argument.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.std.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Command
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.env(key, val);
        self
    }

    /// Sets variables of the child's environment.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(vars);
        self
    }

    /// Keeps a variable from the child.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Keeps this process's variables from the child.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Sets the child's working directory.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.std.current_dir(dir);
        self
    }

    /// Sets the child's standard input; inherited by default, and nothing for [`Command::output`].
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stdin(cfg);
        self.given[0] = true;
        self
    }

    /// Sets the child's standard output; inherited by default, and piped for [`Command::output`].
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stdout(cfg);
        self.given[1] = true;
        self
    }

    /// Sets the child's standard error; inherited by default, and piped for [`Command::output`].
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stderr(cfg);
        self.given[2] = true;
        self
    }

    /// Sets the child's user; std's `CommandExt::uid`.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// Sets the child's group; std's `CommandExt::gid`.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }

    /// Sets the zeroth argument; std's `CommandExt::arg0`.
    pub fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.std.arg0(arg);
        self
    }

    /// Sets the child's process group, 0 for one of its own; std's `CommandExt::process_group`.
    pub fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.std.process_group(pgroup);
        self
    }

    /// Whether the process is killed (`SIGKILL`) when its [`Child`] is dropped; false by default.
    ///
    /// A `Child` is dropped, too, when a greenlet is killed or timed out in [`Command::output`],
    /// [`Command::status`] or [`Child::wait_with_output`]. The process alone is killed, not those that it has started.
    pub fn kill_on_drop(&mut self, kill_on_drop: bool) -> &mut Command {
        self.kill_on_drop = kill_on_drop;
        self
    }

    /// Starts the process.
    ///
    /// This is std's: it does not suspend, and blocks the thread until the child has executed its program: 0.2 ms for a small
    /// one, however many greenlets there are. On a thread of a pool it would not, but the child's life may depend on the
    /// thread that it was spawned by (`PR_SET_PDEATHSIG`), and so do its user, its namespaces, its scheduling and
    /// its signal mask, which Linux keeps for each thread.
    ///
    /// With [`uid`](Command::uid), [`gid`](Command::gid) or [`pre_exec`](Command::pre_exec), std makes the child by fork(2),
    /// which copies the process's page tables and blocks the thread meanwhile: 0.5 ms in a small process, some hundred
    /// milliseconds beside 100,000 greenlets.
    ///
    /// # Errors
    /// As [`std::process::Command::spawn`].
    pub fn spawn(&mut self) -> io::Result<Child> {
        orphans::reap();
        self.std
            .spawn()
            .map(|child| Child::new(child, self.kill_on_drop))
    }

    /// Starts the process, waits for it, and collects its standard output and error.
    ///
    /// # Errors
    /// As [`std::process::Command::output`].
    pub fn output(&mut self) -> io::Result<Output> {
        // As if this were the default: it must not be there for a later `spawn`.
        let [stdin, stdout, stderr] = self.given;
        self.defaults([stdin, stdout, stderr], Stdio::null, Stdio::piped);
        let child = self.spawn();
        self.defaults([stdin, stdout, stderr], Stdio::inherit, Stdio::inherit);
        child?.wait_with_output()
    }

    /// Sets those standard streams that the caller has not.
    fn defaults(&mut self, given: [bool; 3], input: fn() -> Stdio, output: fn() -> Stdio) {
        let [stdin, stdout, stderr] = given;
        if !stdin {
            self.std.stdin(input());
        }
        if !stdout {
            self.std.stdout(output());
        }
        if !stderr {
            self.std.stderr(output());
        }
    }

    /// Starts the process and waits for it.
    ///
    /// # Errors
    /// As [`std::process::Command::status`].
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        self.spawn()?.wait()
    }

    /// Becomes the program: returns only if that fails. std's `CommandExt::exec`.
    ///
    /// The other threads and all greenlets are gone without unwinding.
    pub fn exec(&mut self) -> io::Error {
        self.std.exec()
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.std.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.std.get_args()
    }

    /// The variables that were set or removed.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.std.get_envs()
    }

    /// The working directory, if one was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.std.get_current_dir()
    }
}

/// [`Command::output`] will replace the standard streams that std's command was given, as it does not tell which they are.
impl From<process::Command> for Command {
    fn from(std: process::Command) -> Self {
        Command {
            std,
            given: [false; 3],
            kill_on_drop: false,
        }
    }
}

/// As std's: the program and its arguments.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.std.fmt(f)
    }
}
