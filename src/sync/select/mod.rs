//! Waiting for one of several things: the macro [`select!`](crate::select!) and the type [`Select`], which can be given
//! any number of things at run time.
//!
//! | arm | is ready when | gives |
//! |---|---|---|
//! | `recv(receiver)` | an item can be received, or no sender is left | `Result<T, RecvError>` |
//! | `send(sender, item)` | it can be sent, or no receiver is left | `Result<(), SendError<T>>` |
//! | `get(queue)` | an item can be taken, or the queue is shut down | `Result<T, ShutDown>` |
//! | `put(queue, item)` | there is room, or the queue is shut down | `Result<(), ShutDown<T>>` |
//! | `wait(thing)` | the event is set, the greenlet has ended, … ([`Selectable`]) | nothing |
//! | `timeout(duration)` | nothing else was in that time | nothing |
//! | `default` | nothing else is now | nothing |
//!
//! Exactly one arm is chosen, and it alone does anything: no item is received or sent by the others, also if a kill
//! or a [`timeout`](crate::timeout) ends the select. If several are ready one of them is chosen at
//! random, each as likely as the others.
// Files: `wait` (how it waits), `exchanges` (arms that receive and send), `things` (arms that wait for an
// event or an end), `macros`, `builder` (`Select`).

mod builder;
mod exchanges;
mod macros;
mod things;
mod wait;

pub use builder::Select;
pub use exchanges::{Sink, Source};
pub use things::Selectable;

/// What `select!` expands to. Not for use by hand; may change at any time.
#[doc(hidden)]
pub mod expansion {
    pub use super::exchanges::{recv, send, send_from};
    pub use super::things::wait;
    pub use super::wait::{Arm, Limit, choose};
}
