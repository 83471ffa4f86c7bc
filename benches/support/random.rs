//! Random numbers that are the same in every run: the same sleeps for both sides of a comparison.

use std::ops::Range;
use std::time::Duration;

/// xorshift64*, by Vigna: good enough to spread deadlines.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.max(1)) // zero would stay zero
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in `range`, given in seconds.
    pub(crate) fn seconds(&mut self, range: Range<f64>) -> Duration {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(range.start + unit * (range.end - range.start))
    }
}
