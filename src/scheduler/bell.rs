//! The bell of a hub: ends its sleep in the kernel, from any thread.
//!
//! A word to wait for (`futex`), until the hub waits for descriptors too; then an eventfd among these. The word is quicker by a
//! quarter where it is enough: waking from it takes the kernel less than from epoll (`benches/README.md`). And
//! a hub that knows no descriptors has none.
//!
//! # Ringing while the eventfd is made
//! Only the hub makes it, when it is awake. A ringer sets the word and then looks for the eventfd; the hub makes the eventfd known and
//! then looks at the word, and if that is set, rings the eventfd itself. Between the two steps of each is a sequentially consistent fence: one of
//! them sees the other. So what was rung before ends the first wait after.

use core::sync::atomic::{AtomicU32, Ordering, fence};
use std::io;
use std::sync::OnceLock;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::sys::clock::Nanos;
use crate::sys::thread::{wait_for_word, wait_readable, wake_from_word};

const SILENT: u32 = 0;
const RUNG: u32 = 1;

#[derive(Debug)]
pub(super) struct Bell {
    word: AtomicU32,
    fd: OnceLock<OwnedFd>,
}

impl Bell {
    pub(super) const fn new() -> Self {
        Bell {
            word: AtomicU32::new(SILENT),
            fd: OnceLock::new(),
        }
    }

    /// What becomes readable when it rings. Made on first use, by the hub.
    ///
    /// # Errors
    /// No file descriptor is left (`EMFILE`, `ENFILE`), or no memory.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        if let Some(fd) = self.fd.get() {
            return Ok(fd.as_fd());
        }
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let fd = self.fd.get_or_init(|| fd);
        fence(Ordering::SeqCst); // pairs with that of `ring`
        if self.word.load(Ordering::Relaxed) == RUNG {
            ring(fd);
        }
        Ok(fd.as_fd())
    }

    /// For a hub that waits for nothing else: blocks until it rings, `deadline` has come, or a signal arrived, and silences it.
    pub(super) fn wait(&self, deadline: Option<Nanos>) {
        if let Some(fd) = self.fd.get() {
            // There is one, of a hub that had this bell before.
            if wait_readable(fd.as_fd(), deadline) {
                let mut count = [0u8; 8];
                let _ = rustix::io::read(fd, &mut count);
            }
        } else {
            wait_for_word(&self.word, SILENT, deadline);
            self.word.store(SILENT, Ordering::Relaxed);
        }
    }

    /// Ends the hub's wait, or makes its next one end at once.
    pub(super) fn ring(&self) {
        self.word.store(RUNG, Ordering::Relaxed);
        fence(Ordering::SeqCst); // pairs with that of `fd`
        match self.fd.get() {
            Some(fd) => ring(fd),
            None => wake_from_word(&self.word),
        }
    }
}

fn ring(fd: &OwnedFd) {
    // It can only fail with EAGAIN, when it has rung 2^64 - 2 times unheard.
    let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;
    use std::sync::Barrier;

    const SECOND: Nanos = 1_000_000_000;

    /// Whether a wait ended long before its deadline.
    fn is_rung(bell: &Bell) -> bool {
        let deadline = clock::now() + 60 * SECOND;
        bell.wait(Some(deadline));
        clock::now() < deadline - 10 * SECOND
    }

    #[test]
    fn it_is_heard_before_and_during_a_wait() {
        for has_fd in [false, true] {
            let bell = Bell::new();
            if has_fd {
                bell.fd().unwrap();
            }
            bell.ring();
            bell.ring();
            assert!(is_rung(&bell));
            std::thread::scope(|threads| {
                threads.spawn(|| bell.ring());
                assert!(is_rung(&bell));
            });
            // Silent again: twice rung is heard once.
            let deadline = clock::now() + SECOND / 100;
            bell.wait(Some(deadline));
            assert!(clock::now() >= deadline);
        }
    }

    #[test]
    fn what_is_rung_while_the_descriptor_is_made_is_heard() {
        for _ in 0..1_000 {
            let bell = Bell::new();
            let both = Barrier::new(2);
            std::thread::scope(|threads| {
                threads.spawn(|| {
                    both.wait();
                    bell.ring();
                });
                both.wait();
                bell.fd().unwrap();
                assert!(is_rung(&bell));
            });
        }
    }
}
