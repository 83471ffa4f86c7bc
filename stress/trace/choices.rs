//! Where a generated program's choices come from: a seed, or the bytes of a fuzzer.
//!
//! One generator serves both. With bytes it is a total decoder: any input is a program, a byte that changes is a choice that
//! changes, and when the bytes are used up each further choice is the first, which generators make the
//! one that ends soonest.

/// Choices, one after the other.
pub(crate) trait Choices {
    /// One of `end`, which is not 0: from 0 to below `end`.
    fn below(&mut self, end: usize) -> usize;

    /// Whether there is nothing more to decide with.
    fn exhausted(&self) -> bool {
        false
    }

    /// True once in `some`.
    fn one_in(&mut self, some: usize) -> bool {
        // The last and not the first: bytes that have run out say no.
        self.below(some) == some - 1
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): a seed is the whole sequence.
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed)
    }
}

impl Choices for Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}

/// A fuzzer's input: one byte a choice.
#[derive(Debug)]
pub(crate) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Bytes(bytes)
    }
}

impl Choices for Bytes<'_> {
    fn below(&mut self, end: usize) -> usize {
        match self.0.split_first() {
            None => 0,
            Some((&first, rest)) => {
                self.0 = rest;
                usize::from(first) % end
            }
        }
    }

    fn exhausted(&self) -> bool {
        self.0.is_empty()
    }
}
