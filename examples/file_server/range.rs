//! `Range` (RFC 9110, 14): which bytes of a file are wanted.
//!
//! | `bytes=` | of a file of 1,000 bytes |
//! |---|---|
//! | `0-99` | the first 100 |
//! | `900-` | the last 100 |
//! | `-100` | the last 100 |
//! | `900-5000` | the last 100 |
//! | `1000-` | 416 |
//! | `0-9,20-29` | two parts, as `multipart/byteranges`, in the order asked for |
//! | anything else | the whole file: a range that is not understood is as good as none |
//!
//! Many small ranges cost more than they carry, and ones that overlap multiply a file. So more than [`MOST`], or more bytes than
//! the file has, get the whole file, which the standard allows.

use std::ops::Range;

/// More ranges than these are answered with the whole file.
const MOST: usize = 16;

/// What a `Range` field asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    /// One or more, none empty.
    Parts(Vec<Range<u64>>),
    /// Nothing that the file has.
    Nothing,
}

/// Reads the field's value, for a file of `length` bytes.
pub(crate) fn parse(value: &str, length: u64) -> Wanted {
    let Some(ranges) = strip_unit(value) else {
        return Wanted::Whole;
    };
    let mut parts = Vec::new();
    let mut number = 0;
    for range in ranges.split(',').map(str::trim).filter(|r| !r.is_empty()) {
        number += 1;
        match one(range, length) {
            None => return Wanted::Whole,
            Some(None) => {}
            Some(Some(part)) => parts.push(part),
        }
        if number > MOST {
            return Wanted::Whole;
        }
    }
    let total: u64 = parts.iter().map(|part| part.end - part.start).sum();
    match parts.len() {
        0 if number > 0 => Wanted::Nothing,
        0 => Wanted::Whole,
        2.. if total > length => Wanted::Whole,
        _ => Wanted::Parts(parts),
    }
}

fn strip_unit(value: &str) -> Option<&str> {
    let (unit, ranges) = value.trim().split_once('=')?;
    unit.trim().eq_ignore_ascii_case("bytes").then_some(ranges)
}

/// One range: `None` if it is none, `Some(None)` if the file has nothing of it.
fn one(range: &str, length: u64) -> Option<Option<Range<u64>>> {
    let (first, last) = range.split_once('-')?;
    let part = match (number(first)?, number(last)?) {
        (None, None) => return None,
        (None, Some(suffix)) => length.saturating_sub(suffix)..length,
        (Some(first), None) => first..length,
        (Some(first), Some(last)) if first > last => return None,
        (Some(first), Some(last)) => first..length.min(last.saturating_add(1)),
    };
    Some((part.start < part.end).then_some(part))
}

/// A number, or nothing at all; `None` if it is neither. What is too large for a number is larger than any file.
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(text.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    }
}
