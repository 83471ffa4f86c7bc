//! The free functions of std's `fs`, each one job on the pool.
//!
//! A function that does several system calls in std (`copy`, `remove_dir_all`, `read`) is one job too: a job costs some
//! microseconds, and what holds its thread is the same disk all the time.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use crate::io::offload::unblock;

/// Runs `f` with the path on the pool.
fn with<T: Send + 'static>(
    path: impl AsRef<Path>,
    f: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    unblock(move || f(&path))
}

/// Runs `f` with both paths on the pool.
fn with_two<T: Send + 'static>(
    first: impl AsRef<Path>,
    second: impl AsRef<Path>,
    f: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let second = second.as_ref().to_owned();
    with(first, move |first| f(first, &second))
}

/// Reads a whole file; see [`std::fs::read`].
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    with(path, |path| fs::read(path))
}

/// Reads a whole file that is UTF-8; see [`std::fs::read_to_string`].
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    with(path, |path| fs::read_to_string(path))
}

/// Makes `contents` the whole file; see [`std::fs::write`].
///
/// A kill or a timeout leaves the job running: the file is, in the end, written whole, unless that fails.
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let contents = contents.as_ref().to_owned();
    with(path, |path| fs::write(path, contents))
}

/// Copies a file and its permissions; see [`std::fs::copy`]. A kill or a timeout does not stop the copying.
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    with_two(from, to, |from, to| fs::copy(from, to))
}

/// Renames; see [`std::fs::rename`].
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    with_two(from, to, |from, to| fs::rename(from, to))
}

/// Makes a hard link; see [`std::fs::hard_link`].
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    with_two(original, link, |original, link| {
        fs::hard_link(original, link)
    })
}

/// Makes a symbolic link; see [`std::os::unix::fs::symlink`].
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    with_two(original, link, |original, link| {
        std::os::unix::fs::symlink(original, link)
    })
}

/// Removes a file; see [`std::fs::remove_file`].
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with(path, |path| fs::remove_file(path))
}

/// Removes an empty directory; see [`std::fs::remove_dir`].
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with(path, |path| fs::remove_dir(path))
}

/// Removes a directory and all in it; see [`std::fs::remove_dir_all`]. A kill or a timeout does not stop it.
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with(path, |path| fs::remove_dir_all(path))
}

/// Makes a directory; see [`std::fs::create_dir`].
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with(path, |path| fs::create_dir(path))
}

/// Makes a directory, and those above it that are missing; see [`std::fs::create_dir_all`].
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with(path, |path| fs::create_dir_all(path))
}

/// What is known about a path, through symbolic links; see [`std::fs::metadata`].
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    with(path, |path| fs::metadata(path))
}

/// What is known about a path itself; see [`std::fs::symlink_metadata`].
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    with(path, |path| fs::symlink_metadata(path))
}

/// Changes permissions; see [`std::fs::set_permissions`].
pub fn set_permissions<P: AsRef<Path>>(path: P, perm: Permissions) -> io::Result<()> {
    with(path, |path| fs::set_permissions(path, perm))
}

/// The absolute path without symbolic links; see [`std::fs::canonicalize`].
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    with(path, |path| fs::canonicalize(path))
}

/// Where a symbolic link points; see [`std::fs::read_link`].
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    with(path, |path| fs::read_link(path))
}

/// Whether there is something at the path; see [`std::fs::exists`].
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    with(path, |path| fs::exists(path))
}
