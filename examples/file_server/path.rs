//! [`Place`]: what a request's path means, before anything is opened.
//!
//! A path is taken apart at its slashes first and decoded then, so that `%2F` cannot become a slash; `.` and `..` have no
//! business in a request (clients resolve them) and are refused, encoded or not. Names are bytes: Linux knows no other, and links in
//! listings encode them as they are.

use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A place below the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) names: Vec<Vec<u8>>,
    /// Whether the path ended with a slash: a directory is asked for.
    pub(crate) slash: bool,
}

/// Why a path means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A `%` without two digits; a zero byte.
    Malformed,
    /// `.` or `..`.
    Dots,
    /// A slash in a name: no name has one.
    Slash,
}

impl Place {
    /// Takes a request's path apart, without its query.
    pub(crate) fn of(path: &str) -> Result<Place, Fault> {
        let mut names = Vec::new();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let name = decode(part).ok_or(Fault::Malformed)?;
            match &name[..] {
                b"." | b".." => return Err(Fault::Dots),
                name if name.contains(&b'/') => return Err(Fault::Slash),
                name if name.contains(&0) => return Err(Fault::Malformed),
                _ => names.push(name),
            }
        }
        Ok(Place {
            names,
            slash: path.ends_with('/'),
        })
    }

    /// This, and a name in it.
    pub(crate) fn join(&self, name: &[u8]) -> Place {
        let mut names = self.names.clone();
        names.push(name.to_owned());
        Place {
            names,
            slash: false,
        }
    }

    /// Whether a name on the way is one that `ls` does not show.
    pub(crate) fn is_hidden(&self) -> bool {
        self.names.iter().any(|name| name.starts_with(b"."))
    }

    /// From the root.
    pub(crate) fn relative(&self) -> PathBuf {
        match self.names.is_empty() {
            true => PathBuf::from("."),
            false => self
                .names
                .iter()
                .map(|name| OsStr::from_bytes(name))
                .collect(),
        }
    }

    /// As a URL's path, with a slash at the end. It has one at its start and no second one there, which would make the first
    /// name a host.
    pub(crate) fn url(&self) -> String {
        let mut url = "/".to_owned();
        for name in &self.names {
            encode(&mut url, name);
            url.push('/');
        }
        url
    }
}

/// Undoes percent-encoding. `+` is a plus: this is no form.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next()?)? * 16 + digit(bytes.next()?)?,
            byte => byte,
        });
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Encodes everything but what RFC 3986 calls unreserved, which is safe in HTML and in header fields, too.
pub(crate) fn encode(url: &mut String, name: &[u8]) {
    for &byte in name {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            byte => write!(url, "%{byte:02X}").expect("a string takes everything"),
        }
    }
}
