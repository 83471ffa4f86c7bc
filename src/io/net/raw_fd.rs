//! `FromRawFd` for the socket types, which std's have too.
#![allow(unsafe_code)] // The trait's method is unsafe by definition.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{TcpListener, TcpStream};

impl FromRawFd for TcpStream {
    /// Makes the socket non-blocking.
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller owns `fd`, by the trait's contract.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}

impl FromRawFd for TcpListener {
    /// Makes the socket non-blocking.
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller owns `fd`, by the trait's contract.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}
