//! Queues between greenlets, and threads: gevent's, and Python's `queue`.
//!
//! | type | gives out |
//! |---|---|
//! | [`Queue`], [`JoinableQueue`] | what was put first |
//! | [`LifoQueue`] | what was put last |
//! | [`PriorityQueue`] | the smallest |
//! | [`Channel`] | what a putter holds out: it stores nothing |
//!
//! They are shared by reference or `Arc`, by any number of those who put and get. For channels that know
//! whether anybody is left at the other end, see [`crate::sync::mpmc`].
//!
//! - Those who wait are served in the order in which they came. An item goes straight to the getter that waits
//!   first, so none is lost when a getter is killed or times out: either it has got the item, or it
//!   has taken nothing. A put that is interrupted has put nothing.
//! - What can be done at once does not switch, as in gevent. But a loop of nothing else lets the others run every 128
//!   operations; the `_nowait` methods do not.
//! - Python's `shutdown` is how a queue ends.
//!
//! ```
//! use rustlet::queue::Queue;
//! use std::sync::Arc;
//!
//! let queue = Arc::new(Queue::bounded(2));
//! let worker = {
//!     let queue = queue.clone();
//!     rustlet::spawn(move || queue.iter().sum::<i32>())
//! };
//! for n in 1..=100 {
//!     queue.put(n).unwrap(); // waits when two are stored
//! }
//! queue.shutdown();
//! assert_eq!(worker.join().unwrap(), 5050);
//! ```
// Files: `exchange` (items change hands; the core of mpmc channels too; with `put` and `get`), `state` (behind its lock), `slot` (the frames
// that wait), `blocks` (where items are stored), `heap` (in order of their values), `peek`, `unfinished`
// (task_done and join), `face` (the methods of all types), `error`.

pub(in crate::sync) mod blocks;
mod error;
pub(in crate::sync) mod exchange;
mod face;
mod get;
pub(in crate::sync) mod heap;
mod peek;
mod put;
pub(in crate::sync) mod slot;
pub(in crate::sync) mod state;
mod unfinished;

use std::fmt;
use std::time::Duration;

use blocks::{Fifo, Lifo};
use exchange::{Exchange, Nothing, Refused, Words};
use face::{exchanges, stores};
use heap::Heap;

pub use error::{GetError, PutError, ShutDown};

const WORDS: Words = Words {
    item: "an item of a queue",
    room: "room in a queue",
    getting: "getting from a queue",
    putting: "putting into a queue",
};

/// First in, first out. With [`task_done`](Queue::task_done) and [`join`](Queue::join), as Python's.
///
/// ```
/// use rustlet::queue::{GetError, Queue};
/// let queue = Queue::bounded(1);
/// assert_eq!(queue.get_nowait(), Err(GetError::Empty));
/// queue.put("item").unwrap();
/// assert!(queue.is_full());
/// assert_eq!(queue.peek(), Ok("item"));
/// assert_eq!(queue.get(), Ok("item"));
/// ```
///
/// It carries between threads what may be sent:
///
/// ```compile_fail,E0277
/// fn shared<T: Sync>(_: T) {}
/// shared(rustlet::queue::Queue::<std::rc::Rc<()>>::new());
/// ```
pub struct Queue<T> {
    exchange: Exchange<T, Fifo<T>>,
}
exchanges!(Queue, Fifo);
stores!(Queue, Fifo);

/// [`Queue`], by the name that gevent's had with `task_done` and `join`.
///
/// ```
/// use rustlet::queue::JoinableQueue;
/// use std::sync::Arc;
///
/// let queue = Arc::new(JoinableQueue::new());
/// for _ in 0..3 {
///     let queue = queue.clone();
///     rustlet::spawn(move || {
///         for _item in &*queue {
///             rustlet::yield_now(); // works on it
///             queue.task_done();
///         }
///     });
/// }
/// (0..10).for_each(|item| queue.put(item).unwrap());
/// queue.join();
/// assert_eq!(queue.unfinished_tasks(), 0);
/// queue.shutdown();
/// ```
pub type JoinableQueue<T> = Queue<T>;

/// Last in, first out.
///
/// ```
/// let queue = rustlet::queue::LifoQueue::new();
/// (1..=3).for_each(|item| queue.put(item).unwrap());
/// queue.shutdown();
/// assert_eq!(queue.iter().collect::<Vec<_>>(), [3, 2, 1]);
/// ```
pub struct LifoQueue<T> {
    exchange: Exchange<T, Lifo<T>>,
}
exchanges!(LifoQueue, Lifo);
stores!(LifoQueue, Lifo);

/// Smallest first, as Python's; for the largest first use [`std::cmp::Reverse`]. Of equal items, any comes first.
///
/// Items are compared by those who get and peek, never by those who put. If a comparison panics, that comes out
/// of the get; the item that was being taken may be dropped then, and greenlets that wait at this time may get
/// items out of order. All other items stay.
///
/// ```
/// let queue = rustlet::queue::PriorityQueue::new();
/// for item in [(3, "wash"), (1, "shop"), (2, "cook")] {
///     queue.put(item).unwrap();
/// }
/// assert_eq!(queue.get(), Ok((1, "shop")));
/// assert_eq!(queue.get(), Ok((2, "cook")));
/// ```
pub struct PriorityQueue<T> {
    exchange: Exchange<T, Heap<T>>,
}
exchanges!(PriorityQueue, Heap, Ord);
stores!(PriorityQueue, Heap, Ord);

/// Has no room: a put waits until a get takes the item, and the other way round.
///
/// ```
/// use rustlet::queue::{Channel, PutError};
/// use std::sync::Arc;
///
/// let channel = Arc::new(Channel::new());
/// assert_eq!(channel.put_nowait(1), Err(PutError::Full(1))); // nobody waits for it
/// let getter = {
///     let channel = channel.clone();
///     rustlet::spawn(move || channel.get())
/// };
/// rustlet::yield_now();
/// assert_eq!(channel.balance(), -1);
/// channel.put_nowait(1).unwrap();
/// assert_eq!(getter.join().unwrap(), Ok(1));
/// ```
pub struct Channel<T> {
    exchange: Exchange<T, Fifo<T>>,
}
exchanges!(Channel, Fifo);

impl<T> Channel<T> {
    /// A channel that nobody waits at.
    pub const fn new() -> Self {
        const WORDS: Words = Words {
            item: "an item of a channel",
            room: "someone who gets from a channel",
            getting: "getting from a channel",
            putting: "putting into a channel",
        };
        Channel {
            exchange: Exchange::new(Fifo::new(), 0, &WORDS),
        }
    }

    /// How many wait to put, less how many wait to get. (A select counts wherever it waits.)
    pub fn balance(&self) -> isize {
        self.exchange.balance()
    }
}

impl<T> Default for Channel<T> {
    fn default() -> Self {
        Channel::new()
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("balance", &self.balance())
            .field("shut_down", &self.is_shut_down())
            .finish_non_exhaustive()
    }
}

/// Takes items, waiting for each, until the queue is shut down and empty: see its `iter`.
#[derive(Debug)]
pub struct Iter<'a, Q>(&'a Q);

fn get_error(nothing: Nothing) -> GetError {
    match nothing {
        Nothing::Closed => GetError::ShutDown,
        Nothing::Empty => GetError::Empty,
    }
}

fn put_error<T>(refused: Refused<T>) -> PutError<T> {
    match refused {
        Refused::Closed(item) => PutError::ShutDown(item),
        Refused::Full(item) => PutError::Full(item),
    }
}
