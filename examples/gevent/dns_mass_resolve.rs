//! cargo run --example gevent_dns_mass_resolve [names]
//!
//! gevent's `dns_mass_resolve.py`: resolves many names, ten at a time, and stops after two seconds, whatever has become of
//! them. With a number, that many of `10.com`, `11.com`, … as there (a thousand), over the network. Without one, names that need
//! none.
//!
//! | gevent | here |
//! |---|---|
//! | `Pool(10)`, `pool.spawn(job, name)` | the same; spawning waits while ten are running |
//! | `with gevent.Timeout(2, False): … pool.join()` | `timeout(two seconds, || …)`, whose error says that it passed |
//! | `socket.gethostbyname` | `ToSocketAddrs`, as std's; also in a few threads that call `getaddrinfo` |
//! | `global finished` | an `Rc<Cell>`: all greenlets of this program are on one thread, and `spawn_local` allows for it |

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use rustlet::net::ToSocketAddrs;
use rustlet::{Pool, timeout};

fn job(name: &str) {
    match (name, 80).to_socket_addrs().map(|mut found| found.next()) {
        Ok(Some(address)) => println!("{name} = {}", address.ip()),
        Ok(None) => println!("{name} has no address"),
        Err(error) => println!("{name} failed with {error}"),
    }
}

/// Names that nobody has to be asked for: this machine's, numbers, and some that are none.
fn offline_names() -> Vec<String> {
    let too_long = "x".repeat(64) + ".com";
    let names = ["localhost", "127.0.0.1", "::1", "no..name", &too_long];
    names
        .iter()
        .cycle()
        .take(25)
        .map(|name| name.to_string())
        .collect()
}

fn main() {
    let names = match std::env::args().nth(1).map(|count| count.parse::<u32>()) {
        Some(Ok(count)) => (10..10 + count).map(|n| format!("{n}.com")).collect(),
        _ => offline_names(),
    };
    let (total, finished) = (names.len(), Rc::new(Cell::new(0)));

    let pool = Pool::new(10); // no more than ten requests at a time
    let _ = timeout(Duration::from_secs(2), || {
        for name in names {
            let finished = finished.clone();
            pool.spawn_local(move || {
                job(&name);
                finished.set(finished.get() + 1);
            });
        }
        pool.join();
    });
    println!("finished within 2 seconds: {}/{total}", finished.get());
}

// Prints, in some order, 25 lines such as these, and then the last one:
//
// 127.0.0.1 = 127.0.0.1
// localhost = 127.0.0.1
// xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx.com failed with failed to lookup address information: …
// finished within 2 seconds: 25/25
