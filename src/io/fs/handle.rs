//! [`Handle`]: a descriptor that is read and written as it is, without blocking the thread.
//!
//! Sockets of this crate are non-blocking. A file, a terminal or what was inherited as standard input is not made so:
//! for files that changes nothing, and the flag belongs to the open file description, which other processes share.
//!
//! ```text
//!   any:                preadv2, pwritev2 with NOWAIT ──► done     (cached data, pipes, sockets)
//!   a file, a disk:        └─ EAGAIN, EOPNOTSUPP ──► the pool, with a buffer of the job's own
//!   a pipe, a socket, a terminal:  └─ EAGAIN ──► the reactor, again;  EOPNOTSUPP ──► poll, wait by the reactor, then a plain call
//! ```
//!
//! # The plain call after the poll
//! What poll found may be gone: another process or another thread reads from the same pipe. Then the plain call blocks
//! the thread until there is more. Within one `Handle` it cannot happen, and where the kernel knows NOWAIT (Linux 6.4 for
//! pipes) neither. A write to a FIFO that poll calls writable is cut to `PIPE_BUF` bytes, which then fit. A terminal
//! promises room for one byte only: it is waited for by poll, and written to on the pool.
//!
//! # The file's own position
//! Operations on it take turns ([`Turn`]), also those on the pool whose callers were killed.
//! The kernel would make them do so too, by a lock for which this thread would wait.
//!
//! # What is killed
//! A wait for a turn or for readiness: nothing has happened. A wait for the pool: the job goes on, with the descriptor, a buffer
//! and the turn, all of which it owns; what it has read is lost, and the position has moved.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::event::PollFlags;
use rustix::fs::{AtFlags, FileType, StatxFlags};
use rustix::io::Errno;

use crate::io::offload;
use crate::reactor::{Interest, Registration};
use crate::scheduler::hub;
use crate::sync::Semaphore;
use crate::sys::{nowait, thread};

/// The most that one job moves: what it has to own a buffer for.
const CHUNK: usize = 2 << 20;
/// What a pipe that poll calls writable takes whole.
const PIPE_BUF: usize = 4096;

/// What is behind a descriptor, as far as waiting for it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io) enum Kind {
    /// Files, directories, disks: always "ready", and waited for nevertheless.
    Disk,
    /// FIFOs, pipes and sockets.
    Pipe,
    /// Terminals and other devices.
    Device,
}

impl Kind {
    /// Does not go to a file server for it.
    pub(in crate::io) fn of(fd: BorrowedFd<'_>) -> Kind {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let mode = match rustix::fs::statx(fd, c"", flags, StatxFlags::TYPE) {
            Ok(stat) => u32::from(stat.stx_mode),
            Err(_) => rustix::fs::fstat(fd).map_or(0, |stat| stat.st_mode),
        };
        match FileType::from_raw_mode(mode) {
            FileType::Fifo | FileType::Socket => Kind::Pipe,
            // What has no type (eventfd, inotify, what is not open at all) can be polled.
            FileType::CharacterDevice | FileType::Unknown => Kind::Device,
            _ => Kind::Disk,
        }
    }
}

/// See the head of this file.
#[derive(Debug)]
pub(in crate::io) struct Handle<S: AsFd> {
    /// `None` only between [`Handle::into_inner`] and the drop it ends in.
    fd: Option<S>,
    kind: Kind,
    registration: Registration,
    /// Whose turn it is to use the file's own position; shared with the clones, as the position is.
    turns: Arc<Semaphore>,
    /// The file has said that it knows no NOWAIT.
    no_nowait_read: AtomicBool,
    no_nowait_write: AtomicBool,
    /// A job on the pool is waited for to its end, whatever becomes of the greenlet.
    patient: bool,
}

/// The right to use a file's own position.
struct Turn(Option<Arc<Semaphore>>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = &self.0 {
            turns.release();
        }
    }
}

impl<S: AsFd + Send + Sync + 'static> Handle<S> {
    pub(in crate::io) fn new(fd: S, kind: Kind) -> Arc<Self> {
        Arc::new(Handle::with_turns(fd, kind, Arc::new(Semaphore::new(1))))
    }

    /// As [`Handle::new`], but a kill does not end the wait for a job: what it has read or written is known.
    pub(in crate::io) fn patient(fd: S, kind: Kind) -> Arc<Self> {
        let mut handle = Handle::with_turns(fd, kind, Arc::new(Semaphore::new(1)));
        handle.patient = true;
        Arc::new(handle)
    }

    fn with_turns(fd: S, kind: Kind, turns: Arc<Semaphore>) -> Self {
        Handle {
            fd: Some(fd),
            kind,
            registration: Registration::default(),
            turns,
            no_nowait_read: AtomicBool::new(false),
            no_nowait_write: AtomicBool::new(false),
            patient: false,
        }
    }

    /// A handle for `fd`, which is another descriptor of the same open file description.
    pub(in crate::io) fn clone_as(&self, fd: S) -> Arc<Self> {
        Arc::new(Handle::with_turns(fd, self.kind, self.turns.clone()))
    }

    /// Runs `f` with the descriptor on the pool.
    pub(in crate::io) fn offload<T: Send + 'static>(
        self: &Arc<Self>,
        f: impl FnOnce(&S) -> T + Send + 'static,
    ) -> T {
        let handle = self.clone();
        if self.patient {
            return offload::unblock_uninterrupted(move || f(handle.fd()));
        }
        offload::unblock(move || f(handle.fd()))
    }

    /// Waits for the turn. Code that is unwinding cannot, and goes on without.
    fn turn(&self) -> Turn {
        if crate::scheduler::cannot_suspend() {
            let taken = self.turns.try_acquire().map(|permit| permit.forget());
            return Turn(taken.map(|()| self.turns.clone()));
        }
        self.turns.acquire().forget();
        Turn(Some(self.turns.clone()))
    }

    /// Runs `f` when it is its turn to use the file's own position, on this thread.
    pub(in crate::io) fn in_turn<T>(&self, f: impl FnOnce(&S) -> T) -> T {
        let _turn = (self.kind == Kind::Disk).then(|| self.turn());
        f(self.fd())
    }

    /// As [`Handle::in_turn`], on the pool.
    pub(in crate::io) fn offload_in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        f: impl FnOnce(&S) -> T + Send + 'static,
    ) -> T {
        let turn = (self.kind == Kind::Disk).then(|| self.turn());
        self.offload(move |fd| {
            let _turn = turn;
            f(fd)
        })
    }

    /// Reads at `at`, or at the file's own position, which moves.
    pub(in crate::io) fn read(
        self: &Arc<Self>,
        bufs: &mut [IoSliceMut<'_>],
        at: Option<u64>,
    ) -> io::Result<usize> {
        nowait::is_allowed()?;
        if self.kind != Kind::Disk && at.is_none() {
            return self.read_stream(bufs);
        }
        hub::get().spend_budget();
        let turn = at.is_none().then(|| self.turn());
        match retry(|| self.read_now(bufs, at)) {
            Err(Errno::AGAIN) => {}
            done => return done.map_err(Into::into),
        }
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(CHUNK);
        let data = self.offload(move |fd| {
            let _turn = turn;
            let mut data = Vec::with_capacity(length);
            retry(|| match at {
                Some(at) => rustix::io::pread(fd, spare_capacity(&mut data), at),
                None => rustix::io::read(fd, spare_capacity(&mut data)),
            })?;
            io::Result::Ok(data)
        })?;
        Ok(scatter(&data, bufs))
    }

    /// Writes at `at`, or at the file's own position, which moves; or, if it was opened for that, at the end.
    pub(in crate::io) fn write(
        self: &Arc<Self>,
        bufs: &[IoSlice<'_>],
        at: Option<u64>,
    ) -> io::Result<usize> {
        nowait::is_allowed()?;
        if self.kind != Kind::Disk && at.is_none() {
            return self.write_stream(bufs);
        }
        hub::get().spend_budget();
        let turn = at.is_none().then(|| self.turn());
        match retry(|| self.write_now(bufs, at)) {
            Err(Errno::AGAIN) => {}
            done => return done.map_err(Into::into),
        }
        let data = gather(bufs);
        self.offload(move |fd| {
            let _turn = turn;
            let written = retry(|| match at {
                Some(at) => rustix::io::pwrite(fd, &data, at),
                None => rustix::io::write(fd, &data),
            });
            written.map_err(Into::into)
        })
    }

    /// Reads what is there, if the file can be asked so; `EAGAIN` if not.
    fn read_now(&self, bufs: &mut [IoSliceMut<'_>], at: Option<u64>) -> Result<usize, Errno> {
        if self.no_nowait_read.load(Ordering::Relaxed) {
            return Err(Errno::AGAIN);
        }
        match nowait::read(self.fd().as_fd(), bufs, at) {
            Ok(0) if !nowait::zero_is_the_end() => Err(Errno::AGAIN),
            answer => unless_unknown(answer, &self.no_nowait_read),
        }
    }

    /// Writes what is taken at once, as [`Handle::read_now`].
    fn write_now(&self, bufs: &[IoSlice<'_>], at: Option<u64>) -> Result<usize, Errno> {
        if self.no_nowait_write.load(Ordering::Relaxed) {
            return Err(Errno::AGAIN);
        }
        let answer = nowait::write(self.fd().as_fd(), bufs, at);
        unless_unknown(answer, &self.no_nowait_write)
    }

    fn read_stream(self: &Arc<Self>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.operate(Interest::Read, |fd| {
            match self.read_now(bufs, None) {
                Err(Errno::AGAIN) if self.no_nowait_read.load(Ordering::Relaxed) => {}
                done => return done,
            }
            match thread::wait_fd(fd, PollFlags::IN, Some(0))? {
                true => rustix::io::readv(fd, bufs),
                false => Err(Errno::AGAIN),
            }
        })
    }

    fn write_stream(self: &Arc<Self>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.operate(Interest::Write, |fd| {
            match self.write_now(bufs, None) {
                Err(Errno::AGAIN) if self.no_nowait_write.load(Ordering::Relaxed) => {}
                done => return done.map(Some),
            }
            if !thread::wait_fd(fd, PollFlags::OUT, Some(0))? {
                return Err(Errno::AGAIN);
            }
            if self.kind == Kind::Device {
                return Ok(None);
            }
            let first = bufs.iter().find(|buf| !buf.is_empty());
            let first = first.map_or(&[][..], |buf| &buf[..buf.len().min(PIPE_BUF)]);
            rustix::io::write(fd, first).map(Some)
        })?;
        if let Some(written) = written {
            return Ok(written);
        }
        let data = gather(bufs);
        self.offload(move |fd| Ok(retry(|| rustix::io::write(fd, &data))?))
    }

    /// Tries `op`, and waits for the descriptor while it says that it would block.
    fn operate<T>(
        &self,
        interest: Interest,
        mut op: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> io::Result<T> {
        let fd = self.fd().as_fd();
        self.registration.operate(
            fd,
            interest,
            || None,
            || Errno::AGAIN.into(),
            |_| false,
            || op(fd),
        )
    }
}

/// What a call with NOWAIT answered. If it was "unknown", notes that, and says `EAGAIN`: the plain call will do.
fn unless_unknown(answer: Result<usize, Errno>, unknown: &AtomicBool) -> Result<usize, Errno> {
    match answer {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
            unknown.store(true, Ordering::Relaxed);
            Err(Errno::AGAIN)
        }
        answer => answer,
    }
}

fn retry<T>(mut op: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match op() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

/// Copies `data`, which is no longer than all of `bufs`, into them.
fn scatter(mut data: &[u8], bufs: &mut [IoSliceMut<'_>]) -> usize {
    let length = data.len();
    for buf in bufs {
        let (now, later) = data.split_at(data.len().min(buf.len()));
        buf[..now.len()].copy_from_slice(now);
        data = later;
    }
    length
}

/// The first [`CHUNK`] bytes of `bufs`.
fn gather(bufs: &[IoSlice<'_>]) -> Vec<u8> {
    let length = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(CHUNK);
    let mut data = Vec::with_capacity(length);
    for buf in bufs {
        let room = length - data.len();
        data.extend_from_slice(&buf[..buf.len().min(room)]);
    }
    data
}

impl<S: AsFd> Handle<S> {
    pub(in crate::io) fn fd(&self) -> &S {
        self.fd.as_ref().expect("taken only by into_inner")
    }

    /// Gives the descriptor up, unregistered; not while a job has it.
    pub(in crate::io) fn into_inner(self: Arc<Self>) -> Result<S, Arc<Self>> {
        let mut handle = Arc::try_unwrap(self)?;
        handle.registration.release(handle.fd().as_fd());
        Ok(handle.fd.take().expect("taken once"))
    }
}

impl<S: AsFd> Drop for Handle<S> {
    fn drop(&mut self) {
        if let Some(fd) = &self.fd {
            self.registration.release(fd.as_fd());
        }
    }
}
