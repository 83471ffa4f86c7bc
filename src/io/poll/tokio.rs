//! `tokio::io`'s traits: for the types, and for shared references to them. No runtime of tokio's is needed.
#![allow(unsafe_code)] // Advances a buffer that was not initialised.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::traits::{PollRead, PollWrite, implement};

fn read<R: PollRead>(
    reader: &R,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    // SAFETY: `poll_receive` writes initialised bytes alone.
    let unfilled = unsafe { buf.unfilled_mut() };
    let count = ready!(reader.poll_receive(cx, unfilled))?;
    // SAFETY: `poll_receive` has initialised `count` bytes at the beginning of what is unfilled.
    unsafe { buf.assume_init(count) };
    buf.advance(count);
    Poll::Ready(Ok(()))
}

implement! {
    AsyncRead(&mut ReadBuf<'_>) -> (): read;
    AsyncWrite, poll_shutdown;

    fn is_write_vectored(&self) -> bool {
        true
    }
}
