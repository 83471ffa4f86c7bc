//! Times in buckets that many threads, and two processes, fill and read at once.
//!
//! Sixteen buckets to each power of two of nanoseconds (as HdrHistogram with its first digit and a bit), so a
//! percentile is at most a sixteenth too high. A bucket is one relaxed atomic: what is read while others
//! write is a count of some moment, which is all that a display needs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Up to 2^41 ns, a little more than half an hour; longer times are in the last bucket.
const BUCKETS: usize = 38 * 16;

/// Zeroed memory is an empty one.
#[repr(transparent)]
pub(crate) struct Histogram([AtomicU64; BUCKETS]);

/// A copy at one moment.
#[derive(Clone)]
pub(crate) struct Times(Box<[u64]>);

fn bucket(nanos: u64) -> usize {
    if nanos < 16 {
        return nanos as usize;
    }
    let power = nanos.ilog2() as usize;
    let sixteenth = (nanos >> (power - 4)) as usize & 15;
    ((power - 3) * 16 + sixteenth).min(BUCKETS - 1)
}

/// The highest time of a bucket.
fn highest(bucket: usize) -> u64 {
    if bucket < 16 {
        return bucket as u64;
    }
    let power = bucket / 16 + 3;
    let sixteenth = (bucket % 16) as u64;
    ((17 + sixteenth) << (power - 4)) - 1
}

impl Histogram {
    pub(crate) fn add(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn copy(&self) -> Times {
        Times(self.0.iter().map(|n| n.load(Ordering::Relaxed)).collect())
    }
}

impl Times {
    /// What was added since `earlier`, a copy of the same histogram.
    pub(crate) fn since(&self, earlier: &Times) -> Times {
        let pairs = self.0.iter().zip(&earlier.0);
        Times(pairs.map(|(now, then)| now.saturating_sub(*then)).collect())
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The time that `share` (0 to 1) of all do not exceed; nothing if there are none.
    pub(crate) fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        let rank = ((count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.0.iter().position(|n| {
            seen += n;
            seen >= rank && count > 0
        });
        found.map(|bucket| Duration::from_nanos(highest(bucket)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_a_bucket_that_ends_at_most_a_sixteenth_later() {
        let powers = (12..40).flat_map(|power| [(1 << power) - 1, 1 << power, 3 << (power - 1)]);
        let mut before = 0;
        for nanos in (0..4096).chain(powers) {
            let (bucket, end) = (bucket(nanos), highest(bucket(nanos)));
            assert!(end >= nanos && end <= nanos + nanos / 16, "{nanos}: {end}");
            assert!(
                bucket >= before,
                "{nanos} is in bucket {bucket}, less before in {before}"
            );
            before = bucket;
        }
    }

    #[test]
    fn quantiles_of_a_hundred_times() {
        let histogram = Histogram([const { AtomicU64::new(0) }; BUCKETS]);
        assert_eq!(histogram.copy().quantile(0.5), None);
        (1..=100).for_each(|n| histogram.add(Duration::from_millis(n)));
        let times = histogram.copy();
        assert_eq!(times.count(), 100);
        for (share, millis) in [(0.0, 1), (0.5, 50), (0.99, 99), (1.0, 100)] {
            let found = times.quantile(share).unwrap().as_secs_f64() * 1e3;
            let exact = f64::from(millis);
            assert!((exact..=exact * 1.07).contains(&found), "{share}: {found}");
        }
        assert_eq!(times.since(&times).count(), 0);
    }
}
