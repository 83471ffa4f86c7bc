//! Conditional requests (RFC 9110, 13): what a client has already.
//!
//! A file's tag is made of its inode, length and time of change to the nanosecond: it changes whenever the file is written or
//! replaced, unless somebody turns the clock back. The fields are looked at in the order of 13.2.2; dates only where there is no
//! tag, because they count seconds.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use crate::http::date;
use crate::http::request::Head;
use crate::tree;

/// What identifies a version of a file.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) tag: String,
    /// In seconds since 1970.
    pub(crate) modified: u64,
}

/// What the conditions of a request make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Answer,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl Version {
    pub(crate) fn of(metadata: &Metadata) -> Version {
        let (seconds, nanos) = tree::modified(metadata);
        Version {
            tag: format!(
                "\"{:x}-{:x}-{seconds:x}.{nanos:x}\"",
                metadata.ino(),
                metadata.len(),
            ),
            modified: seconds,
        }
    }

    pub(crate) fn judge(&self, head: &Head<'_, '_>) -> Verdict {
        let date_of = |name| head.field(name).and_then(date::parse);
        if let Some(tags) = head.field("if-match") {
            if !self.is_among(tags, false) {
                return Verdict::Failed;
            }
        } else if date_of("if-unmodified-since").is_some_and(|date| self.modified > date) {
            return Verdict::Failed;
        }
        if let Some(tags) = head.field("if-none-match") {
            if self.is_among(tags, true) {
                return Verdict::NotModified;
            }
        } else if date_of("if-modified-since").is_some_and(|date| self.modified <= date) {
            return Verdict::NotModified;
        }
        Verdict::Answer
    }

    /// Whether a `Range` is to be heeded: the client's part is of this version, as far as `If-Range` says.
    pub(crate) fn continues(&self, head: &Head<'_, '_>) -> bool {
        match head.field("if-range").map(str::trim) {
            None => true,
            Some(tag) if tag.starts_with('"') => tag == self.tag,
            // Exactly: an older date is another version, and a weak tag never the same bytes.
            Some(date) => date::parse(date) == Some(self.modified),
        }
    }

    /// Whether a list of tags has this one. Commas may be in tags; not in ours.
    fn is_among(&self, tags: &str, weakly: bool) -> bool {
        tags.trim() == "*"
            || tags.split(',').map(str::trim).any(|tag| {
                let tag = match weakly {
                    true => tag.strip_prefix("W/").unwrap_or(tag),
                    false => tag,
                };
                tag == self.tag
            })
    }
}
