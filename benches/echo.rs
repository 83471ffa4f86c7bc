//! TCP echo: CPU time a request of servers on one thread and on two, and how late they answer.
//!
//! | file | one idea |
//! |---|---|
//! | [`servers`] | an echo server in the natural style of rustlet, tokio, may and std |
//! | [`bare`] | the floor: the strongest plain epoll loop |
//! | [`load`] | the client, servers in processes of their own, the table |
//!
//! How it is measured, and what the figures mean, stands at the head of [`load`]. CPU time a request is the figure to look at. What
//! `rustlet` must not exceed is marked if it does.
//!
//! ```text
//! cargo bench --bench echo
//! cargo bench --bench echo -- --rounds 99 --connections 50 --threads 2
//! cargo bench --bench echo -- --threads 2 --rate 20000
//! cargo bench --bench echo -- --threads 2 --batch     # the servers' threads are batch threads: RuntimeBuilder::batch
//! ```

#[path = "echo/bare.rs"]
mod bare;
mod load;
#[path = "echo/servers.rs"]
mod servers;
mod support;

use load::contest::{Contender, Contest, Serve};
use load::{Protocol, Shape};

/// Bytes of a request.
const REQUEST: usize = 64;
/// Bytes that a server is ready to read at once.
const BUFFER: usize = 1024;

/// rustlet's with one thread and with two: what the others are compared with.
const ONE: &str = "rustlet";
const TWO: &str = "rustlet, two workers";

const fn on_one_thread(name: &'static str, serve: Serve, bound: Option<f64>) -> Contender {
    Contender {
        name,
        serve,
        threads: 1,
        like: ONE,
        bound,
    }
}

const fn on_two_threads(name: &'static str, serve: Serve, bound: Option<f64>) -> Contender {
    Contender {
        name,
        serve,
        threads: 2,
        like: TWO,
        bound,
    }
}

const CONTEST: Contest = Contest {
    contenders: &[
        on_one_thread("bare epoll loop", bare::serve, Some(1.15)),
        on_one_thread(ONE, servers::rustlet, None),
        on_one_thread("tokio, current thread", servers::tokio, Some(1.0)),
        on_one_thread("may, one worker", servers::may, Some(1.0)),
        on_one_thread("std, a thread each", servers::std_threads, None),
        on_two_threads(TWO, servers::rustlet_two, None),
        on_two_threads("rustlet, a listener each", servers::rustlet_listeners, None),
        on_two_threads("tokio, two workers", servers::tokio_two, Some(1.0)),
        on_two_threads("may, two workers", servers::may_two, Some(1.0)),
    ],
    protocol: Protocol {
        request: &[b'x'; REQUEST],
        end: &[b'x'; REQUEST],
    },
    shapes: [
        &[Shape::closed(50), Shape::closed(1_000)],
        &[
            Shape::closed(50),
            Shape::closed(1_000),
            Shape::at_rate(50, 20_000),
            Shape::at_rate(50, 50_000),
            Shape::at_rate(1_000, 50_000),
        ],
    ],
};

fn main() {
    CONTEST.main();
}
