//! `FromRawFd` for the ends of pipes, which std's have too.
#![allow(unsafe_code)] // The trait's method is unsafe by definition.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{PipeReader, PipeWriter};

impl FromRawFd for PipeReader {
    /// Makes the descriptor non-blocking.
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller owns `fd`, by the trait's contract.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}

impl FromRawFd for PipeWriter {
    /// Makes the descriptor non-blocking.
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller owns `fd`, by the trait's contract.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}
