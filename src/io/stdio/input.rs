//! [`Stdin`]: the twin of [`std::io::Stdin`].
//!
//! The buffer grows to hold a line: [`BufRead::read_line`] takes nothing out of it before the line is complete. A kill or
//! a timeout in the middle of a line therefore loses none of it, as std's way of doing it would.

use std::fmt;
use std::io::{self, BufRead, IoSliceMut, Lines, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::PoisonError;

use super::{Standard, unless_closed};
use crate::sync::{Mutex, MutexGuard};

/// Read at once.
const CHUNK: usize = 8192;

static STANDARD: Standard = Standard::new(rustix::stdio::stdin);
static INPUT: Mutex<Input> = Mutex::new(Input {
    data: Vec::new(),
    start: 0,
    chunk: Vec::new(),
});

/// What was read and not yet taken: `data[start..]`.
struct Input {
    data: Vec<u8>,
    start: usize,
    /// Is read into. Not `data`, which an interrupted read would leave with bytes that nobody has read.
    chunk: Vec<u8>,
}

fn read(buf: &mut [u8]) -> io::Result<usize> {
    let read = STANDARD.handle().read(&mut [IoSliceMut::new(buf)], None);
    unless_closed(read, 0)
}

impl Input {
    fn unread(&self) -> &[u8] {
        &self.data[self.start..]
    }

    /// Reads more behind what is there; 0 at the end.
    fn read_more(&mut self) -> io::Result<usize> {
        self.chunk.resize(CHUNK, 0);
        let length = read(&mut self.chunk)?;
        self.data.drain(..self.start);
        self.start = 0;
        self.data.extend_from_slice(&self.chunk[..length]);
        Ok(length)
    }

    fn consume(&mut self, amount: usize) {
        self.start = (self.start + amount).min(self.data.len());
    }

    /// Makes sure that all up to the next `delimiter`, or up to the end, is there; its length.
    fn read_until(&mut self, delimiter: u8) -> io::Result<usize> {
        let mut looked_at = 0;
        loop {
            let unread = self.unread();
            let found = unread[looked_at..]
                .iter()
                .position(|&byte| byte == delimiter);
            if let Some(index) = found {
                return Ok(looked_at + index + 1);
            }
            looked_at = unread.len();
            match self.read_more() {
                Ok(0) => return Ok(looked_at),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The standard input of the process; see [`std::io::Stdin`].
///
/// Reading lets the other greenlets run. All handles share one buffer and one lock, which belongs to a greenlet.
///
/// ```no_run
/// for line in rustlet::io::stdin().lines() {
///     println!("{}", line?.to_uppercase());
/// }
/// # std::io::Result::Ok(())
/// ```
pub struct Stdin {
    input: &'static Mutex<Input>,
}

/// The standard input of the process.
pub fn stdin() -> Stdin {
    Stdin { input: &INPUT }
}

impl Stdin {
    /// Waits until no other greenlet has the input, and takes it.
    pub fn lock(&self) -> StdinLock<'static> {
        // What a panic leaves behind is a buffer like any other.
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        StdinLock { input }
    }

    /// Reads a line, with its end, and appends it to `buf`; 0 at the end of the input.
    ///
    /// # Errors
    /// As [`std::io::Stdin::read_line`].
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// The lines, without their ends.
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }

    /// Whether it is a terminal, as [`std::io::IsTerminal`] says.
    pub fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&self.as_fd())
    }
}

/// The input, taken; see [`std::io::StdinLock`].
pub struct StdinLock<'a> {
    input: MutexGuard<'a, Input>,
}

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.input.unread().is_empty() && buf.len() >= CHUNK {
            return read(buf);
        }
        let length = self.fill_buf()?.read(buf)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.input.unread().is_empty() {
            self.input.read_more()?;
        }
        Ok(self.input.unread())
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }

    fn read_until(&mut self, byte: u8, buf: &mut Vec<u8>) -> io::Result<usize> {
        let length = self.input.read_until(byte)?;
        buf.extend_from_slice(&self.input.unread()[..length]);
        self.consume(length);
        Ok(length)
    }

    fn read_line(&mut self, buf: &mut String) -> io::Result<usize> {
        let length = self.input.read_until(b'\n')?;
        let line = str::from_utf8(&self.input.unread()[..length]);
        let appended = line.map(|line| buf.push_str(line)).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "stream did not contain valid UTF-8",
            )
        });
        self.consume(length);
        appended.map(|()| length)
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }

    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        STANDARD.fd()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        STANDARD.fd().as_raw_fd()
    }
}

impl AsFd for StdinLock<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        STANDARD.fd()
    }
}

impl AsRawFd for StdinLock<'_> {
    fn as_raw_fd(&self) -> RawFd {
        STANDARD.fd().as_raw_fd()
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdinLock").finish_non_exhaustive()
    }
}
