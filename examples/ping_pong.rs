//! Two raw greenlets that switch to each other, without a scheduler: greenlet's first example.
//!
//! Run with `cargo run --example ping_pong`.

use rustlet::raw::{self, Greenlet};

fn main() {
    // `pong` is created by `ping`, which is therefore its parent: what pong returns, ping gets.
    let ping = Greenlet::new(|start: u32| {
        println!("ping: started with {start}");
        let pong = Greenlet::new(|mut ball| {
            while ball < 5 {
                println!("    pong: {ball}");
                ball = raw::switch_to_parent(ball + 1);
            }
            println!("    pong: enough");
            ball
        });
        let mut ball = start;
        while !pong.dead() {
            println!("ping: {ball}");
            ball = pong.switch(ball + 1);
        }
        println!("ping: pong is dead, and left {ball}");
        // To main, in the middle of this closure; and from main again.
        let message = raw::switch_to_parent(ball);
        println!("ping: main says {message}");
        0
    });

    let ball = ping.switch(0);
    println!("main: got {ball}");
    ping.switch(99);
    println!("main: ping is dead: {}", ping.dead());
}

// ping: started with 0
// ping: 0
//     pong: 1
// ping: 2
//     pong: 3
// ping: 4
//     pong: enough
// ping: pong is dead, and left 5
// main: got 5
// ping: main says 99
// main: ping is dead: true
