//! [`Receiver`]: where items come out; and its iterators.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::{Channel, RecvError, RecvTimeoutError, TryRecvError, enter, leave};
use crate::sync::queue::blocks::Fifo;
use crate::sync::queue::exchange::{Exchange, Nothing};

/// The end of a channel where items come out. See [`super`].
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Receiver<T> {
    pub(super) fn of(channel: Arc<Channel<T>>) -> Self {
        Receiver { channel }
    }

    /// Receives the next item; waits while there is none.
    ///
    /// # Errors
    /// If there is none, and no sender is left.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever send
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    #[inline]
    pub fn recv(&self) -> Result<T, RecvError> {
        match self.channel.exchange.get(None) {
            Ok(item) => Ok(item),
            Err(_) => Err(RecvError),
        }
    }

    /// Receives the next item, if there is one, or somebody waits to send one. Never waits, and never lets
    /// others run.
    ///
    /// # Errors
    /// If there is none; it says whether no sender is left.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match self.channel.exchange.get_now() {
            Ok(item) => Ok(item),
            Err(Nothing::Closed) => Err(TryRecvError::Disconnected),
            Err(Nothing::Empty) => Err(TryRecvError::Empty),
        }
    }

    /// As [`Receiver::recv`], for no longer than `limit`.
    ///
    /// # Errors
    /// If there was none in time, or there is none and no sender is left.
    ///
    /// # Panics
    /// As [`Receiver::recv`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        match self.channel.exchange.get_timeout(limit) {
            Ok(item) => Ok(item),
            Err(Nothing::Closed) => Err(RecvTimeoutError::Disconnected),
            Err(Nothing::Empty) => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Receives items, waiting for each, until no sender is left.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter(self)
    }

    /// Receives the items that are there, or that somebody waits to send; never waits.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter(self)
    }

    /// How many items are in the channel now.
    pub fn len(&self) -> usize {
        self.channel.exchange.len()
    }

    /// Whether no item is in the channel now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room in the channel now; always so if its capacity is 0.
    pub fn is_full(&self) -> bool {
        self.capacity()
            .is_some_and(|capacity| self.len() >= capacity)
    }

    /// How many items the channel may hold; `None` if any number.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.exchange.capacity()
    }

    /// Whether `other` is an end of the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }

    #[inline]
    pub(in crate::sync) fn exchange(&self) -> &Exchange<T, Fifo<T>> {
        &self.channel.exchange
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        enter(&self.channel.receivers);
        Receiver::of(self.channel.clone())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if leave(&self.channel.receivers) {
            self.channel.exchange.close(true);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

// A panic leaves the channel as it was, or with what was done, done.
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

/// See [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T>(&'a Receiver<T>);

impl<T> Iterator for Iter<'_, T> {
    type Item = T;
    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

/// See [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T>(&'a Receiver<T>);

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;
    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.try_recv().ok()
    }
}

/// As [`Iter`], and owns the receiver.
#[derive(Debug)]
pub struct IntoIter<T>(Receiver<T>);

impl<T> Iterator for IntoIter<T> {
    type Item = T;
    #[inline]
    fn next(&mut self) -> Option<T> {
        self.0.recv().ok()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;
    fn into_iter(self) -> IntoIter<T> {
        IntoIter(self)
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;
    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
