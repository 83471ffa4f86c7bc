//! The methods that all queues have, and those of queues that store items, written once.

/// Putting, getting and shutting down, for a type with a field `exchange`.
macro_rules! exchanges {
    ($name:ident, $order:ident $(, $bound:ident)?) => {
        impl<T $(: $bound)?> $name<T> {
            /// Puts an item; waits while there is no room.
            ///
            /// # Errors
            /// [`ShutDown`] with the item, if the queue is shut down, before the call or during it.
            ///
            /// # Panics
            /// If it would have to wait and cannot: on a thread's own stack when nothing can ever make room
            /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
            #[inline]
            pub fn put(&self, item: T) -> Result<(), ShutDown<T>> {
                match self.exchange.put(item, None) {
                    Ok(()) => Ok(()),
                    Err(Refused::Closed(item) | Refused::Full(item)) => Err(ShutDown(item)),
                }
            }

            /// As [`put`](Self::put), waiting for no longer than `limit`.
            ///
            /// # Errors
            /// [`PutError::Full`] with the item, if there was no room in time; [`PutError::ShutDown`].
            ///
            /// # Panics
            /// As [`put`](Self::put).
            pub fn put_timeout(&self, item: T, limit: Duration) -> Result<(), PutError<T>> {
                self.exchange.put_timeout(item, limit).map_err(put_error)
            }

            /// Puts an item, if there is room. Never waits, and never lets others run.
            ///
            /// # Errors
            /// [`PutError::Full`] with the item, if there is none; [`PutError::ShutDown`].
            #[inline]
            pub fn put_nowait(&self, item: T) -> Result<(), PutError<T>> {
                self.exchange.put_now(item).map_err(put_error)
            }

            /// Takes the next item; waits while there is none.
            ///
            /// # Errors
            /// [`ShutDown`], if the queue is shut down and has no items left.
            ///
            /// # Panics
            /// If it would have to wait and cannot: on a thread's own stack when nothing can ever put an item
            /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
            #[inline]
            pub fn get(&self) -> Result<T, ShutDown> {
                match self.exchange.get(None) {
                    Ok(item) => Ok(item),
                    Err(_) => Err(ShutDown(())),
                }
            }

            /// As [`get`](Self::get), waiting for no longer than `limit`.
            ///
            /// # Errors
            /// [`GetError::Empty`], if there was no item in time; [`GetError::ShutDown`].
            ///
            /// # Panics
            /// As [`get`](Self::get).
            pub fn get_timeout(&self, limit: Duration) -> Result<T, GetError> {
                self.exchange.get_timeout(limit).map_err(get_error)
            }

            /// Takes the next item, if there is one. Does not wait for one, and does not let others run.
            ///
            /// (It does let them while a comparison or a clone of stored items is under way elsewhere: in
            /// a [`PriorityQueue`](crate::queue::PriorityQueue), or a peek.)
            ///
            /// # Errors
            /// [`GetError::Empty`], if there is none; [`GetError::ShutDown`].
            #[inline]
            pub fn get_nowait(&self) -> Result<T, GetError> {
                self.exchange.get_now().map_err(get_error)
            }

            /// Ends the queue: from now on putting fails, also for those who wait to; what is stored can
            /// still be taken, and then getting fails too. Never waits.
            pub fn shutdown(&self) {
                self.exchange.close(false);
            }

            /// As [`shutdown`](Self::shutdown), but what is stored is dropped (and counts as done).
            pub fn shutdown_now(&self) {
                self.exchange.close(true);
            }

            /// Whether it was shut down.
            pub fn is_shut_down(&self) -> bool {
                self.exchange.is_closed()
            }

            /// Takes items, waiting for each, until the queue is shut down and empty.
            pub fn iter(&self) -> Iter<'_, Self> {
                Iter(self)
            }

            #[inline]
            pub(in crate::sync) fn exchange(&self) -> &Exchange<T, $order<T>> {
                &self.exchange
            }
        }

        impl<T $(: $bound)?> Iterator for Iter<'_, $name<T>> {
            type Item = T;
            #[inline]
            fn next(&mut self) -> Option<T> {
                self.0.get().ok()
            }
        }

        impl<'a, T $(: $bound)?> IntoIterator for &'a $name<T> {
            type Item = T;
            type IntoIter = Iter<'a, $name<T>>;
            fn into_iter(self) -> Self::IntoIter {
                self.iter()
            }
        }

        // A panic leaves the queue as it was, or with what was done, done.
        impl<T> std::panic::UnwindSafe for $name<T> {}
        impl<T> std::panic::RefUnwindSafe for $name<T> {}
    };
}

/// What queues that store items have besides.
macro_rules! stores {
    ($name:ident, $order:ident $(, $bound:ident)?) => {
        impl<T $(: $bound)?> $name<T> {
            /// A queue without a limit.
            pub const fn new() -> Self {
                $name {
                    exchange: Exchange::new($order::new(), usize::MAX, &WORDS),
                }
            }

            /// A queue that has room for `capacity` items.
            ///
            /// # Panics
            /// If `capacity` is 0, which to Python means no limit, and to others a
            /// [`Channel`](crate::queue::Channel).
            pub const fn bounded(capacity: usize) -> Self {
                assert!(capacity > 0, "a queue has room for one item at least");
                $name {
                    exchange: Exchange::new($order::new(), capacity, &WORDS),
                }
            }

            /// How many items are stored now.
            pub fn len(&self) -> usize {
                self.exchange.len()
            }

            /// Whether no item is stored now.
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// Whether there is no room now.
            pub fn is_full(&self) -> bool {
                self.capacity().is_some_and(|capacity| self.len() >= capacity)
            }

            /// For how many items there is room; `None` if there is no limit.
            pub fn capacity(&self) -> Option<usize> {
                self.exchange.capacity()
            }

            /// A copy of the next item, which stays in the queue; waits while there is none.
            ///
            /// While the copy is made, items can be put but not taken.
            ///
            /// # Errors
            /// [`ShutDown`], if the queue is shut down and has no items left.
            ///
            /// # Panics
            /// As [`get`](Self::get).
            pub fn peek(&self) -> Result<T, ShutDown>
            where
                T: Clone,
            {
                self.exchange.peek(None).map_err(|_| ShutDown(()))
            }

            /// As [`peek`](Self::peek), waiting for no longer than `limit`.
            ///
            /// # Errors
            /// [`GetError::Empty`], if there was no item in time; [`GetError::ShutDown`].
            ///
            /// # Panics
            /// As [`get`](Self::get).
            pub fn peek_timeout(&self, limit: Duration) -> Result<T, GetError>
            where
                T: Clone,
            {
                self.exchange.peek_timeout(limit).map_err(get_error)
            }

            /// A copy of the next item, if there is one.
            ///
            /// # Errors
            /// [`GetError::Empty`], if there is none; [`GetError::ShutDown`].
            pub fn peek_nowait(&self) -> Result<T, GetError>
            where
                T: Clone,
            {
                self.exchange.peek_now().map_err(get_error)
            }

            /// Declares that an item which was taken is done with.
            ///
            /// # Panics
            /// If this was called more often than items were put. (Python raises `ValueError`.)
            #[track_caller]
            pub fn task_done(&self) {
                assert!(self.exchange.task_done(), "task_done() called too many times");
            }

            /// Waits until as many items were declared [done](Self::task_done) as were put.
            ///
            /// # Panics
            /// If it would have to wait and cannot, as [`get`](Self::get).
            #[inline]
            pub fn join(&self) {
                self.exchange.join(None);
            }

            /// As [`join`](Self::join), for no longer than `limit`; false if it was not enough.
            ///
            /// # Panics
            /// As [`join`](Self::join).
            pub fn join_timeout(&self, limit: Duration) -> bool {
                self.exchange.join_timeout(limit)
            }

            /// How many items were put and not declared done.
            pub fn unfinished_tasks(&self) -> usize {
                self.exchange.unfinished()
            }
        }

        impl<T $(: $bound)?> Default for $name<T> {
            fn default() -> Self {
                Self::new()
            }
        }

        impl<T $(: $bound)?> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("len", &self.len())
                    .field("capacity", &self.capacity())
                    .field("shut_down", &self.is_shut_down())
                    .finish_non_exhaustive()
            }
        }
    };
}

pub(super) use {exchanges, stores};
