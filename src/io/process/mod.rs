//! Child processes: the twin of [`std::process`].
//!
//! ```
//! use rustlet::process::Command;
//! let greetings: Vec<_> = ["hello", "again"]
//!     .map(|word| rustlet::spawn(move || Command::new("echo").arg(word).output()))
//!     .into_iter()
//!     .map(|greenlet| greenlet.join().unwrap())
//!     .collect::<Result<_, _>>()?;
//! assert_eq!(greetings[1].stdout, b"again\n");
//! # std::io::Result::Ok(())
//! ```
//!
//! # How
//! | file | one idea |
//! |---|---|
//! | `command` | what is to be run: std's builder, and what it is missing |
//! | `pre_exec` | the one method of it that is unsafe |
//! | `child` | the process as its parent's handle; output |
//! | `stdio` | its standard streams: pipes |
//! | `process` | waiting for its end, by any number of greenlets of any thread, and signalling it |
//! | `orphans` | reaping those whose handles were dropped |
//!
//! Spawning is std's, on the caller's thread, which takes some hundred microseconds until the child has executed its program:
//! see [`Command::spawn`] for why not elsewhere. Waiting is by pidfd, which becomes readable when
//! the process ends. Where the kernel has none (before 5.3, some emulators and sandboxes), or no descriptor is left, a thread
//! waits for the process without reaping it. `RUSTLET_PIDFD=none` has it so everywhere (`sys::means`).
//!
//! Nothing here looks at `SIGCHLD`, and no child is reaped but those that were spawned here: other code of the program
//! may have children too. A program that has the kernel reap them all (`SIGCHLD` ignored) gets an
//! error from waiting, as with std.

mod child;
mod command;
mod orphans;
mod pre_exec;
#[expect(
    clippy::module_inception,
    reason = "the module is named after std's, the file after what it is about"
)]
mod process;
mod stdio;

pub use child::Child;
pub use command::Command;
pub use process::Process;
pub use stdio::{ChildStderr, ChildStdin, ChildStdout};

#[doc(no_inline)]
pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};
