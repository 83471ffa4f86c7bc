//! hyper's runtime: its I/O traits for our types and shared references to them, an executor, and timers.
//!
//! hyper brings no runtime of its own, but asks for one in these four traits. Everything it spawns becomes a greenlet.
#![allow(unsafe_code)] // Advances a buffer that was not initialised.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Timer, Write};

use super::traits::{PollRead, PollWrite, implement};
use crate::io::block_on::block_on;
use crate::timer::Sleep;

/// Runs what hyper spawns (the streams of an HTTP/2 connection, for example) in a greenlet each.
///
/// So the code of a service may block like other code of a greenlet, and holds up no other stream. Needs the feature `hyper`.
///
/// # Panics
/// As [`crate::spawn`], when hyper spawns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Executor;

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        drop(crate::scheduler::spawn(move || {
            block_on(future);
        }));
    }
}

/// hyper's timeouts, by this library's timers. Needs the feature `hyper`.
#[derive(Clone, Copy, Debug, Default)]
pub struct HyperTimer;

impl hyper::rt::Sleep for Sleep {}

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep::new(duration))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Sleep::until(deadline))
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<Sleep>() {
            Some(ours) => ours.get_mut().reset(deadline),
            None => *sleep = self.sleep_until(deadline),
        }
    }
}

fn read<R: PollRead>(
    reader: &R,
    cx: &mut Context<'_>,
    mut buf: ReadBufCursor<'_>,
) -> Poll<io::Result<()>> {
    // SAFETY: `poll_receive` writes initialised bytes alone.
    let unfilled = unsafe { buf.as_mut() };
    let count = ready!(reader.poll_receive(cx, unfilled))?;
    // SAFETY: `poll_receive` has initialised `count` bytes at the beginning of what is unfilled.
    unsafe { buf.advance(count) };
    Poll::Ready(Ok(()))
}

implement! {
    Read(ReadBufCursor<'_>) -> (): read;
    Write, poll_shutdown;

    fn is_write_vectored(&self) -> bool {
        true
    }
}
