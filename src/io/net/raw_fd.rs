//! `FromRawFd` for the socket types, which std's have too.
#![allow(unsafe_code)] // The trait's method is unsafe by definition.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

macro_rules! from_raw_fd {
    ($($socket:ident),*) => {$(
        impl FromRawFd for $socket {
            /// Makes the socket non-blocking.
            unsafe fn from_raw_fd(fd: RawFd) -> Self {
                // SAFETY: the caller owns `fd`, by the trait's contract.
                unsafe { OwnedFd::from_raw_fd(fd) }.into()
            }
        }
    )*};
}

from_raw_fd!(
    TcpListener,
    TcpStream,
    UdpSocket,
    UnixDatagram,
    UnixListener,
    UnixStream
);
