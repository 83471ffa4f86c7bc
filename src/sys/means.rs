//! Means that the environment can forbid, so that what is done without them can be tried on a kernel that has them.
//!
//! | variable | forbids |
//! |---|---|
//! | `RUSTLET_EPOLL_PWAIT2` | [`super::epoll`]: waiting with nanoseconds |
//! | `RUSTLET_NOWAIT` | [`super::nowait`]: reads and writes that never wait |
//! | `RUSTLET_PIDFD` | descriptors of processes |
//!
//! `none` forbids it, `auto` is as if the variable were not set, and anything else is an error. Each is read once. Which guards stacks
//! have is a choice among several, and has its own variable ([`super::guard`]). Any thread.

use std::ffi::OsStr;
use std::io;
use std::sync::OnceLock;

/// One of them.
pub(crate) struct Means {
    variable: &'static str,
    allowed: OnceLock<Result<bool, String>>,
}

impl Means {
    pub(crate) const fn new(variable: &'static str) -> Self {
        Means {
            variable,
            allowed: OnceLock::new(),
        }
    }

    /// Whether it may be used.
    ///
    /// # Errors
    /// `InvalidInput`, with the name of the variable, for a value that is none.
    pub(crate) fn is_allowed(&self) -> io::Result<bool> {
        let allowed = self
            .allowed
            .get_or_init(|| read(self.variable, std::env::var_os(self.variable).as_deref()));
        // io::Error cannot be cloned, and the answer is given to every caller.
        allowed
            .clone()
            .map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))
    }
}

fn read(variable: &str, value: Option<&OsStr>) -> Result<bool, String> {
    let Some(value) = value else { return Ok(true) };
    match value.to_str() {
        Some("auto") => Ok(true),
        Some("none") => Ok(false),
        _ => Err(format!(
            "{variable}={}: it can be `auto` or `none`",
            value.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_and_others_named() {
        let read = |value: Option<&str>| read("RUSTLET_TEA", value.map(OsStr::new));
        assert_eq!(read(None), Ok(true));
        assert_eq!(read(Some("auto")), Ok(true));
        assert_eq!(read(Some("none")), Ok(false));
        assert_eq!(
            read(Some("off")).unwrap_err(),
            "RUSTLET_TEA=off: it can be `auto` or `none`"
        );
    }
}
