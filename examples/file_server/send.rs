//! Parts of a file over a connection, by `rustlet::io::send_file`, which is sendfile(2): the kernel moves pages from its cache to the socket, and nothing is
//! copied through this process.
//!
//! What stands before a part goes out with `MSG_MORE`, so that a head and the start of its file share a packet.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;
use rustlet::net::TcpStream;

/// What is sent before other greenlets have their turn: a client on the same machine may take as fast as the kernel sends.
const AT_ONCE: u64 = 512 * 1024;

/// A body: bytes of ours and parts of one file.
#[derive(Debug)]
pub(crate) struct Payload {
    pub(crate) file: Arc<File>,
    pub(crate) pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Part { offset: u64, length: u64 },
}

impl Payload {
    /// Sends it all, behind `before`.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file has become shorter; `WouldBlock` if the client takes nothing for as long as the stream's write
    /// timeout; what the calls say.
    pub(crate) fn send(&self, stream: &TcpStream, before: &[u8]) -> io::Result<()> {
        send(stream, before, !self.pieces.is_empty())?;
        for (index, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Bytes(bytes) => send(stream, bytes, index + 1 < self.pieces.len())?,
                Piece::Part { offset, length } => {
                    send_part(stream, &self.file, *offset, *length)?;
                }
            }
        }
        Ok(())
    }
}

fn send(stream: &TcpStream, mut bytes: &[u8], more: bool) -> io::Result<()> {
    let mut flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    flags.set(SendFlags::MORE, more);
    while !bytes.is_empty() {
        match rustix::net::send(stream, bytes, flags) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(Errno::AGAIN) => stream.wait_writable()?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn send_part(
    stream: &TcpStream,
    file: &Arc<File>,
    mut offset: u64,
    mut length: u64,
) -> io::Result<()> {
    while length > 0 {
        let count = length.min(AT_ONCE);
        warm(file, offset, count);
        let sent = rustlet::io::send_file(stream, &**file, &mut offset, count)?;
        if sent < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        length -= sent;
        rustlet::yield_now();
    }
    Ok(())
}

/// Has the kernel read a part of the file from its disk, on the blocking pool, unless its last byte is in memory already: the
/// others on this thread would all wait for the disk. What cannot be read, sendfile will find out.
fn warm(file: &Arc<File>, offset: u64, count: u64) {
    let last = offset + count - 1;
    let mut byte = [0];
    let mut probe = [IoSliceMut::new(&mut byte)];
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    // Some file systems do not know the question; most of those have no disk.
    if rustix::io::preadv2(&**file, &mut probe, last, flags) != Err(Errno::AGAIN) {
        return;
    }
    let file = file.clone();
    rustlet::unblock(move || {
        let mut buffer = vec![0; 64 * 1024];
        let mut at = offset;
        while let Ok(read @ 1..) = file.read_at(&mut buffer, at)
            && at <= last
        {
            at += read as u64;
        }
    });
}
