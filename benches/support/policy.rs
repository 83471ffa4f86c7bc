//! What the kernel is told about the threads of servers and clients.
#![allow(unsafe_code)] // A system call.

use rustix::thread::{CpuSet, sched_setaffinity};

use super::arguments;

/// The argument that makes servers with several threads batch threads, as `RuntimeBuilder::batch` does rustlet's.
pub(crate) const BATCH: &str = "--batch";

/// Makes this thread, and those that it will start, batch threads, if that is asked for.
pub(crate) fn be_batch_if_asked() {
    if !arguments::has(BATCH) {
        return;
    }
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: 0 is the calling thread; the kernel reads the parameter.
    let answer = unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const param) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
}

/// Pins this thread, and those that it will start. Without a core of that number it goes unpinned: the figures
/// then count the fight for the core.
pub(crate) fn pin_to(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    if let Err(error) = sched_setaffinity(None, &cores) {
        eprintln!("not pinned to core {core}: {error}");
    }
}
