//! Rust text as `tidy` sees it: comments and literals blanked out, and then words.
//!
//! Not a parser and not a lexer: it knows the five things that can hide a quote or a comment mark
//! (line and block comments, strings, raw strings, characters) and the one that looks like them (a
//! lifetime).

/// `text` with comments, strings and character literals replaced by spaces. Lines and columns stay.
pub(crate) fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => find(bytes, at, b"\n"),
            b'/' if bytes[at..].starts_with(b"/*") => end_of_block_comment(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' if !is_word_before(bytes, at) => match end_of_raw_string(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            b'\'' => match end_of_char(text, at) {
                Some(end) => end,
                None => {
                    at += 1; // a lifetime or a label
                    continue;
                }
            },
            _ => {
                at += 1;
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // A multi-byte character is either kept whole or blanked whole, since no rule above ends inside
    // one.
    String::from_utf8(out).expect("blanks replaced whole characters")
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> usize {
    bytes[from..]
        .windows(what.len())
        .position(|w| w == what)
        .map_or(bytes.len(), |n| from + n)
}

fn end_of_block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// For `r"…"`, `r#"…"#` and so on; `None` if this `r` starts something else.
fn end_of_raw_string(bytes: &[u8], start: usize) -> Option<usize> {
    let hashes = bytes[start + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    if bytes.get(start + 1 + hashes) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let body = start + hashes + 2;
    Some((find(bytes, body, &close) + close.len()).min(bytes.len()))
}

/// For `'x'` and `'\n'`; `None` for a lifetime.
fn end_of_char(text: &str, start: usize) -> Option<usize> {
    let rest = &text[start + 1..];
    let mut chars = rest.char_indices();
    match chars.next()?.1 {
        '\\' => {
            let close = rest.get(2..)?.find('\'')?;
            Some(start + 1 + 2 + close + 1)
        }
        '\'' => None,
        _ => {
            let (second, quote) = chars.next()?;
            (quote == '\'').then_some(start + 1 + second + 1)
        }
    }
}

pub(crate) fn is_word_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the byte at `at` continues a word. The prefixes of `br"…"` and `cr"…"` do not count.
fn is_word_before(bytes: &[u8], at: usize) -> bool {
    let word = |at: usize| at > 0 && is_word_char(bytes[at - 1]);
    match at.checked_sub(1).map(|before| bytes[before]) {
        Some(b'b' | b'c') => word(at - 1),
        _ => word(at),
    }
}

/// Every place where `word` stands as a whole word in `code`.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |&at| {
            let end = at + word.len();
            !(at > 0 && is_word_char(bytes[at - 1])
                || end < bytes.len() && is_word_char(bytes[end]))
        })
}

pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].bytes().filter(|byte| *byte == b'\n').count() + 1
}

/// The word that `text` starts with, after white space.
pub(crate) fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    let end = text
        .bytes()
        .position(|byte| !is_word_char(byte))
        .unwrap_or(text.len());
    &text[..end]
}
