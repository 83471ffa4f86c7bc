//! Accepting, for listeners of any family: the system call, and patience when descriptors run out.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketAddrAny, SocketFlags};

use crate::io::source::Source;
use crate::reactor::Interest;

/// Waits between two tries to accept while descriptors are short.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// For how long [`patiently`] waits for a descriptor before it reports that none is left.
const PATIENCE: Duration = Duration::from_secs(1);

/// A connection, non-blocking, and its peer.
pub(super) type Connection = (OwnedFd, Option<SocketAddrAny>);

/// accept(2), which says "would block" when there is no connection.
pub(super) fn take_connection(fd: BorrowedFd<'_>) -> Result<Connection, Errno> {
    rustix::net::acceptfrom_with(fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Waits for a connection, which `take` takes. If descriptors run out, tries again with growing pauses for
/// about a second.
///
/// # Errors
/// Those of `take`; `EBADF` when the listener was closed.
pub(super) fn patiently<S: AsFd>(
    source: &Source<S>,
    mut take: impl FnMut(BorrowedFd<'_>) -> Result<Connection, Errno>,
) -> io::Result<Connection> {
    let mut pause = FIRST_PAUSE;
    let mut waited = Duration::ZERO;
    loop {
        match source.operate(Interest::Read, None, &mut take) {
            Err(error)
                if is_shortage(&error)
                    && waited < PATIENCE
                    && !source.options().is_nonblocking() =>
            {
                tracing::warn!(
                    target: "rustlet",
                    %error,
                    "accept: no descriptor for a connection; it waits (raise RLIMIT_NOFILE, `ulimit -n`)"
                );
                crate::timer::sleep(pause);
                waited += pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            // The end of listening may be seen here before the operation could have said so.
            Err(_) if source.is_closed() => return Err(Errno::BADF.into()),
            done => return done,
        }
    }
}

/// Whether a failed accept says that descriptors or kernel memory ran out (accept(2), "Errors").
fn is_shortage(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .map(Errno::from_raw_os_error)
        .is_some_and(|errno| {
            matches!(
                errno,
                Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM
            )
        })
}
