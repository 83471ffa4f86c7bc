//! Files and directories without blocking the thread: the twin of [`std::fs`].
//!
//! Porting is changing a `use` line: names, signatures and errors are std's. The kernel announces no readiness of
//! files, so what may wait for a disk or a file server is done on the threads of [`crate::unblock`], while the greenlet is
//! parked and the others run. What cannot wait is done at once: reads of what is in the page cache, writes that the cache
//! takes, moving the position.
//!
//! # Kills and timeouts
//! They end the wait for the pool, not the job. So a function of this module whose greenlet was killed may still have its effect,
//! once, a little later, unless it was only held back by a full queue. What it returned is dropped: a file that was just
//! opened is closed. [`File`] says what that means for reads and writes.
//!
//! # Not here
//! `io::copy` between files and sockets is [`crate::io`]'s; `soft_link` is deprecated in std ([`symlink`]).
//!
//! ```
//! use rustlet::fs::{self, File};
//! use std::io::{Read, Write};
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("notes");
//! File::create(&path)?.write_all(b"hello")?;
//! let mut text = String::new();
//! File::open(&path)?.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! assert_eq!(fs::read_dir(dir.path())?.count(), 1);
//! fs::remove_file(&path)?;
//! # std::io::Result::Ok(())
//! ```

mod dir_builder;
mod file;
mod functions;
pub(in crate::io) mod handle;
mod lock;
mod open_options;
mod raw_fd;
mod read_dir;
mod traits;

pub use dir_builder::DirBuilder;
pub use file::File;
pub use functions::{
    canonicalize, copy, create_dir, create_dir_all, exists, hard_link, metadata, read, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, write,
};
pub use lock::TryLockError;
pub use open_options::OpenOptions;
pub use read_dir::{DirEntry, ReadDir, read_dir};

#[doc(no_inline)]
pub use std::fs::{FileTimes, FileType, Metadata, Permissions};
