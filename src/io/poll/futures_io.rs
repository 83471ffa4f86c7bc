//! `futures_io`'s traits: for the types, and for shared references to them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::traits::{PollRead, PollWrite, for_each_type};

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
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let this: &$type = &self;
                PollRead::poll_read(this, cx, buf)
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

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this: &$type = &self;
                PollWrite::poll_flush(this, cx)
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                let this: &$type = &self;
                PollWrite::poll_shutdown(this, cx)
            }
        }
    };
}

for_each_type!(implement);
