//! A queue or a channel: what both have, under one name.

use std::time::Duration;

use rustlet::queue::{Channel, GetError, PutError, Queue, ShutDown};
use rustlet::sync::Select;

use super::event::{Chosen, What};
use super::world::Item;

/// A queue, or a channel.
#[derive(Debug)]
pub(crate) enum Line {
    Queue(Queue<Item>),
    Channel(Channel<Item>),
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {$(
        pub(crate) fn $name(&self, $($arg: $type),*) -> $result {
            match self {
                Line::Queue(queue) => queue.$name($($arg),*),
                Line::Channel(channel) => channel.$name($($arg),*),
            }
        }
    )*};
}

impl Line {
    forward! {
        put(item: Item) -> Result<(), ShutDown<Item>>;
        put_timeout(item: Item, limit: Duration) -> Result<(), PutError<Item>>;
        put_nowait(item: Item) -> Result<(), PutError<Item>>;
        get() -> Result<Item, ShutDown>;
        get_timeout(limit: Duration) -> Result<Item, GetError>;
        get_nowait() -> Result<Item, GetError>;
        shutdown() -> ();
        shutdown_now() -> ();
        is_shut_down() -> bool;
    }

    /// Adds an arm that gets from it.
    pub(crate) fn arm_get<'a>(
        &'a self,
        select: Select<'a, What>,
        arm: usize,
        got: impl Fn(Item) -> u64 + 'a,
    ) -> Select<'a, What> {
        let then = move |item: Result<Item, ShutDown>| {
            What::Chose(
                arm,
                item.map_or(Chosen::Closed, |item| Chosen::Value(got(item))),
            )
        };
        match self {
            Line::Queue(queue) => select.recv(queue, then),
            Line::Channel(channel) => select.recv(channel, then),
        }
    }

    /// Adds an arm that puts into it.
    pub(crate) fn arm_put<'a>(
        &'a self,
        select: Select<'a, What>,
        arm: usize,
        item: Item,
        did: impl Fn() + 'a,
    ) -> Select<'a, What> {
        let number = item.number;
        let then = move |put: Result<(), ShutDown<Item>>| {
            if put.is_ok() {
                did();
            }
            What::Chose(arm, put.map_or(Chosen::Closed, |()| Chosen::Value(number)))
        };
        match self {
            Line::Queue(queue) => select.send(queue, item, then),
            Line::Channel(channel) => select.send(channel, item, then),
        }
    }

    /// Whether a get would wait.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Line::Queue(queue) => queue.is_empty(),
            Line::Channel(channel) => channel.balance() <= 0,
        }
    }

    /// Whether a put would wait.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Line::Queue(queue) => queue.is_full(),
            Line::Channel(channel) => channel.balance() >= 0,
        }
    }
}
