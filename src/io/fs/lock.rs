//! File locks: [`File::lock`] and its family, which are flock(2), as std's.
//!
//! A lock that is taken is waited for by asking again, after a millisecond at first and 64 later. flock cannot be waited
//! for with poll, and a thread for each that waits is a trap: when all threads of the pool wait for locks whose holders need
//! the pool to go on, none ever does. It could not be called off by a kill either.

use std::fmt;
use std::io;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::File;
use crate::timer::sleep;

/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_millis(64);

/// Why [`File::try_lock`] did not lock; as `std::fs::TryLockError`.
#[derive(Debug)]
pub enum TryLockError {
    /// What flock says.
    Error(io::Error),
    /// Somebody else has the lock.
    WouldBlock,
}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryLockError::Error(error) => {
                write!(f, "lock acquisition failed due to I/O error: {error}")
            }
            TryLockError::WouldBlock => {
                f.write_str("lock acquisition failed because the operation would block")
            }
        }
    }
}

impl std::error::Error for TryLockError {}

impl From<TryLockError> for io::Error {
    fn from(error: TryLockError) -> io::Error {
        match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        }
    }
}

impl File {
    /// Locks the file for this handle and its clones alone; waits while others have it.
    ///
    /// As `std::fs::File::lock`: the lock is the open file's, not the greenlet's, advisory, and given back with the last
    /// handle. Who waits asks again now and then, so the order of those who wait is not theirs of coming.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("lock");
    /// let file = rustlet::fs::File::create(&path)?;
    /// file.lock()?;
    /// let other = rustlet::fs::File::open(&path)?;
    /// assert!(other.try_lock().is_err());
    /// file.unlock()?;
    /// other.try_lock()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn lock(&self) -> io::Result<()> {
        self.lock_patiently(FlockOperation::NonBlockingLockExclusive)
    }

    /// As [`File::lock`], together with others who lock it this way.
    pub fn lock_shared(&self) -> io::Result<()> {
        self.lock_patiently(FlockOperation::NonBlockingLockShared)
    }

    /// As [`File::lock`], if that needs no waiting.
    ///
    /// # Errors
    /// Others have it; what flock says.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.try_flock(FlockOperation::NonBlockingLockExclusive)
    }

    /// As [`File::lock_shared`], if that needs no waiting.
    ///
    /// # Errors
    /// Another has it for itself; what flock says.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.try_flock(FlockOperation::NonBlockingLockShared)
    }

    /// Gives the lock back.
    pub fn unlock(&self) -> io::Result<()> {
        Ok(self
            .handle()
            .offload(|file| flock(file, FlockOperation::Unlock))?)
    }

    /// On the calling thread, so that a kill does not leave it locked by a job; network file systems, which
    /// ask their server, hold the thread for that long.
    fn try_flock(&self, operation: FlockOperation) -> Result<(), TryLockError> {
        loop {
            match flock(self, operation) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => return Err(TryLockError::WouldBlock),
                Err(error) => return Err(TryLockError::Error(error.into())),
            }
        }
    }

    fn lock_patiently(&self, operation: FlockOperation) -> io::Result<()> {
        let mut pause = Duration::from_millis(1);
        loop {
            match self.try_flock(operation) {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {
                    sleep(pause);
                    pause = (2 * pause).min(LONGEST);
                }
            }
        }
    }
}
