//! Bytes of which each place differs from its neighbourhood: what is lost, doubled or out of order is seen.

use std::io::{Read, Write};

/// A stream of them, for each seed another.
#[derive(Clone)]
pub(crate) struct Pattern(pub(crate) u64);

impl Pattern {
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            *byte = (self.0 >> 56) as u8;
        }
    }
}

/// Writes so many of them, `step` at a time.
pub(crate) fn send(mut stream: impl Write, seed: u64, total: usize, step: usize) {
    let (mut pattern, mut block, mut left) = (Pattern(seed), vec![0; step], total);
    while left > 0 {
        let len = step.min(left);
        pattern.fill(&mut block[..len]);
        stream.write_all(&block[..len]).unwrap();
        left -= len;
    }
}

/// Reads what [`send`] has written, at most `step` at a time, and compares it.
pub(crate) fn receive(mut stream: impl Read, seed: u64, total: usize, step: usize) {
    let (mut pattern, mut block, mut expected) = (Pattern(seed), vec![0; step], vec![0; step]);
    let mut got = 0;
    while got < total {
        let read = stream.read(&mut block[..step.min(total - got)]).unwrap();
        assert!(read > 0, "the end after {got} of {total} bytes");
        pattern.fill(&mut expected[..read]);
        assert!(block[..read] == expected[..read], "wrong bytes after {got}");
        got += read;
    }
}
