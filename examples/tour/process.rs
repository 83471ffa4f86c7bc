//! What the kernel says about this process.

use std::fs;
use std::time::Duration;

/// From `/proc/self/status`; zeros where it cannot be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Status {
    pub(crate) rss_kib: u64,
    /// The highest that `rss_kib` ever was.
    pub(crate) peak_rss_kib: u64,
    /// Memory of the page tables; not part of `rss_kib`.
    pub(crate) page_tables_kib: u64,
    pub(crate) threads: u64,
}

pub(crate) fn status() -> Status {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap_or_default()
    };
    Status {
        rss_kib: number("VmRSS:"),
        peak_rss_kib: number("VmHWM:"),
        page_tables_kib: number("VmPTE:"),
        threads: number("Threads:"),
    }
}

/// Processor time that this process has used, in all its threads, kernel included.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A limit that is one number in a file, such as those under `/proc/sys`.
pub(crate) fn limit_in(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Descriptors that are open now.
pub(crate) fn open_descriptors() -> u64 {
    // The listing itself holds one.
    fs::read_dir("/proc/self/fd").map_or(3, |entries| entries.count() as u64 - 1)
}

/// Memory that could be used without swapping.
pub(crate) fn available_kib() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse().ok()
}
