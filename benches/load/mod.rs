//! TCP servers under the same load, each in a process of its own, compared in turns: what `echo` and `http` share.
//!
//! | file | one idea |
//! |---|---|
//! | [`child`] | a server in a process of its own |
//! | [`client`] | the load: one thread, epoll, a closed loop or requests at a rate |
//! | [`sample`] | what was seen of a server in one window |
//! | [`contest`] | servers in turns, and the table |
//!
//! Every server is this program again, in a child process; the client is this process, pinned to core 1. Servers of one thread are pinned to
//! core 0; those of two have both cores, and share the second with the client. Those with one thread are compared with each other, and so
//! are those with two. A round visits the servers in turn, connects anew, warms up, and then counts requests for a window; the child's CPU clock
//! (all its threads, user and system) is read at both ends of it. Windows are short and rounds many, because neighbours come and go:
//! a ratio in a table is the median of the rounds' ratios, each between two windows that lie next to each other, and so is one of
//! latencies, each the quantile of one window. All other columns are medians too.
//!
//! There are two kinds of load, as nobody's clients are of one kind:
//!
//! - *Closed loop*: each connection sends its next request when the answer has come. Client and server keep each other busy; how much a
//!   request costs depends on how much of the time the server sleeps (`busy` says how much of a core it used), and latency is
//!   mostly the queue of the other connections.
//! - *At a rate*: requests come at fixed times, whether or not others have been answered, as from many clients that know nothing of
//!   each other; all servers do the same work in the same time. A request counts from when it was due: if it could not be sent in time,
//!   that is part of its latency.
//!
//! Loopback: not for what a network does.

pub(crate) mod child;
pub(crate) mod client;
pub(crate) mod contest;
pub(crate) mod sample;

use crate::support::arguments;

/// What is asked for, again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub(crate) request: &'static [u8],
    /// The end of an answer, and of nothing else in it. All answers have the same length.
    pub(crate) end: &'static [u8],
}

/// How a load looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many requests in flight on each connection.
    Closed { in_flight: usize },
    /// So many requests a second, all connections together, one in flight on each.
    Rate(u32),
}

impl Shape {
    /// Each connection with one request in flight.
    pub(crate) const fn closed(connections: usize) -> Shape {
        Shape::in_flight(connections, 1)
    }

    pub(crate) const fn in_flight(connections: usize, in_flight: usize) -> Shape {
        let pace = Pace::Closed { in_flight };
        Shape { connections, pace }
    }

    pub(crate) const fn at_rate(connections: usize, rate: u32) -> Shape {
        let pace = Pace::Rate(rate);
        Shape { connections, pace }
    }

    /// What the arguments say, or a smoke test is content with; `None` for what a bench usually measures.
    fn asked_for(smoke: bool) -> Option<Vec<Shape>> {
        let connections = arguments::value("--connections");
        let in_flight = arguments::value("--in-flight");
        let rate = arguments::value("--rate");
        if smoke {
            return Some(vec![Shape::in_flight(5, 2), Shape::at_rate(5, 1_000)]);
        }
        if connections.is_none() && in_flight.is_none() && rate.is_none() {
            return None;
        }
        let connections = connections.unwrap_or(50);
        Some(vec![match rate {
            Some(rate) => Shape::at_rate(connections, rate),
            None => Shape::in_flight(connections, in_flight.unwrap_or(1)),
        }])
    }
}

impl core::fmt::Display for Shape {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} connections", self.connections)?;
        match self.pace {
            Pace::Closed { in_flight: 1 } => Ok(()),
            Pace::Closed { in_flight } => write!(f, ", {in_flight} in flight each"),
            Pace::Rate(rate) => write!(f, ", {rate} requests a second"),
        }
    }
}
