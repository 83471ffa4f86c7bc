//! cargo run --example hello
//!
//! Greenlets take turns on one thread. Whatever blocks (here a sleep and a join) lets the others run; there
//! is nothing to set up.

use std::time::Duration;

fn main() {
    let greetings = ["hello", "bonjour", "salam"].map(|word| {
        rustlet::spawn(move || {
            for n in 1..=2 {
                println!("{word} {n}");
                rustlet::sleep(Duration::from_millis(10));
            }
            word.len()
        })
    });
    println!("spawned: each first runs when main blocks");

    let letters: usize = greetings
        .into_iter()
        .map(|greenlet| greenlet.join().expect("a panic would come out here"))
        .sum();
    println!("{letters} letters");
}

// Prints:
//
// spawned: each first runs when main blocks
// hello 1
// bonjour 1
// salam 1
// hello 2
// bonjour 2
// salam 2
// 17 letters
