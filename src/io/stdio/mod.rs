//! Standard input, output and error, whatever they are connected to: the twins of std's.
//!
//! | file | one idea |
//! |---|---|
//! | [`input`] | `Stdin`: a buffer that gives nothing away before it is wanted |
//! | [`output`] | `Stdout`: by the line; `Stderr`: at once |
//!
//! # Never made non-blocking
//! The flag would belong to the open file description, which the shell, the parent and the rest of a pipeline share; they would
//! get errors from their reads, some of them after this process has ended. So it is waited for readiness, and then read or written
//! by calls that do not wait; [`Handle`] says how for each kind, and when a call may block the thread for a moment.
//! `epoll` refuses files; those are read from the page cache, or on the pool.
//!
//! # Beside std's
//! std's `println!` has a buffer of its own. Both give out whole lines, so lines do not mix; which line comes first is the
//! order of the writes. Two readers of standard input are another matter: what one has in its buffer the other never sees. What is
//! connected is looked at when it is first used; redirect (`dup2`) before that.

mod input;
mod output;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use crate::io::fs::handle::{Handle, Kind};

pub use input::{Stdin, StdinLock, stdin};
pub use output::{Stderr, StderrLock, Stdout, StdoutLock, stderr, stdout};

/// One of the three descriptors, as it is.
struct Standard {
    fd: fn() -> BorrowedFd<'static>,
    handle: OnceLock<Arc<Handle<BorrowedFd<'static>>>>,
}

impl Standard {
    const fn new(fd: fn() -> BorrowedFd<'static>) -> Self {
        Standard {
            fd,
            handle: OnceLock::new(),
        }
    }

    fn fd(&self) -> BorrowedFd<'static> {
        (self.fd)()
    }

    /// Operations on it that have been begun are not given up for a kill: what was read would be missing, and what is in a buffer
    /// written twice.
    fn handle(&self) -> &Arc<Handle<BorrowedFd<'static>>> {
        self.handle.get_or_init(|| {
            let fd = self.fd();
            Handle::patient(fd, Kind::of(fd.as_fd()))
        })
    }
}

/// As std has it, a descriptor that is closed is an empty input, and an output that takes everything.
fn unless_closed(result: io::Result<usize>, if_closed: usize) -> io::Result<usize> {
    match result {
        Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => Ok(if_closed),
        result => result,
    }
}
