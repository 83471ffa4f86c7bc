//! HTTP: CPU time a request of servers on one thread and on two, and how late they answer.
//!
//! | file | one idea |
//! |---|---|
//! | [`servers`] | the same server in the natural style of rustlet, tokio and may, with timeouts and without |
//! | [`http`] | `examples/hello_http`'s protocol, which knows no sockets: all servers run it |
//! | [`load`] | the client, servers in processes of their own, the table |
//!
//! How it is measured, and what the figures mean, stands at the head of [`load`]. Servers without timeouts are compared with each other,
//! being the loops that one writes first, and so are those with a limit for each wait, as servers that meet strangers have.
//!
//! What is not measured: TLS, bodies, clients far away.
//!
//! ```text
//! cargo bench --bench http
//! cargo bench --bench http -- --rounds 99 --connections 50 --in-flight 16
//! cargo bench --bench http -- --threads 2 --rate 20000
//! cargo bench --bench http -- --threads 2 --batch     # the servers' threads are batch threads: RuntimeBuilder::batch
//! ```

#[path = "../examples/hello_http/http/mod.rs"]
mod http;
mod load;
#[path = "http/servers.rs"]
mod servers;
mod support;

use load::contest::{Contender, Contest, Serve};
use load::{Protocol, Shape};

/// rustlet's: what the others are compared with.
const ONE: &str = "rustlet, one thread";
const ONE_TIMED: &str = "rustlet, one thread, timeouts";
const TWO: &str = "rustlet, two workers";
const TWO_TIMED: &str = "rustlet, two workers, timeouts";

const fn contender(
    threads: usize,
    name: &'static str,
    like: &'static str,
    serve: Serve,
) -> Contender {
    Contender {
        name,
        serve,
        threads,
        like,
        bound: Some(1.0),
    }
}

const CONTEST: Contest = Contest {
    contenders: &[
        contender(1, ONE, ONE, servers::rustlet_one),
        contender(1, "tokio, current thread", ONE, servers::tokio_one),
        contender(1, ONE_TIMED, ONE_TIMED, servers::rustlet_one_timed),
        contender(
            1,
            "tokio, current thread, timeouts",
            ONE_TIMED,
            servers::tokio_one_timed,
        ),
        contender(2, TWO, TWO, servers::rustlet_two),
        contender(2, "tokio, two workers", TWO, servers::tokio_two),
        contender(2, "may, two workers", TWO, servers::may_two),
        contender(2, TWO_TIMED, TWO_TIMED, servers::rustlet_two_timed),
        contender(
            2,
            "tokio, two workers, timeouts",
            TWO_TIMED,
            servers::tokio_two_timed,
        ),
    ],
    protocol: Protocol {
        request: b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n",
        end: b"Hello, World!\n",
    },
    shapes: [
        &[
            Shape::closed(50),
            Shape::closed(1_000),
            Shape::in_flight(50, 16),
        ],
        &[
            Shape::closed(50),
            Shape::closed(1_000),
            Shape::in_flight(50, 16),
            Shape::at_rate(50, 20_000),
            Shape::at_rate(50, 40_000),
            Shape::at_rate(1_000, 40_000),
        ],
    ],
};

fn main() {
    CONTEST.main();
}
