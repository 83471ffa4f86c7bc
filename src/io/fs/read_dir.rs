//! [`ReadDir`] and [`DirEntry`]: the twins of std's.
//!
//! The kernel gives directory entries by the buffer; so does a job here, [`BATCH`] of them at a time. What it has read lies
//! in memory that it shares with the iterator: a kill between two entries loses none.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io::offload::unblock;

/// Entries that one job reads.
const BATCH: usize = 128;

/// The entries of a directory; see [`std::fs::read_dir`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// rustlet::fs::write(dir.path().join("a"), "")?;
/// for entry in rustlet::fs::read_dir(dir.path())? {
///     let entry = entry?;
///     assert_eq!(entry.file_name(), "a");
///     assert!(entry.file_type()?.is_file());
/// }
/// # std::io::Result::Ok(())
/// ```
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref().to_owned();
    unblock(move || {
        let mut ahead = Ahead {
            entries: VecDeque::new(),
            rest: Some(fs::read_dir(path)?),
        };
        ahead.fill(); // while we are here: most directories are small
        Ok(ReadDir(Arc::new(Mutex::new(ahead))))
    })
}

/// An iterator over the entries of a directory; see [`std::fs::ReadDir`].
pub struct ReadDir(Arc<Mutex<Ahead>>);

/// What was read ahead, and what is still to be read.
struct Ahead {
    entries: VecDeque<io::Result<DirEntry>>,
    /// `None` after the last entry.
    rest: Option<fs::ReadDir>,
}

impl Ahead {
    fn fill(&mut self) {
        while self.entries.len() < BATCH
            && let Some(rest) = &mut self.rest
        {
            match rest.next() {
                Some(entry) => self.entries.push_back(entry.map(DirEntry::new)),
                None => self.rest = None,
            }
        }
    }
}

impl ReadDir {
    fn lock(ahead: &Mutex<Ahead>) -> MutexGuard<'_, Ahead> {
        ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        {
            // A job that a killed call has left behind may be reading.
            let ahead = self.0.try_lock();
            if let Ok(mut ahead) = ahead {
                match ahead.entries.pop_front() {
                    None if ahead.rest.is_some() => {}
                    next => return next,
                }
            }
        }
        let shared = self.0.clone();
        unblock(move || {
            let mut ahead = ReadDir::lock(&shared);
            if ahead.entries.is_empty() {
                ahead.fill();
            }
        });
        ReadDir::lock(&self.0).entries.pop_front()
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.try_lock() {
            Ok(ahead) => f.debug_tuple("ReadDir").field(&ahead.rest).finish(),
            Err(_) => f.debug_tuple("ReadDir").finish_non_exhaustive(),
        }
    }
}

/// An entry of a directory; see [`std::fs::DirEntry`]. [`DirEntryExt`] is there too.
pub struct DirEntry {
    entry: Arc<fs::DirEntry>,
    /// Most file systems say it with the name; where they do not, it was asked for where the name was read.
    file_type: Option<FileType>,
}

impl DirEntry {
    fn new(entry: fs::DirEntry) -> Self {
        DirEntry {
            file_type: entry.file_type().ok(),
            entry: Arc::new(entry),
        }
    }

    fn offload<T: Send + 'static>(&self, f: impl FnOnce(&fs::DirEntry) -> T + Send + 'static) -> T {
        let entry = self.entry.clone();
        unblock(move || f(&entry))
    }

    /// The directory's path, as it was given, with the name.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// The name.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// What is known about the entry itself, not about what a link points to.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.offload(|entry| entry.metadata())
    }

    /// What the entry is, a link being a link.
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => self.offload(|entry| entry.file_type()),
        }
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.entry.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entry.fmt(f)
    }
}
