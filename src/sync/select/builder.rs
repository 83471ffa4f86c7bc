//! [`Select`]: a select whose arms are added one by one.

use std::fmt;
use std::time::Duration;

use super::exchanges::{self, Recv, Send, Sink, Source};
use super::things::{self, Selectable, Wait};
use super::wait::{Arm, Limit, choose};

/// A choice between things that are known only at run time; otherwise see [`select!`](crate::select!).
///
/// Each thing comes with what to do if it is chosen. What [`Select::run`] returns is that of the one
/// chosen.
///
/// ```
/// use rustlet::sync::{Select, mpmc};
///
/// let (senders, receivers): (Vec<_>, Vec<_>) = (0..5).map(|_| mpmc::bounded(1)).unzip();
/// senders[3].send("hello").unwrap();
///
/// let mut select = Select::new();
/// for (number, receiver) in receivers.iter().enumerate() {
///     select = select.recv(receiver, move |item| (number, item.unwrap()));
/// }
/// assert_eq!(select.run(), (3, "hello"));
/// ```
#[must_use = "a select does nothing until it is run"]
pub struct Select<'a, R> {
    arms: Vec<Box<dyn Then<R> + 'a>>,
    limit: Limit,
    otherwise: Option<Box<dyn FnOnce() -> R + 'a>>,
}

/// An arm, and what to do if it is chosen.
trait Then<R> {
    fn arm(&mut self) -> &mut dyn Arm;
    /// `None` if it was not chosen.
    fn then(self: Box<Self>) -> Option<R>;
}

struct With<A, F>(A, F);

impl<R, S: Source, F: FnOnce(Result<S::Item, S::Error>) -> R> Then<R> for With<Recv<'_, S>, F> {
    fn arm(&mut self) -> &mut dyn Arm {
        &mut self.0
    }
    fn then(self: Box<Self>) -> Option<R> {
        self.0.finish().map(self.1)
    }
}

impl<R, S: Sink, F: FnOnce(Result<(), S::Error>) -> R> Then<R> for With<Send<'_, S>, F> {
    fn arm(&mut self) -> &mut dyn Arm {
        &mut self.0
    }
    fn then(self: Box<Self>) -> Option<R> {
        self.0.finish().map(self.1)
    }
}

impl<R, F: FnOnce() -> R> Then<R> for With<Wait<'_>, F> {
    fn arm(&mut self) -> &mut dyn Arm {
        &mut self.0
    }
    fn then(self: Box<Self>) -> Option<R> {
        let With(arm, then) = *self;
        arm.finish().map(|()| then())
    }
}

impl<'a, R> Select<'a, R> {
    /// A select without arms.
    pub fn new() -> Self {
        Select {
            arms: Vec::new(),
            limit: Limit::Never,
            otherwise: None,
        }
    }

    /// Receives from a [`Receiver`](super::super::mpmc::Receiver), or gets from a queue.
    pub fn recv<S: Source>(
        mut self,
        source: &'a S,
        then: impl FnOnce(Result<S::Item, S::Error>) -> R + 'a,
    ) -> Self {
        self.arms
            .push(Box::new(With(exchanges::recv(source), then)));
        self
    }

    /// Sends to a [`Sender`](super::super::mpmc::Sender), or puts into a queue. If it is not chosen, the item is dropped.
    pub fn send<S: Sink>(
        mut self,
        sink: &'a S,
        item: S::Item,
        then: impl FnOnce(Result<(), S::Error>) -> R + 'a,
    ) -> Self {
        self.arms
            .push(Box::new(With(exchanges::send(sink, item), then)));
        self
    }

    /// As [`Select::send`], with the item that is in `place`, where it stays if it is not sent.
    ///
    /// # Panics
    /// If there is none.
    pub fn send_from<S: Sink>(
        mut self,
        sink: &'a S,
        place: &'a mut Option<S::Item>,
        then: impl FnOnce(Result<(), S::Error>) -> R + 'a,
    ) -> Self {
        let arm = exchanges::send_from(sink, place);
        self.arms.push(Box::new(With(arm, then)));
        self
    }

    /// Waits for an event, the end of a greenlet, …
    pub fn wait<W: Selectable + ?Sized>(
        mut self,
        thing: &'a W,
        then: impl FnOnce() -> R + 'a,
    ) -> Self {
        self.arms.push(Box::new(With(things::wait(thing), then)));
        self
    }

    /// Does this if nothing can be done for so long. The last limit that is given holds.
    pub fn timeout(mut self, limit: Duration, then: impl FnOnce() -> R + 'a) -> Self {
        self.limit = Limit::After(limit);
        self.otherwise = Some(Box::new(then));
        self
    }

    /// Does this if nothing can be done now. As a timeout of nothing, but without letting others run.
    pub fn otherwise(mut self, then: impl FnOnce() -> R + 'a) -> Self {
        self.limit = Limit::Now;
        self.otherwise = Some(Box::new(then));
        self
    }

    /// Chooses, and does it.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever make one of the things
    /// ready ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    pub fn run(mut self) -> R {
        let chosen = {
            let mut arms: Vec<_> = self.arms.iter_mut().map(|arm| arm.arm()).collect();
            choose(&mut arms, self.limit)
        };
        match chosen {
            Some(index) => {
                let arm = self.arms.swap_remove(index);
                drop(self); // the others give back what they have
                arm.then().expect("this arm was chosen")
            }
            None => {
                let otherwise = self.otherwise.take();
                drop(self);
                otherwise.expect("a select with a limit says what then")()
            }
        }
    }
}

impl<R> Default for Select<'_, R> {
    fn default() -> Self {
        Select::new()
    }
}

impl<R> fmt::Debug for Select<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("arms", &self.arms.len())
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
