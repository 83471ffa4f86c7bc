//! The processor's cycle counter as a cheap, coarse clock: "has a while passed?"
//!
//! Reading it is one instruction, and never a system call. It is not free: some 18 ns in the virtual machine where
//! this was profiled, so it is not read for every switch. Of what a user can see only reports are timed with it: for how
//! long somebody has waited ([`to_duration`]).

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{now, one_millisecond, some_microseconds};
#[cfg(target_arch = "riscv64")]
pub(crate) use riscv64::{now, one_millisecond, some_microseconds};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{now, one_millisecond, some_microseconds};

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// When counting began, by both clocks.
static BEGAN: OnceLock<(u64, Instant)> = OnceLock::new();

/// Begins to learn how long a tick is, for [`to_duration`].
pub(crate) fn begin() {
    BEGAN.get_or_init(|| (now(), Instant::now()));
}

/// About how long `ticks` are. For reports.
pub(crate) fn to_duration(ticks: u64) -> Duration {
    let &(first, began) = BEGAN.get_or_init(|| (now(), Instant::now()));
    let counted = now().saturating_sub(first).max(1);
    began.elapsed().mul_f64(ticks as f64 / counted as f64)
}
