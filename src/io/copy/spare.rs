//! Pipes to splice through, kept for the next one: making and closing one takes some microseconds, and two
//! descriptors that may just have run out.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::pipe::PipeFlags;

/// Pipes kept; more are closed.
const KEPT: usize = 16;

/// A pipe with nothing in it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) reader: OwnedFd,
    pub(super) writer: OwnedFd,
}

static SPARE: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// An empty pipe.
///
/// # Errors
/// No descriptor is left.
pub(super) fn take() -> Result<Pipe, Errno> {
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(pipe) = spare {
        return Ok(pipe);
    }
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    Ok(Pipe { reader, writer })
}

/// Keeps a pipe that the caller knows to be empty.
pub(super) fn give_back(pipe: Pipe) {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    if spare.len() < KEPT {
        spare.push(pipe);
    }
}
