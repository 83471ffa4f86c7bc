//! CPU time: of a thread, of this process, and of another.
//!
//! The machines that benches run on are shared. Wall time counts the neighbours' work; CPU time counts
//! only what they do to the caches. All three clocks count nanoseconds.
#![allow(unsafe_code)] // The clock of another process is named by libc alone.

use std::io;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time of the calling thread.
pub(crate) fn thread_cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

/// CPU time of this process, all threads.
pub(crate) fn process_cpu() -> Duration {
    read(ClockId::ProcessCPUTime)
}

/// CPU time of another process, all threads: user and system.
///
/// # Errors
/// There is no such process.
pub(crate) fn cpu_of(pid: u32) -> io::Result<Duration> {
    let mut clock = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both calls write to the variable they are given, and to nothing else.
    unsafe {
        match libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) {
            0 => {}
            error => return Err(io::Error::from_raw_os_error(error)),
        }
        if libc::clock_gettime(clock, &mut time) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}
