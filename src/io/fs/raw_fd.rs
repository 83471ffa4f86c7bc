//! `FromRawFd` for [`File`], which std's has too.
#![allow(unsafe_code)] // The trait's method is unsafe by definition.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::File;

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller owns `fd`, by the trait's contract.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}
