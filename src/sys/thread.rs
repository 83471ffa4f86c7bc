//! The calling OS thread: blocking it, its timer slack, and whether it is alone in its process.

use core::sync::atomic::AtomicU32;
use std::io;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::thread::futex;

use super::clock::{self, Nanos};

/// `nanos` as the kernel's time.
pub(crate) fn timespec(nanos: Nanos) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: (nanos % 1_000_000_000) as _,
    }
}

/// What a thread's stack takes if nobody says (std), and what std gives its thread besides for signals, at most.
const STACK: usize = 2 << 20;
const SIGNAL_STACK: usize = 64 << 10;
/// Kernel mappings of a thread: stack, signal stack and their guards, and an arena of the allocator's.
const MAPPINGS: usize = 8;

/// Starts a thread, whose stack has `stack_size` bytes if that is given.
///
/// A thread that the kernel has granted maps more as it begins (its signal stack), and std aborts the process if that is refused.
/// So what a thread takes is tried first, and a limit that is reached is an error, unless somebody uses up the rest meanwhile.
///
/// # Errors
/// The kernel has no memory, no mapping (`ENOMEM`) or no thread (`EAGAIN`) left.
pub(crate) fn start(
    name: String,
    stack_size: Option<usize>,
    f: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let bytes = stack_size.unwrap_or(STACK) + SIGNAL_STACK;
    if !super::mem::is_room_for(bytes, MAPPINGS) {
        let text = format!(
            "no memory for the thread {name}, which takes {} KiB of addresses and up to {MAPPINGS} kernel mappings: raise the limit of \
             address space (RLIMIT_AS, `ulimit -v`) or of mappings (vm.max_map_count)",
            bytes >> 10
        );
        return Err(io::Error::new(io::ErrorKind::OutOfMemory, text));
    }
    let mut builder = std::thread::Builder::new().name(name);
    if let Some(size) = stack_size {
        builder = builder.stack_size(size);
    }
    builder.spawn(f)
}

/// Whether this process has another thread than the calling one; true when it cannot be told.
///
/// Counts the entries of `/proc/self/task`.
pub(crate) fn has_other_threads() -> bool {
    std::fs::read_dir("/proc/self/task").map_or(true, |tasks| tasks.count() != 1)
}

/// Blocks the OS thread until `fd` is readable (true), `deadline` has come, or a signal arrived.
pub(crate) fn wait_readable(fd: BorrowedFd<'_>, deadline: Option<Nanos>) -> bool {
    wait_fd(fd, PollFlags::IN, deadline).unwrap_or(false)
}

/// Blocks the OS thread until `fd` is ready for `interest` (true) or `deadline` has come (false).
///
/// # Errors
/// What poll(2) says, `EINTR` included.
pub(crate) fn wait_fd(
    fd: BorrowedFd<'_>,
    interest: PollFlags,
    deadline: Option<Nanos>,
) -> Result<bool, Errno> {
    let timeout = deadline.map(|at| timespec(at.saturating_sub(clock::now())));
    let mut fds = [PollFd::from_borrowed_fd(fd, interest)];
    poll(&mut fds, timeout.as_ref()).map(|ready| ready > 0)
}

/// Blocks the OS thread until `word` is not `value` or somebody calls [`wake_from_word`], `deadline` has come, or a signal arrived
/// (futex(2), among the threads of this process).
pub(crate) fn wait_for_word(word: &AtomicU32, value: u32, deadline: Option<Nanos>) {
    let timeout = deadline.map(|at| timespec(at.saturating_sub(clock::now())));
    let _ = futex::wait(word, futex::Flags::PRIVATE, value, timeout.as_ref());
}

/// Wakes a thread that waits for `word`.
pub(crate) fn wake_from_word(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
}

/// Blocks the OS thread until `deadline`.
pub(crate) fn sleep_until(deadline: Nanos) {
    loop {
        let now = clock::now();
        if now >= deadline {
            return;
        }
        let _ = rustix::thread::nanosleep(&timespec(deadline - now));
    }
}

/// Lets another thread have the processor.
pub(crate) fn let_others_run() {
    rustix::thread::sched_yield();
}

/// Makes this thread's timed waits end within a microsecond or so of their deadline instead of the
/// default 50 µs later (timer slack, prctl(2)).
pub(crate) fn precise_timers() {
    // SAFETY: PR_SET_TIMERSLACK takes a number and changes this thread's slack alone.
    let _ = unsafe {
        super::syscall::syscall6(
            libc::SYS_prctl,
            [libc::PR_SET_TIMERSLACK as usize, 1, 0, 0, 0, 0],
        )
    };
}

/// Makes the calling thread a batch thread (`SCHED_BATCH`, sched(7)): woken, it interrupts nobody.
///
/// # Errors
/// What sched_setscheduler(2) says: `EPERM` where the policy may not be changed.
pub(crate) fn become_batch() -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: thread 0 is the caller; the kernel reads one `sched_param`, and changes the thread's policy alone. Not by way of libc, since
    // musl's function only fails.
    let answer = unsafe {
        super::syscall::syscall6(
            libc::SYS_sched_setscheduler,
            [
                0,
                libc::SCHED_BATCH as usize,
                (&raw const param).addr(),
                0,
                0,
                0,
            ],
        )
    };
    Ok(answer.map(drop)?)
}

/// The processors that the calling thread may run on.
///
/// # Errors
/// What sched_getaffinity(2) says.
pub(crate) fn allowed_processors() -> std::io::Result<Vec<usize>> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    Ok((0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|&processor| allowed.is_set(processor))
        .collect())
}

/// Binds the calling thread to one processor.
///
/// # Errors
/// What sched_setaffinity(2) says.
pub(crate) fn bind_to(processor: usize) -> std::io::Result<()> {
    let mut only = rustix::thread::CpuSet::new();
    only.set(processor);
    Ok(rustix::thread::sched_setaffinity(None, &only)?)
}
