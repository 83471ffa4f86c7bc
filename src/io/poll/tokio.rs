//! `tokio::io`'s traits: for the types, and for shared references to them. No runtime of tokio's is needed.
#![allow(unsafe_code)] // Advances a buffer that was not initialised.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::traits::{PollRead, PollWrite, for_each_type};

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

macro_rules! implement {
    ([$($generics:tt)*] $type:ty, [$($read:tt)*], [$($write:tt)*]) => {
        implement!(@ [$($generics)*] $type, $type, [$($read)*], [$($write)*]);
        implement!(@ [$($generics)*] &$type, $type, [$($read)*], [$($write)*]);
    };
    (@ [$($generics:tt)*] $for:ty, $type:ty, [$($read:tt)*], [$($write:tt)*]) => {
        impl<$($generics)*> AsyncRead for $for
        where
            $($read)*
        {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let this: &$type = &self;
                read(this, cx, buf)
            }
        }

        impl<$($generics)*> AsyncWrite for $for
        where
            $($write)*
        {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                let this: &$type = &self;
                PollWrite::poll_write(this, cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let this: &$type = &self;
                PollWrite::poll_write_vectored(this, cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this: &$type = &self;
                PollWrite::poll_flush(this, cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this: &$type = &self;
                PollWrite::poll_shutdown(this, cx)
            }
        }
    };
}

for_each_type!(implement);
