//! Copying between descriptors, in the kernel where it can be done there.
//!
//! | function | from | to | bytes pass through |
//! |---|---|---|---|
//! | [`copy`] | any [`Read`] | any [`Write`] | a buffer of 64 KiB |
//! | [`splice()`], [`Splice`] | any descriptor that waits ([`WaitReadable`]) | any that waits ([`WaitWritable`]) | the kernel, where it can |
//! | [`send_file()`] | a part of a file | as above | the kernel, where it can |
//!
//! # Why `copy` does not find out by itself
//! std's `copy` does for std's types, by specialization, which is std's alone: in other crates a function over `Read` and
//! `Write` cannot see that its reader is a socket. A look through `Any` would need `'static` types, and would be defeated by
//! each `&mut` and `BufReader`. So there are two names: `copy` takes everything, and `splice` says in
//! its signature what it needs.
//!
//! # Where bytes are when a copy is interrupted
//! A kill, a timeout or an error may end each of them at any wait.
//! - [`copy`]: what was read last, up to 64 KiB, may not have been written. It is lost, as with [`std::io::copy`].
//! - [`splice()`]: the same. [`Splice`] keeps it, and goes on with it.
//! - [`send_file()`], and a splice from a file or from or to a pipe: nothing is in between. The file's offset, or the
//!   pipe, says how far it came.
//!
//! # Who may call what
//! Everything from any greenlet or thread. What the kernel copies to or from regular files is done on the caller's thread: reading a file
//! that is not cached blocks it for as long as the disk takes. ([`copy`] does as its reader and writer do: [`crate::fs::File`] waits.)

mod send_file;
mod spare;
mod splice;
mod store;
mod wait;

pub use send_file::send_file;
pub use splice::{Splice, splice};
pub use wait::{WaitReadable, WaitWritable};

use std::io::{self, Read, Write};

use rustix::io::Errno;

use crate::scheduler::hub;

/// Bytes that [`copy`] moves at once.
const BUFFER: usize = 64 * 1024;

/// Copies all that `reader` has to `writer`; returns the number of bytes. The twin of [`std::io::copy`].
///
/// With a buffer of 64 KiB, where std's has 8. For two descriptors, [`splice()`] is cheaper.
///
/// ```
/// let mut copied = Vec::new();
/// assert_eq!(rustlet::io::copy(&mut &b"hello"[..], &mut copied)?, 5);
/// assert_eq!(copied, b"hello");
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// The first error of a read or write, but for `Interrupted`. What was read and not written then is lost.
pub fn copy<R: Read + ?Sized, W: Write + ?Sized>(
    reader: &mut R,
    writer: &mut W,
) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut copied = 0;
    loop {
        let length = match reader.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        writer.write_all(&buffer[..length])?;
        copied += length as u64;
    }
}

/// One system call, after which others may have run: each counts as an operation that found what it needed.
fn attempt<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    // Before the call: a kill that is raised here loses nothing of what it moves.
    hub::get().spend_budget();
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// Whether the kernel says that it cannot move bytes between these two by itself. (Beyond the largest offset of either one's file
/// system it says `EOVERFLOW`, where a read finds the end.)
fn is_refusal(error: Errno) -> bool {
    matches!(
        error,
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::OVERFLOW
    )
}
