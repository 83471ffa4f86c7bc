//! A system call by its number, for the calls that rustix does not offer.
//!
//! One file per architecture holds the instruction; they export the same function, and this file
//! chooses. Prefer rustix where it has the call: its wrappers carry types and this one carries
//! none. Kept because `libc::syscall` is a symbol that a program may interpose, and because it
//! reports through `errno`, which is the calling thread's and not the calling coroutine's.
//!
//! May be called from anywhere, signal handlers included: it allocates nothing, locks nothing and
//! touches no thread-local.

use rustix::io::Errno;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64::raw;
#[cfg(target_arch = "riscv64")]
use riscv64::raw;
#[cfg(target_arch = "x86_64")]
use x86_64::raw;

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
compile_error!("rustlet supports x86_64, aarch64 and riscv64; see arch-notes/README.md to add one");
#[cfg(not(target_os = "linux"))]
compile_error!("rustlet supports Linux");

/// The kernel answers errors as `-4095..=-1`.
const MAX_ERRNO: isize = 4095;

/// Makes system call `number` (`libc::SYS_*`) with six arguments; unused ones are 0.
///
/// `EINTR` is answered like any other error; nothing is retried.
///
/// # Safety
/// The call must do nothing to memory or descriptors that the caller does not own, and must be one
/// that returns (not `fork`, not `exit`, not `rt_sigreturn`).
#[inline]
pub(crate) unsafe fn syscall6(number: libc::c_long, arguments: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: what the call does is the caller's promise; `raw` itself only clobbers what the
    // architecture's convention says.
    let answer = unsafe { raw(number as usize, arguments) } as isize;
    if (-MAX_ERRNO..0).contains(&answer) {
        Err(Errno::from_raw_os_error(-answer as i32))
    } else {
        Ok(answer as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_errors_are_told_apart() {
        // SAFETY: getpid takes nothing and changes nothing.
        let pid = unsafe { syscall6(libc::SYS_getpid, [0; 6]) };
        assert_eq!(pid, Ok(std::process::id() as usize));
        // SAFETY: closing an impossible descriptor closes nothing.
        let closed = unsafe { syscall6(libc::SYS_close, [usize::MAX, 0, 0, 0, 0, 0]) };
        assert_eq!(closed, Err(Errno::BADF));
    }

    #[test]
    fn all_six_arguments_arrive() {
        let length = rustix::param::page_size();
        let flags = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as usize;
        let read = libc::PROT_READ as usize;
        // SAFETY: a fresh anonymous mapping touches nothing that exists.
        let map = |fd: usize, offset: usize| unsafe {
            syscall6(libc::SYS_mmap, [0, length, read, flags, fd, offset])
        };
        // The sixth argument is looked at even for anonymous memory: it must be a page multiple.
        assert_eq!(map(usize::MAX, 1), Err(Errno::INVAL));
        let address = map(usize::MAX, 0).expect("a page of memory");
        // SAFETY: the page was mapped above, is readable, and nobody else knows it.
        unsafe {
            assert_eq!((address as *const u8).read(), 0);
            syscall6(libc::SYS_munmap, [address, length, 0, 0, 0, 0]).expect("unmaps");
        }
    }
}
