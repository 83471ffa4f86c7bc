//! Too few descriptors, for a while.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// While it lives, the process may open only so many more.
pub(crate) struct Shortage(Rlimit);

impl Shortage {
    pub(crate) fn begin(left: usize) -> io::Result<Shortage> {
        let before = getrlimit(Resource::Nofile);
        let now = Rlimit {
            current: Some((open()? + left) as u64),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, now)?;
        Ok(Shortage(before))
    }

    /// Whether `error` is what it makes.
    pub(crate) fn is_it(error: &io::Error) -> bool {
        let error = error.raw_os_error();
        error == Some(rustix::io::Errno::MFILE.raw_os_error())
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).expect("a limit may be what it was");
    }
}

/// Descriptors that are open: the kernel gives the lowest number, so these are the lowest.
pub(crate) fn open() -> io::Result<usize> {
    // But for the one that lists them.
    Ok(std::fs::read_dir("/proc/self/fd")?.count() - 1)
}

/// How many there may be.
pub(crate) fn allowed() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| limit as usize)
}
