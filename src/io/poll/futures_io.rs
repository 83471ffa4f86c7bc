//! `futures_io`'s traits: for the types, and for shared references to them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::traits::{PollRead, PollWrite, implement};

implement! {
    AsyncRead(&mut [u8]) -> usize: PollRead::poll_read;
    AsyncWrite, poll_close;
}
