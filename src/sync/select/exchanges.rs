//! Arms that receive and send: at channels and queues.
#![allow(unsafe_code)] // Links waiters, which are in the arms.

use core::ptr;
use std::sync::Arc;

use super::wait::{Choose, Place};
use crate::sync::mpmc::{Receiver, RecvError, SendError, Sender};
use crate::sync::queue::blocks::{Fifo, Lifo};
use crate::sync::queue::exchange::{Exchange, Order, Side};
use crate::sync::queue::heap::Heap;
use crate::sync::queue::slot::Slot;
use crate::sync::queue::state::Step;
use crate::sync::queue::{Channel, LifoQueue, PriorityQueue, Queue, ShutDown};

/// What an arm `recv` or `get` can wait for: [`Receiver`]s, and all queues.
///
/// The trait is sealed.
#[expect(private_bounds, reason = "sealed")]
pub trait Source: Exchanges<<Self as Source>::Item> {
    /// What is received.
    type Item;
    /// Says that nothing can be received any more.
    type Error;
    #[doc(hidden)]
    fn ended() -> Self::Error;
}

/// What an arm `send` or `put` can wait for: [`Sender`]s, and all queues.
///
/// The trait is sealed.
#[expect(private_bounds, reason = "sealed")]
pub trait Sink: Exchanges<<Self as Sink>::Item> {
    /// What is sent.
    type Item;
    /// Says that nothing can be sent any more; with the item.
    type Error;
    #[doc(hidden)]
    fn ended(item: Self::Item) -> Self::Error;
}

/// What has an exchange.
pub(super) trait Exchanges<T> {
    type Order: Order<T>;
    fn exchange(&self) -> &Exchange<T, Self::Order>;
}

macro_rules! exchanges {
    ($name:ident, $order:ident $(, $bound:ident)?) => {
        impl<T $(: $bound)?> Exchanges<T> for $name<T> {
            type Order = $order<T>;
            fn exchange(&self) -> &Exchange<T, $order<T>> {
                self.exchange()
            }
        }
    };
    (queue $name:ident, $order:ident $(, $bound:ident)?) => {
        exchanges!($name, $order $(, $bound)?);
        impl<T $(: $bound)?> Source for $name<T> {
            type Item = T;
            type Error = ShutDown;
            fn ended() -> ShutDown {
                ShutDown(())
            }
        }
        impl<T $(: $bound)?> Sink for $name<T> {
            type Item = T;
            type Error = ShutDown<T>;
            fn ended(item: T) -> ShutDown<T> {
                ShutDown(item)
            }
        }
    };
    (pointer $pointer:ty) => {
        impl<T, S: Exchanges<T>> Exchanges<T> for $pointer {
            type Order = S::Order;
            fn exchange(&self) -> &Exchange<T, S::Order> {
                (**self).exchange()
            }
        }
        impl<S: Source> Source for $pointer {
            type Item = <S as Source>::Item;
            type Error = <S as Source>::Error;
            fn ended() -> Self::Error {
                <S as Source>::ended()
            }
        }
        impl<S: Sink> Sink for $pointer {
            type Item = <S as Sink>::Item;
            type Error = <S as Sink>::Error;
            fn ended(item: Self::Item) -> Self::Error {
                <S as Sink>::ended(item)
            }
        }
    };
}
exchanges!(Receiver, Fifo);
exchanges!(Sender, Fifo);
exchanges!(queue Queue, Fifo);
exchanges!(queue LifoQueue, Lifo);
exchanges!(queue PriorityQueue, Heap, Ord);
exchanges!(queue Channel, Fifo);
exchanges!(pointer & S);
exchanges!(pointer Arc<S>);

impl<T> Source for Receiver<T> {
    type Item = T;
    type Error = RecvError;
    fn ended() -> RecvError {
        RecvError
    }
}

impl<T> Sink for Sender<T> {
    type Item = T;
    type Error = SendError<T>;
    fn ended(item: T) -> SendError<T> {
        SendError(item)
    }
}

// ---------------------------------------------------------------------------- receiving

/// Receives from `source`, if it is chosen.
pub fn recv<S: Source>(source: &S) -> Recv<'_, S> {
    Recv {
        exchange: source.exchange(),
        slot: Slot::new(None),
        linked: false,
        is_chosen: false,
    }
}

/// See [`recv`].
#[expect(missing_debug_implementations, reason = "hidden")]
pub struct Recv<'a, S: Source> {
    exchange: &'a Exchange<S::Item, S::Order>,
    slot: Slot<S::Item>,
    linked: bool,
    is_chosen: bool,
}

impl<S: Source> Recv<'_, S> {
    /// What was received, if this is what was chosen.
    pub fn finish(self) -> Option<Result<S::Item, S::Error>> {
        self.is_chosen
            .then(|| self.slot.take().ok_or_else(S::ended))
    }
}

impl<S: Source> Choose for Recv<'_, S> {
    fn try_now(&mut self) -> bool {
        matches!(
            self.exchange.get_into(&self.slot),
            Step::Done | Step::Closed
        )
    }

    fn link(&mut self, place: &Place<'_>) -> bool {
        // SAFETY: the arm stays where it is until `unlink`, which the caller sees to; it was not linked.
        self.linked = unsafe {
            self.exchange
                .enlist_getter(&self.slot, place.waiter(), place.own)
        };
        self.linked
    }

    fn unlink(&mut self) {
        if core::mem::take(&mut self.linked) {
            // SAFETY: it was enlisted.
            let waiter = unsafe { self.slot.waiter() };
            self.exchange.withdraw(waiter, Side::Getters);
        }
    }

    fn chosen(&mut self) {
        self.is_chosen = true;
    }

    fn side(&self) -> Option<(*const (), Side)> {
        Some((ptr::from_ref(self.exchange).cast(), Side::Getters))
    }
}

// ---------------------------------------------------------------------------- sending

/// Sends `item` to `sink`, if it is chosen.
pub fn send<'a, S: Sink>(sink: &'a S, item: S::Item) -> Send<'a, S> {
    Send {
        exchange: sink.exchange(),
        slot: Slot::new(Some(item)),
        back: None,
        linked: false,
        is_chosen: false,
    }
}

/// As [`send`], with the item that is in `place`, where it stays if it is not sent.
///
/// # Panics
/// If there is none.
pub fn send_from<'a, S: Sink>(sink: &'a S, place: &'a mut Option<S::Item>) -> Send<'a, S> {
    let item = place
        .take()
        .expect("`send(.., from place)` needs an item in the place");
    let mut arm = send(sink, item);
    arm.back = Some(place);
    arm
}

/// See [`send`].
#[expect(missing_debug_implementations, reason = "hidden")]
pub struct Send<'a, S: Sink> {
    exchange: &'a Exchange<S::Item, S::Order>,
    slot: Slot<S::Item>,
    /// Where the item goes that was not sent.
    back: Option<&'a mut Option<S::Item>>,
    linked: bool,
    is_chosen: bool,
}

impl<S: Sink> Send<'_, S> {
    /// Whether it was sent, if this is what was chosen.
    pub fn finish(self) -> Option<Result<(), S::Error>> {
        self.is_chosen.then(|| match self.slot.take() {
            None => Ok(()),
            Some(item) => Err(S::ended(item)),
        })
    }
}

impl<S: Sink> Drop for Send<'_, S> {
    fn drop(&mut self) {
        if let (Some(place), Some(item)) = (self.back.take(), self.slot.take()) {
            *place = Some(item);
        }
    }
}

impl<S: Sink> Choose for Send<'_, S> {
    fn try_now(&mut self) -> bool {
        matches!(
            self.exchange.put_from(&self.slot),
            Step::Done | Step::Closed
        )
    }

    fn link(&mut self, place: &Place<'_>) -> bool {
        // SAFETY: the arm stays where it is until `unlink`, which the caller sees to; it was not linked.
        self.linked = unsafe {
            self.exchange
                .enlist_putter(&self.slot, place.waiter(), place.own)
        };
        self.linked
    }

    fn unlink(&mut self) {
        if core::mem::take(&mut self.linked) {
            // SAFETY: it was enlisted.
            let waiter = unsafe { self.slot.waiter() };
            self.exchange.withdraw(waiter, Side::Putters);
        }
    }

    fn chosen(&mut self) {
        self.is_chosen = true;
    }

    fn side(&self) -> Option<(*const (), Side)> {
        Some((ptr::from_ref(self.exchange).cast(), Side::Putters))
    }
}
