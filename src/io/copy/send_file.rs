//! `send_file`: a part of a regular file to a socket or a pipe. sendfile(2).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

use super::{BUFFER, WaitWritable, attempt, is_refusal};

/// Bytes moved by one system call, after which others may run.
pub(super) const CHUNK: usize = 256 * 1024;

/// Sends `count` bytes of `file`, from `offset` on, to `to`; returns how many were sent, which are fewer only if the file
/// ended.
///
/// `offset` moves on with what has been sent, also when this ends with an error, a kill or a timeout: calling
/// it again with the same `offset` goes on where it stopped. The file's own position is neither
/// used nor moved, so many may send from one file at the same time.
///
/// The bytes do not pass through the program's memory, unless the kernel refuses to move them by itself. A file that is not
/// cached is read on the caller's thread, which blocks it for as long as the disk takes.
///
/// ```
/// use rustlet::io::{pipe, send_file};
/// use std::io::{Read, Write};
/// let mut file = tempfile::tempfile()?;
/// file.write_all(b"0123456789")?;
/// let (mut reader, writer) = pipe()?;
/// let mut offset = 3;
/// assert_eq!(send_file(&writer, &file, &mut offset, 4)?, 4);
/// assert_eq!(offset, 7);
/// let mut part = [0; 4];
/// reader.read_exact(&mut part)?;
/// assert_eq!(&part, b"3456");
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// What reading the file or writing says; what waiting for `to` says.
pub fn send_file<W, F>(to: &W, file: &F, offset: &mut u64, count: u64) -> io::Result<u64>
where
    W: WaitWritable + ?Sized,
    F: AsFd + ?Sized,
{
    let mut left = count;
    while left > 0 {
        let asked = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        match attempt(|| rustix::fs::sendfile(to, file, Some(offset), asked)) {
            Ok(0) => break,
            Ok(sent) => left -= sent as u64,
            Err(Errno::AGAIN) => to.wait_writable()?,
            Err(error) if is_refusal(error) => {
                left -= send_through_buffer(to, file.as_fd(), offset, left)?;
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(count - left)
}

/// As [`send_file`], by reading and writing.
fn send_through_buffer<W: WaitWritable + ?Sized>(
    to: &W,
    file: BorrowedFd<'_>,
    offset: &mut u64,
    count: u64,
) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut left = count;
    while left > 0 {
        let asked = usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER));
        let length = attempt(|| rustix::io::pread(file, &mut buffer[..asked], *offset))?;
        if length == 0 {
            break;
        }
        let mut rest = &buffer[..length];
        while !rest.is_empty() {
            match attempt(|| rustix::io::write(to, rest)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => {
                    rest = &rest[sent..];
                    *offset += sent as u64;
                    left -= sent as u64;
                }
                Err(Errno::AGAIN) => to.wait_writable()?,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(count - left)
}
