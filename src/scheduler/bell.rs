//! The bell of a hub: ends its sleep in the kernel, from any thread.
//!
//! An eventfd, made when the hub first blocks: a hub that never does has none. Ringing a bell that does not
//! exist yet does nothing, because its hub has not blocked: it looks into its inbox after it has made the bell and
//! before it sleeps.

use std::io;
use std::sync::OnceLock;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

#[derive(Debug)]
pub(super) struct Bell(OnceLock<OwnedFd>);

impl Bell {
    pub(super) const fn new() -> Self {
        Bell(OnceLock::new())
    }

    /// What becomes readable when it rings. Made on first use.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(bell) = self.0.get() {
            return Ok(bell.as_fd());
        }
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(self.0.get_or_init(|| bell).as_fd())
    }

    pub(super) fn silence(&self) {
        if let Some(bell) = self.0.get() {
            let mut count = [0u8; 8];
            let _ = rustix::io::read(bell, &mut count);
        }
    }

    pub(super) fn ring(&self) {
        if let Some(bell) = self.0.get() {
            // It can only fail with EAGAIN, when it has rung 2^64 - 2 times unheard.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }
}
