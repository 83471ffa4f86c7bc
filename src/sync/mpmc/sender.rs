//! [`Sender`]: where items go in.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use super::{Channel, SendError, SendTimeoutError, TrySendError, enter, leave};
use crate::sync::queue::blocks::Fifo;
use crate::sync::queue::exchange::{Exchange, Refused};

/// The end of a channel where items go in. See [`super`].
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    pub(super) fn of(channel: Arc<Channel<T>>) -> Self {
        Sender { channel }
    }

    /// Sends an item; waits while there is no room for it.
    ///
    /// # Errors
    /// With the item, if no receiver is left.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever receive
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill. The item is dropped
    /// then.
    #[inline]
    pub fn send(&self, item: T) -> Result<(), SendError<T>> {
        match self.channel.exchange.put(item, None) {
            Ok(()) => Ok(()),
            Err(Refused::Closed(item) | Refused::Full(item)) => Err(SendError(item)),
        }
    }

    /// Sends an item, if there is room for it, or somebody waits for it. Never waits, and never lets others run.
    ///
    /// # Errors
    /// With the item, if there is no room, or no receiver is left.
    #[inline]
    pub fn try_send(&self, item: T) -> Result<(), TrySendError<T>> {
        match self.channel.exchange.put_now(item) {
            Ok(()) => Ok(()),
            Err(Refused::Closed(item)) => Err(TrySendError::Disconnected(item)),
            Err(Refused::Full(item)) => Err(TrySendError::Full(item)),
        }
    }

    /// As [`Sender::send`], for no longer than `limit`.
    ///
    /// # Errors
    /// With the item, if there was no room in time, or no receiver is left.
    ///
    /// # Panics
    /// As [`Sender::send`].
    pub fn send_timeout(&self, item: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        match self.channel.exchange.put_timeout(item, limit) {
            Ok(()) => Ok(()),
            Err(Refused::Closed(item)) => Err(SendTimeoutError::Disconnected(item)),
            Err(Refused::Full(item)) => Err(SendTimeoutError::Timeout(item)),
        }
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
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }

    #[inline]
    pub(in crate::sync) fn exchange(&self) -> &Exchange<T, Fifo<T>> {
        &self.channel.exchange
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        enter(&self.channel.senders);
        Sender::of(self.channel.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if leave(&self.channel.senders) {
            self.channel.exchange.close(false);
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

// A panic leaves the channel as it was, or with what was done, done.
impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
