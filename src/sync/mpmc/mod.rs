//! Channels with two ends: any number of senders and receivers, each of which may be cloned.
//!
//! As [`std::sync::mpsc`] and `crossbeam-channel`, with std's names and errors; waiting lets the other
//! greenlets run. The channel lives as long as both ends do:
//!
//! - When the last [`Sender`] is gone, receivers get what is left, and then an error.
//! - When the last [`Receiver`] is gone, what is left is dropped, and senders get their items back.
//!
//! Items come out in the order in which they went in. Those who wait are served in the order in which they came; an item
//! goes straight to the receiver that waits first. A receive that is killed or times out has received nothing, a send that
//! is has sent nothing.
//!
//! What can be done at once does not switch; but 128 such operations in a row let the others run. The `try_` methods never do.
//!
//! ```
//! use rustlet::sync::mpmc;
//!
//! let (sender, receiver) = mpmc::bounded(10);
//! for n in 0..3 {
//!     let sender = sender.clone();
//!     rustlet::spawn(move || sender.send(n * n).unwrap());
//! }
//! drop(sender); // the greenlets' clones are left
//! assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 4]);
//! ```
// Files: `mod.rs` (the two ends and their number), `sender`, `receiver`, `error`. How items change hands is
// in `crate::sync::queue::exchange`.

mod error;
mod receiver;
mod sender;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::queue::blocks::Fifo;
use super::queue::exchange::{Exchange, Words};

pub use error::SendTimeoutError;
pub use receiver::{IntoIter, Iter, Receiver, TryIter};
pub use sender::Sender;
pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

const WORDS: Words = Words {
    item: "an item of a channel",
    room: "room in a channel",
    getting: "receiving from a channel",
    putting: "sending into a channel",
};

/// Makes a channel that holds up to `capacity` items. With a capacity of 0 it holds none: a send waits for a receive.
///
/// ```
/// use rustlet::sync::mpmc::{self, TrySendError};
/// let (sender, receiver) = mpmc::bounded(1);
/// sender.send(1).unwrap();
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// assert_eq!(receiver.recv(), Ok(1));
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    ends(capacity)
}

/// Makes a channel that holds any number of items: sending never waits.
///
/// ```
/// let (sender, receiver) = rustlet::sync::mpmc::unbounded();
/// (0..1000).for_each(|n| sender.send(n).unwrap());
/// assert_eq!(receiver.len(), 1000);
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    ends(usize::MAX)
}

fn ends<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        exchange: Exchange::new(Fifo::new(), capacity, &WORDS),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
    });
    (Sender::of(channel.clone()), Receiver::of(channel))
}

/// What both ends share.
struct Channel<T> {
    exchange: Exchange<T, Fifo<T>>,
    /// How many there are of each end; when it comes to 0 it stays there.
    senders: AtomicUsize,
    receivers: AtomicUsize,
}

/// One end more.
fn enter(ends: &AtomicUsize) {
    // Who clones an end has one. Overflow would take as many leaked ends as there are addresses, of which each
    // counts in the `Arc` too; that aborts first.
    ends.fetch_add(1, Ordering::Relaxed);
}

/// One end less: whether it was the last. What the others did before is visible then.
fn leave(ends: &AtomicUsize) -> bool {
    ends.fetch_sub(1, Ordering::AcqRel) == 1
}
