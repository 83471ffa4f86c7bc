//! [`DirBuilder`]: the twin of [`std::fs::DirBuilder`].

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::io::offload::unblock;

/// Makes directories; see [`std::fs::DirBuilder`]. [`DirBuilderExt`] is there too.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let path = dir.path().join("a/b");
/// rustlet::fs::DirBuilder::new().recursive(true).create(&path)?;
/// assert!(rustlet::fs::metadata(&path)?.is_dir());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: Option<u32>,
}

impl DirBuilder {
    /// Options as [`crate::fs::create_dir`] has them.
    #[expect(clippy::new_without_default, reason = "std's has none")]
    pub fn new() -> DirBuilder {
        DirBuilder {
            recursive: false,
            mode: None,
        }
    }

    /// Whether missing directories above are made too, and existing ones are no error.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Makes the directory.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        // std's cannot be cloned.
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        if let Some(mode) = self.mode {
            builder.mode(mode);
        }
        let path = path.as_ref().to_owned();
        unblock(move || builder.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }
}
