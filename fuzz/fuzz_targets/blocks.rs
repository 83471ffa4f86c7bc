//! The stores of queues, chains of blocks in raw memory, against a `VecDeque`.
//!
//! A byte is a burst of pushes or pops. Items own memory, so that one that is read twice, or left, is the sanitizer's to find.
#![no_main]

// `path` of the outer ones: below them paths are looked up beside this file, not in directories that do not exist.
#[path = "."]
mod sync {
    #[path = "."]
    pub(crate) mod queue {
        #[path = "../../src/sync/queue/blocks.rs"]
        #[allow(dead_code)] // It has more than this uses.
        pub(in crate::sync) mod blocks;

        use std::collections::VecDeque;

        use blocks::{Fifo, Lifo};

        /// What is stored: 24 bytes, one of which is somewhere else.
        type Item = (u64, Box<u64>);

        fn item(number: u64) -> Item {
            (number, Box::new(!number))
        }

        fn read(item: Item) -> u64 {
            assert_eq!(item.0, !*item.1);
            item.0
        }

        pub(crate) fn run(bytes: &[u8]) {
            let (mut fifo, mut lifo) = (Fifo::new(), Lifo::new());
            let (mut queue, mut stack) = (VecDeque::new(), Vec::new());
            let mut next = 0;
            for &byte in bytes {
                for _ in 0..byte / 2 {
                    if byte % 2 == 0 {
                        fifo.push(item(next));
                        lifo.push(item(next));
                        queue.push_back(next);
                        stack.push(next);
                        next += 1;
                        continue;
                    }
                    // SAFETY: `front` points at an item, which stays there until the next call.
                    let front = fifo.front().map(|place| unsafe { place.as_ref() }.0);
                    assert_eq!(front, queue.front().copied());
                    // SAFETY: as above.
                    let top = lifo.front().map(|place| unsafe { place.as_ref() }.0);
                    assert_eq!(top, stack.last().copied());
                    assert_eq!(fifo.pop().map(read), queue.pop_front());
                    assert_eq!(lifo.pop().map(read), stack.pop());
                }
            }
            // What is left is dropped with them.
        }
    }
}

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| sync::queue::run(bytes));
