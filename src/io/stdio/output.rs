//! [`Stdout`], which gives out whole lines, and [`Stderr`], which has no buffer: the twins of std's.
//!
//! The greenlets' lock decides whose turn it is, and is held while something is written. The buffer lies behind a std mutex of its own,
//! which is held for copying alone: so a part of a line that was never flushed can be written when the process ends, from
//! where there is no hub any more, and code that is unwinding, which cannot wait for the turn, can write too.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use super::{Standard, unless_closed};
use crate::sync::{ReentrantMutex, ReentrantMutexGuard};
use crate::sys::exit;

/// The buffer of standard output holds no more.
const ROOM: usize = 8192;

static OUT: Standard = Standard::new(rustix::stdio::stdout);
static OUT_TURN: ReentrantMutex<()> = ReentrantMutex::new(());
static BUFFER: Mutex<Vec<u8>> = Mutex::new(Vec::new());

static ERR: Standard = Standard::new(rustix::stdio::stderr);
static ERR_TURN: ReentrantMutex<()> = ReentrantMutex::new(());

type Turn = ReentrantMutexGuard<'static, ()>;

/// Waits for the turn. Code that is unwinding cannot, and goes on without.
fn turn(of: &'static ReentrantMutex<()>) -> Option<Turn> {
    if crate::scheduler::cannot_suspend() {
        return of.try_lock();
    }
    Some(of.lock())
}

fn write(to: &Standard, buf: &[u8]) -> io::Result<usize> {
    let written = to.handle().write(&[IoSlice::new(buf)], None);
    unless_closed(written, buf.len())
}

fn buffer() -> MutexGuard<'static, Vec<u8>> {
    BUFFER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the first part of `buf` into the buffer, and writes the lines that are complete; for who has the turn.
fn write_lines(buf: &[u8]) -> io::Result<usize> {
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| exit::at_exit(write_the_rest));
    if buffer().len() + buf.len() > ROOM {
        write_out(|data| data.len())?;
    }
    let taken = &buf[..buf.len().min(ROOM)];
    buffer().extend_from_slice(taken);
    let lines = |data: &[u8]| {
        data.iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1)
    };
    if lines(taken) == 0 {
        return Ok(taken.len());
    }
    write_out(lines).map(|()| taken.len()).or_else(|error| {
        // Nothing of an output that failed is kept, or it would come out later, twice.
        let mut data = buffer();
        let left = data.len().min(taken.len());
        let kept = data.len() - left;
        data.truncate(kept);
        match taken.len() - left {
            0 => Err(error),
            written => Ok(written),
        }
    })
}

/// Writes as much of the buffer as `length` says of it; for who has the turn.
fn write_out(length: impl Fn(&[u8]) -> usize) -> io::Result<()> {
    loop {
        let data = {
            let data = buffer();
            data[..length(&data)].to_vec()
        };
        if data.is_empty() {
            return Ok(());
        }
        match write(&OUT, &data) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                let mut data = buffer();
                let written = written.min(data.len()); // at the end of the process it is emptied
                data.drain(..written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The end of the process.
extern "C" fn write_the_rest() {
    let Ok(mut data) = BUFFER.try_lock() else {
        return;
    };
    while !data.is_empty() {
        match rustix::io::write(OUT.fd(), &data) {
            Ok(written) if written > 0 => drop(data.drain(..written)),
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

/// The standard output of the process; see [`std::io::Stdout`].
///
/// Writing lets the other greenlets run while a pipe or a terminal takes no more. Output is given out by the line, at
/// [`Write::flush`], and at the end of the process. All handles share one buffer and one lock, which belongs to a greenlet, who may
/// take it again.
///
/// A greenlet that is killed while it waits leaves what it has written so far in the buffer, and the next who writes goes on from
/// there. None of it is lost or written twice.
///
/// ```
/// use std::io::Write;
/// let mut out = rustlet::io::stdout().lock();
/// writeln!(out, "two lines")?;
/// writeln!(out, "of one greenlet")?;
/// # std::io::Result::Ok(())
/// ```
pub struct Stdout {
    _private: (),
}

/// The standard output of the process.
pub fn stdout() -> Stdout {
    Stdout { _private: () }
}

impl Stdout {
    /// Waits until no other greenlet has the output, and takes it.
    pub fn lock(&self) -> StdoutLock<'static> {
        StdoutLock {
            turn: turn(&OUT_TURN),
            _life: core::marker::PhantomData,
        }
    }

    /// Whether it is a terminal, as [`std::io::IsTerminal`] says.
    pub fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&self.as_fd())
    }
}

/// The output, taken; see [`std::io::StdoutLock`].
pub struct StdoutLock<'a> {
    turn: Option<Turn>,
    _life: core::marker::PhantomData<&'a ()>,
}

impl Write for StdoutLock<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        if self.turn.is_none() {
            // Somebody is in the middle of writing from the buffer, and will come to this.
            buffer().extend_from_slice(buf);
            return Ok(buf.len());
        }
        write_lines(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.turn.is_none() {
            return Ok(());
        }
        write_out(<[u8]>::len)
    }
}

/// The standard error output of the process; see [`std::io::Stderr`]. It has no buffer.
///
/// ```
/// use std::io::Write;
/// writeln!(rustlet::io::stderr(), "something happened")?;
/// # std::io::Result::Ok(())
/// ```
pub struct Stderr {
    _private: (),
}

/// The standard error output of the process.
pub fn stderr() -> Stderr {
    Stderr { _private: () }
}

impl Stderr {
    /// Waits until no other greenlet has the output, and takes it.
    pub fn lock(&self) -> StderrLock<'static> {
        StderrLock {
            _turn: turn(&ERR_TURN),
            _life: core::marker::PhantomData,
        }
    }

    /// Whether it is a terminal, as [`std::io::IsTerminal`] says.
    pub fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&self.as_fd())
    }
}

/// The error output, taken; see [`std::io::StderrLock`].
pub struct StderrLock<'a> {
    _turn: Option<Turn>,
    _life: core::marker::PhantomData<&'a ()>,
}

impl Write for StderrLock<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        write(&ERR, buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What both have alike: each call of a handle takes the lock, and a lock has the descriptor.
macro_rules! output {
    ($handle:ident, $lock:ident, $standard:ident) => {
        impl Write for $handle {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                self.lock().write_fmt(args)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.lock().flush()
            }
        }

        impl Write for &$handle {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                self.lock().write_fmt(args)
            }

            fn flush(&mut self) -> io::Result<()> {
                self.lock().flush()
            }
        }

        impl AsFd for $handle {
            fn as_fd(&self) -> BorrowedFd<'_> {
                $standard.fd()
            }
        }

        impl AsRawFd for $handle {
            fn as_raw_fd(&self) -> RawFd {
                $standard.fd().as_raw_fd()
            }
        }

        impl AsFd for $lock<'_> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                $standard.fd()
            }
        }

        impl AsRawFd for $lock<'_> {
            fn as_raw_fd(&self) -> RawFd {
                $standard.fd().as_raw_fd()
            }
        }

        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($handle)).finish_non_exhaustive()
            }
        }

        impl fmt::Debug for $lock<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($lock)).finish_non_exhaustive()
            }
        }
    };
}

output!(Stdout, StdoutLock, OUT);
output!(Stderr, StderrLock, ERR);
