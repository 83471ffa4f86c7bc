//! cargo run --example timeouts
//!
//! A time limit around any code that blocks. What runs over is unwound from where it waits: its
//! destructors run, and the code inside needs no cancellation checks.

use std::io::{self, Read};
use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream};

struct Guard(&'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        println!("  {} was cleaned up", self.0);
    }
}

/// A server that never answers, and a client that would wait for ever.
fn silent_server() -> io::Result<usize> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _guard = Guard("the connection");
    TcpStream::connect(listener.local_addr()?)?.read(&mut [0; 16])
}

fn main() {
    let [short, long] = [20, 10_000].map(Duration::from_millis);

    println!("in time: {:?}", rustlet::timeout(long, || 6 * 7));

    println!("a read that would wait for ever:");
    let result = rustlet::timeout(short, silent_server);
    println!("  {}", result.expect_err("nobody answers"));

    // Each limit stops its own frame. Here the outer one passes first: the inner call never returns.
    println!("nested:");
    let result = rustlet::timeout(short, || {
        let inner = rustlet::timeout(long, || {
            let _guard = Guard("the inner frame");
            rustlet::sleep(long * 10);
        });
        unreachable!("the inner limit has not passed: {inner:?}")
    });
    println!(
        "  the outer one {}",
        result.map(|()| "?").expect_err("it passes")
    );

    println!("a join that is given up, not the greenlet:");
    let slow = rustlet::spawn(|| rustlet::sleep(Duration::from_millis(60)));
    let slow = slow.join_timeout(short).expect_err("it takes longer");
    println!("  finished: {}", slow.is_finished());
    println!("  later: {:?}", slow.join().map(|()| "finished"));
}

// Prints:
//
// in time: Ok(42)
// a read that would wait for ever:
//   the connection was cleaned up
//   timed out after 20ms
// nested:
//   the inner frame was cleaned up
//   the outer one timed out after 20ms
// a join that is given up, not the greenlet:
//   finished: false
//   later: Ok("finished")
