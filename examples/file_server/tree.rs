//! [`Tree`]: the files that are served, and nothing outside.
//!
//! The root is opened once, and everything is opened relative to it with `openat2(RESOLVE_BENEATH)`: the kernel itself refuses
//! what leads out, by `..`, by a symbolic link or by `/proc`'s magic ones, and there is no moment between a check and its use. So
//! links that stay inside are followed and others are forbidden. A kernel without that call (before 5.6, or a sandbox's) gets a walk,
//! name by name, that follows no link at all.
//!
//! What the kernel has to ask a disk for would hold up all greenlets of the thread. So the first try is with `RESOLVE_CACHED`, which
//! fails instead; the second, and the reading of directories, are done on the blocking pool.
//!
//! # Rejected
//! `canonicalize` and a look whether the root is a prefix: between the look and the open, a link may be put there.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::Errno;

use crate::path::Place;

#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    /// Whether names with a dot in front are served.
    hidden: bool,
}

/// One line of a listing.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Vec<u8>,
    pub(crate) is_dir: bool,
    /// In bytes; of a directory, nothing that means anything.
    pub(crate) size: u64,
    /// In seconds since 1970.
    pub(crate) modified: u64,
}

/// Not to wait in `open` for the writer of a pipe, nor to touch a terminal.
const FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

const RESOLVE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

impl Tree {
    /// # Errors
    /// There is no such directory.
    pub(crate) fn new(root: &Path, hidden: bool) -> io::Result<Tree> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Tree {
            root: rustix::fs::open(root, flags, Mode::empty())?,
            hidden,
        })
    }

    /// Opens a file or directory.
    ///
    /// # Errors
    /// `NotFound` for what is hidden; `EXDEV` for what leads out of the tree; what open(2) says.
    pub(crate) fn open(self: &Arc<Self>, place: &Place) -> io::Result<(File, Metadata)> {
        if place.is_hidden() && !self.hidden {
            return Err(Errno::NOENT.into());
        }
        let cached = RESOLVE | ResolveFlags::CACHED;
        let path = place.relative();
        let fd = match openat2(&self.root, &path, FLAGS, Mode::empty(), cached) {
            Ok(fd) => fd,
            // Not cached, or this kernel cannot say (before 5.12).
            Err(Errno::AGAIN | Errno::INVAL | Errno::INTR | Errno::NOSYS | Errno::PERM) => {
                let (tree, place) = (self.clone(), place.clone());
                rustlet::unblock(move || tree.open_with(&place, FLAGS))?
            }
            Err(error) => return Err(error.into()),
        };
        let file = File::from(fd);
        let metadata = file.metadata()?;
        Ok((file, metadata))
    }

    /// Opens what may be hidden, waiting for the disk.
    fn open_with(&self, place: &Place, flags: OFlags) -> io::Result<OwnedFd> {
        let path = place.relative();
        loop {
            match openat2(&self.root, &path, flags, Mode::empty(), RESOLVE) {
                // A rename somewhere at the same time made the kernel unsure.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::PERM) => return Ok(self.walk(place, flags)?),
                result => return Ok(result?),
            }
        }
    }

    fn walk(&self, place: &Place, flags: OFlags) -> Result<OwnedFd, Errno> {
        let on_the_way = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mut at = openat(&self.root, ".", on_the_way, Mode::empty())?;
        let Some((last, names)) = place.names.split_last() else {
            return openat(at, ".", flags, Mode::empty());
        };
        for name in names {
            at = openat(at, &name[..], on_the_way, Mode::empty())?;
        }
        openat(at, &last[..], flags | OFlags::NOFOLLOW, Mode::empty())
    }

    /// What is in the directory `place`, which is open as `dir`; in no order. What cannot be served is left out.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn list(self: &Arc<Self>, place: &Place, dir: File) -> io::Result<Vec<Entry>> {
        let (tree, place) = (self.clone(), place.clone());
        rustlet::unblock(move || tree.read_dir(&place, &dir))
    }

    fn read_dir(&self, place: &Place, dir: &File) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(dir)? {
            let name = entry?.file_name().to_bytes().to_owned();
            if name == b"." || name == b".." || (name.starts_with(b".") && !self.hidden) {
                continue;
            }
            // What has gone meanwhile is left out, too.
            let Ok(mut stat) = statat(dir, &name[..], AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                let flags = OFlags::PATH | OFlags::CLOEXEC;
                let target = self.open_with(&place.join(&name), flags);
                match target.and_then(|target| Ok(rustix::fs::fstat(target)?)) {
                    Ok(of_target) => stat = of_target,
                    Err(_) => continue,
                }
            }
            let is_dir = match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => true,
                FileType::RegularFile => false,
                _ => continue,
            };
            entries.push(Entry {
                name,
                is_dir,
                size: u64::try_from(stat.st_size).unwrap_or(0),
                modified: u64::try_from(stat.st_mtime).unwrap_or(0),
            });
        }
        Ok(entries)
    }
}

/// Seconds and nanoseconds since 1970 at which a file was changed last.
pub(crate) fn modified(metadata: &Metadata) -> (u64, u32) {
    let modified = metadata.modified().ok();
    let since = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let since = since.unwrap_or_default();
    (since.as_secs(), since.subsec_nanos())
}
