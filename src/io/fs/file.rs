//! [`File`]: the twin of [`std::fs::File`].

use std::fs::{self, FileTimes, Metadata, Permissions};
use std::io::{self, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::OpenOptions;
use super::handle::{Handle, Kind};
use crate::timer::sleep;

/// An open file; see [`std::fs::File`] for what each method means.
///
/// The position is the kernel's, as std's: clones share it, and so does whoever inherited the descriptor. It moves by as
/// much as was read or written. Several greenlets may use one file; operations on its position take turns.
/// [`FileExt`](std::os::unix::fs::FileExt) reads and writes elsewhere without it.
///
/// # What does not leave the thread
/// Reads of what is in the page cache, writes that the cache takes at once, and seeks but those from the end. Some
/// file systems cannot be asked that way; there each operation takes the way over the pool, some microseconds.
///
/// # Kills and timeouts
/// An operation on the pool goes on when its greenlet is killed or runs out of time; it owns what it needs.
/// - *Reads*: what is read is lost, and the position is behind it.
/// - *Writes*: the bytes of this call (not more than 2 MiB; `write_all` makes several) are written, all or, as by any
///   write, the first of them, soon. No later operation on the position by this handle or its clones comes before that. A buffer
///   in the program (`BufWriter`) still has them, and would write them once more.
///
/// Whoever cannot have that uses positions of its own, and repeats what was interrupted.
///
/// # Other than files
/// FIFOs, terminals, and what else can be polled are waited for by readiness, and a kill or a timeout of that wait leaves
/// everything as it was. They are not made non-blocking, since others may share them: should another process take the data between poll and
/// read, the read blocks the thread until there is more. A device that cannot be polled is taken to be always ready.
///
/// With `O_DIRECT` only reads and writes that go straight to the kernel meet its alignment; those which need the pool fail
/// with `InvalidInput`.
///
/// # Closing
/// Dropping closes on this thread, as std; while a job has the file, at its end.
///
/// ```
/// use rustlet::fs::File;
/// use std::io::{Read, Seek, Write};
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("file");
/// let mut file = File::create_new(&path)?;
/// assert!(file.write(b"text")? > 0);
/// file.sync_all()?;
///
/// let mut file = File::open(&path)?;
/// let mut text = String::new();
/// file.read_to_string(&mut text)?;
/// file.rewind()?;
/// assert_eq!((text.as_str(), file.metadata()?.len()), ("text", 4));
/// # std::io::Result::Ok(())
/// ```
pub struct File {
    handle: Arc<Handle<fs::File>>,
}

impl File {
    /// Opens a file for reading.
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing, empty, and makes it if it is not there.
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file, which must not be there, for reading and writing.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).open(path)
    }

    /// As [`OpenOptions::new`].
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    pub(super) fn of(file: fs::File, kind: Kind) -> File {
        File {
            handle: Handle::new(file, kind),
        }
    }

    pub(super) fn handle(&self) -> &Arc<Handle<fs::File>> {
        &self.handle
    }

    /// std's, when no job of a killed greenlet has it any more; or else another descriptor of the same open file.
    pub(super) fn into_std(self) -> fs::File {
        let mut handle = self.handle;
        loop {
            handle = match handle.into_inner() {
                Ok(file) => return file,
                Err(shared) => shared,
            };
            if let Ok(file) = handle.fd().try_clone() {
                return file;
            }
            sleep(Duration::from_millis(1)); // no descriptor is left: the job ends sooner or later
        }
    }

    /// Brings everything to the disk: data and metadata.
    pub fn sync_all(&self) -> io::Result<()> {
        self.handle.offload(|file| file.sync_all())
    }

    /// Brings the data to the disk, and what it takes to find them.
    pub fn sync_data(&self) -> io::Result<()> {
        self.handle.offload(|file| file.sync_data())
    }

    /// Cuts the file, or lengthens it with zeros.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.handle.offload(move |file| file.set_len(size))
    }

    /// What is known about the file.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.handle.offload(|file| file.metadata())
    }

    /// Another handle of the same open file, with the same position.
    pub fn try_clone(&self) -> io::Result<File> {
        let clone = self.handle.fd().try_clone()?;
        Ok(File {
            handle: self.handle.clone_as(clone),
        })
    }

    /// Changes the permissions.
    pub fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        self.handle.offload(move |file| file.set_permissions(perm))
    }

    /// Changes the times.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.handle.offload(move |file| file.set_times(times))
    }

    /// Changes the time of the last modification.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Moves the position. A file server may be asked where the end is.
    pub(super) fn move_to(&self, to: SeekFrom) -> io::Result<u64> {
        use io::Seek;
        match to {
            SeekFrom::End(_) => self.handle.offload_in_turn(move |mut file| file.seek(to)),
            _ => self.handle.in_turn(|mut file| file.seek(to)),
        }
    }
}
