//! `splice`: from one descriptor to another without a copy to this program's memory.
//!
//! splice(2) moves between a pipe and something else, so between two others it goes through a pipe of its own:
//!
//! ```text
//!   socket ──► (a pipe) ──► socket, file         Through: taken bytes may be in the pipe
//!   pipe   ────────────────► anything            Straight
//!   anything ──────────────► pipe                Straight
//!   regular file ──────────► anything            File: sendfile(2), which takes only what it delivers
//! ```
//! Whatever the kernel refuses (`EINVAL`: a terminal, a file opened for appending, some of `/proc`) is read and written
//! through a buffer instead.

use std::io;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use super::send_file::CHUNK;
use super::store::Store;
use super::{WaitReadable, WaitWritable, attempt, is_refusal};

/// Copies all that `from` has to `to`, in the kernel where that can do it; returns the number of bytes.
///
/// ```
/// use rustlet::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// // An echo server: the bytes do not enter the program's memory.
/// rustlet::spawn(move || {
///     let (stream, _) = listener.accept()?;
///     rustlet::io::splice(&stream, &stream)
/// });
/// let mut stream = TcpStream::connect(addr)?;
/// stream.write_all(b"hello")?;
/// stream.shutdown(std::net::Shutdown::Write)?;
/// let mut echo = String::new();
/// stream.read_to_string(&mut echo)?;
/// assert_eq!(echo, "hello");
/// # std::io::Result::Ok(())
/// ```
///
/// # When it is interrupted
/// By an error, a kill or a timeout: up to 64 KiB that were taken from `from` may not have been delivered. They are lost, as with
/// [`std::io::copy`]; with a [`Splice`] of one's own they are not. Nothing is lost when `from` is a file, or one of the two
/// is a pipe.
///
/// # Errors
/// What reading or writing says, waiting included; no descriptors for a pipe. A socket whose peer has gone is
/// `BrokenPipe`, as long as the program ignores SIGPIPE, which Rust programs do.
pub fn splice<R, W>(from: &R, to: &W) -> io::Result<u64>
where
    R: WaitReadable + ?Sized,
    W: WaitWritable + ?Sized,
{
    Splice::new().copy(from, to)
}

/// A [`splice()`] that can go on after it was interrupted, and one that ends before its source does.
///
/// ```
/// use rustlet::io::{Splice, pipe};
/// use std::io::{Read, Write};
/// let (from, mut feed) = pipe()?;
/// let (mut drain, to) = pipe()?;
/// feed.write_all(b"headbody")?;
/// let mut splice = Splice::new();
/// assert_eq!(splice.copy_at_most(&from, &to, 4)?, 4);
/// let mut head = [0; 4];
/// drain.read_exact(&mut head)?;
/// assert_eq!(&head, b"head");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Default)]
pub struct Splice {
    /// Made when first needed.
    store: Option<Store>,
    delivered: u64,
}

/// How bytes go, which the two descriptors decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    File,
    Straight,
    Through,
}

impl Splice {
    /// One that has nothing pending. Descriptors are taken when they are needed.
    pub const fn new() -> Self {
        Splice {
            store: None,
            delivered: 0,
        }
    }

    /// Bytes that were taken from a source and are still to be delivered: an earlier copy was interrupted. The next one delivers
    /// them first.
    pub fn pending(&self) -> usize {
        self.store.as_ref().map_or(0, Store::pending)
    }

    /// Bytes delivered in the life of this, those of interrupted copies too.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Copies what is pending and all that `from` has to `to`; returns the number of bytes delivered.
    ///
    /// # Errors
    /// As [`splice()`]; what was taken and not delivered is [pending](Splice::pending).
    pub fn copy<R, W>(&mut self, from: &R, to: &W) -> io::Result<u64>
    where
        R: WaitReadable + ?Sized,
        W: WaitWritable + ?Sized,
    {
        self.copy_at_most(from, to, u64::MAX)
    }

    /// As [`Splice::copy`], but takes no more than `limit` bytes from `from`.
    ///
    /// Fewer are copied only if `from` ended. What is pending does not count.
    ///
    /// # Errors
    /// As [`Splice::copy`].
    pub fn copy_at_most<R, W>(&mut self, from: &R, to: &W, limit: u64) -> io::Result<u64>
    where
        R: WaitReadable + ?Sized,
        W: WaitWritable + ?Sized,
    {
        let before = self.delivered;
        self.flush(to)?;
        let mut left = limit;
        let mut way = way(from, to)?;
        while left > 0 {
            let moved = match way {
                Way::File => self.file(from, to, left),
                Way::Straight => self.straight(from, to, left),
                Way::Through => self.through(from, to, left),
            };
            match moved {
                Ok(0) => break,
                Ok(moved) => left -= moved as u64,
                // Refused before anything was taken.
                Err(Refusal::Refused) => {
                    way = Way::Through;
                    self.store = Some(Store::buffer());
                }
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        Ok(self.delivered - before)
    }

    /// Delivers what is pending.
    ///
    /// # Errors
    /// What writing says; the rest stays pending.
    pub fn flush<W: WaitWritable + ?Sized>(&mut self, to: &W) -> io::Result<()> {
        let Some(store) = &mut self.store else {
            return Ok(());
        };
        while store.pending() > 0 {
            match store.drain(to.as_fd()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(moved) => self.delivered += moved as u64,
                Err(Errno::AGAIN) => to.wait_writable()?,
                Err(error) if is_refusal(error) && store.is_pipe() => store.spill()?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn through<R, W>(&mut self, from: &R, to: &W, limit: u64) -> Result<usize, Refusal>
    where
        R: WaitReadable + ?Sized,
        W: WaitWritable + ?Sized,
    {
        let store = match &mut self.store {
            Some(store) => store,
            none => none.insert(Store::pipe()?),
        };
        let taken = loop {
            match store.fill(from.as_fd(), limit) {
                Ok(taken) => break taken,
                Err(Errno::AGAIN) => from.wait_readable()?,
                Err(error) if is_refusal(error) && store.is_pipe() => return Err(Refusal::Refused),
                Err(error) => return Err(error.into()),
            }
        };
        self.flush(to)?;
        Ok(taken)
    }

    fn straight<R, W>(&mut self, from: &R, to: &W, limit: u64) -> Result<usize, Refusal>
    where
        R: WaitReadable + ?Sized,
        W: WaitWritable + ?Sized,
    {
        let asked = usize::try_from(limit).map_or(CHUNK, |limit| limit.min(CHUNK));
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        loop {
            match attempt(|| rustix::pipe::splice(from, None, to, None, asked, flags)) {
                Ok(moved) => {
                    self.delivered += moved as u64;
                    return Ok(moved);
                }
                // It does not say which side would block. Each of these returns at once if it is not that one.
                Err(Errno::AGAIN) => {
                    from.wait_readable()?;
                    to.wait_writable()?;
                }
                Err(error) if is_refusal(error) => return Err(Refusal::Refused),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn file<R, W>(&mut self, from: &R, to: &W, limit: u64) -> Result<usize, Refusal>
    where
        R: WaitReadable + ?Sized,
        W: WaitWritable + ?Sized,
    {
        let asked = usize::try_from(limit).map_or(CHUNK, |limit| limit.min(CHUNK));
        loop {
            match attempt(|| rustix::fs::sendfile(to, from, None, asked)) {
                Ok(moved) => {
                    self.delivered += moved as u64;
                    return Ok(moved);
                }
                Err(Errno::AGAIN) => to.wait_writable()?,
                Err(error) if is_refusal(error) => return Err(Refusal::Refused),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Why nothing was moved.
enum Refusal {
    /// The kernel does not move bytes between these two; nothing was taken.
    Refused,
    Failed(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::Failed(error)
    }
}

impl From<Errno> for Refusal {
    fn from(error: Errno) -> Self {
        Refusal::Failed(error.into())
    }
}

fn way<R: WaitReadable + ?Sized, W: WaitWritable + ?Sized>(from: &R, to: &W) -> io::Result<Way> {
    let [from, to] = [from.as_fd(), to.as_fd()]
        .map(|fd| rustix::fs::fstat(fd).map(|status| FileType::from_raw_mode(status.st_mode)));
    Ok(match (from?, to?) {
        (FileType::Fifo, _) | (_, FileType::Fifo) => Way::Straight,
        (FileType::RegularFile, _) => Way::File,
        _ => Way::Through,
    })
}
