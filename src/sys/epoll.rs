//! epoll: one instance, edge-triggered, and a wait with nanosecond deadlines.
//!
//! The wait is `epoll_pwait2` (Linux 5.11). Where it is missing (older kernels, qemu-user), it is
//! `epoll_pwait` with the time rounded up to whole milliseconds: never early, up to one late.
//! `RUSTLET_EPOLL_PWAIT2=none` has it so everywhere ([`super::means`]).

use core::sync::atomic::{AtomicBool, Ordering};
use std::io;

use rustix::event::epoll as raw;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

use super::clock::{self, Nanos};
use super::means::Means;
use super::syscall::syscall6;
use super::thread::timespec;

/// The system call; see [`super::means`].
static PWAIT2: Means = Means::new("RUSTLET_EPOLL_PWAIT2");

/// Whether `epoll_pwait2` is known to be missing, or is forbidden.
static NO_PWAIT2: AtomicBool = AtomicBool::new(false);

/// What a descriptor reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// No more input will come after what is there: the peer closed its side, or an error.
    pub(crate) read_closed: bool,
    /// Output will fail: an error, or both sides are closed.
    pub(crate) write_closed: bool,
    /// There is urgent data, at which a read ends though there is more.
    pub(crate) urgent: bool,
}

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
}

/// Room for the events of one wait.
pub(crate) struct EventBuffer {
    events: Vec<libc::epoll_event>,
}

impl core::fmt::Debug for EventBuffer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("EventBuffer")
            .field("capacity", &self.events.capacity())
            .finish()
    }
}

impl EventBuffer {
    pub(crate) fn with_capacity(events: usize) -> Self {
        EventBuffer {
            events: Vec::with_capacity(events),
        }
    }

    /// The events of the last wait.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.events.iter().map(|event| {
            let bits = event.events;
            let has = |mask: libc::c_int| bits & mask.cast_unsigned() != 0;
            let dead = has(libc::EPOLLERR | libc::EPOLLHUP);
            Event {
                token: event.u64,
                readable: dead || has(libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLPRI),
                writable: dead || has(libc::EPOLLOUT),
                read_closed: dead || has(libc::EPOLLRDHUP),
                write_closed: dead,
                urgent: has(libc::EPOLLPRI),
            }
        })
    }
}

impl Epoll {
    /// # Errors
    /// No descriptor or no memory for it; or the environment variable has no known value.
    pub(crate) fn new() -> io::Result<Self> {
        if !PWAIT2.is_allowed()? {
            NO_PWAIT2.store(true, Ordering::Relaxed);
        }
        Ok(Epoll {
            fd: raw::create(raw::CreateFlags::CLOEXEC)?,
        })
    }

    /// Registers `fd` for edges of both directions. What is ready now is reported too.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64) -> Result<(), Errno> {
        let flags = raw::EventFlags::IN
            | raw::EventFlags::OUT
            | raw::EventFlags::RDHUP
            | raw::EventFlags::PRI
            | raw::EventFlags::ET;
        raw::add(&self.fd, fd, raw::EventData::new_u64(token), flags)
    }

    /// Registers `fd` for edges of input alone.
    pub(crate) fn add_input(&self, fd: BorrowedFd<'_>, token: u64) -> Result<(), Errno> {
        let flags = raw::EventFlags::IN | raw::EventFlags::ET;
        raw::add(&self.fd, fd, raw::EventData::new_u64(token), flags)
    }

    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        raw::delete(&self.fd, fd)
    }

    /// Waits until something is ready or `deadline` (`None`: for ever; the past: not at all), and
    /// fills `buffer`. A signal ends the wait with no events.
    pub(crate) fn wait(
        &self,
        buffer: &mut EventBuffer,
        deadline: Option<Nanos>,
    ) -> Result<(), Errno> {
        buffer.events.clear();
        let room = buffer.events.capacity();
        let pointer = buffer.events.as_mut_ptr() as usize;
        let fd = self.fd.as_fd().as_raw_fd() as usize;
        let left = deadline.map(|at| match at {
            0 => 0, // a plain poll needs no clock
            at => at.saturating_sub(clock::now()),
        });
        let mut answer = Err(Errno::NOSYS);
        // Relaxed: a reader who is late makes the call once more, and is told again.
        if !NO_PWAIT2.load(Ordering::Relaxed) {
            let time = left.map(timespec);
            let time = time
                .as_ref()
                .map_or(0, |time| core::ptr::from_ref(time).expose_provenance());
            // SAFETY: the kernel writes at most `room` events to `pointer`, which has that capacity,
            // and reads `time`, which lives until the call returns; no signal mask is given.
            answer = unsafe { syscall6(libc::SYS_epoll_pwait2, [fd, pointer, room, time, 0, 0]) };
            // Some sandboxes answer EPERM to calls they do not know.
            if matches!(answer, Err(Errno::NOSYS | Errno::PERM)) {
                NO_PWAIT2.store(true, Ordering::Relaxed);
            }
        }
        if NO_PWAIT2.load(Ordering::Relaxed) {
            let millis = left.map_or(-1, |left| {
                i32::try_from(left.div_ceil(1_000_000)).unwrap_or(i32::MAX)
            });
            // SAFETY: as above.
            answer = unsafe {
                syscall6(
                    libc::SYS_epoll_pwait,
                    [fd, pointer, room, millis as usize, 0, 0],
                )
            };
        }
        match answer {
            Ok(count) => {
                // SAFETY: the kernel has written `count` events.
                unsafe { buffer.events.set_len(count) };
                Ok(())
            }
            Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
