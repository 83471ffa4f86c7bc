//! Bodies in chunks (RFC 9112, 7.1), decoded as they come.
//!
//! ```text
//!            size, extensions, CRLF          that many bytes, CRLF
//!   Size ────────────────────────────► Data ──────────────────────► Size
//!     └── size 0 ──► Trailers ── an empty line ──► done
//! ```
//! Strict, because what two servers read differently is how requests are smuggled: lines end with CR LF, sizes are
//! hexadecimal digits and nothing else. Extensions and trailers are read and dropped.

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not in chunks.
    Malformed,
    /// It is longer than it may be.
    TooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    Data {
        left: usize,
    },
    /// The CR LF behind a chunk's data.
    AfterData,
    /// So many bytes of trailers have come.
    Trailers {
        length: usize,
    },
    Done,
}

/// Decodes one body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunked {
    state: State,
}

impl Chunked {
    pub(crate) fn new() -> Chunked {
        Chunked { state: State::Size }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Appends to `body` what `input` has of it; returns how many bytes of `input` that used. The rest is wanted again,
    /// with more behind it; or belongs to the next request, when the body is done.
    ///
    /// A line and all trailers together may be as long as `line`, the body as long as `most`.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(crate) fn decode(
        &mut self,
        input: &[u8],
        body: &mut Vec<u8>,
        most: usize,
        line: usize,
    ) -> Result<usize, Fault> {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            match self.state {
                State::Done => return Ok(used),
                State::Size => {
                    let Some(text) = take_line(rest, line)? else {
                        return Ok(used);
                    };
                    used += text.len() + 2;
                    self.state = match size(text)? {
                        0 => State::Trailers { length: 0 },
                        left if left > most - body.len() => return Err(Fault::TooLong),
                        left => State::Data { left },
                    };
                }
                State::Data { left } => {
                    let here = left.min(rest.len());
                    body.extend_from_slice(&rest[..here]);
                    used += here;
                    if here < left {
                        self.state = State::Data { left: left - here };
                        return Ok(used);
                    }
                    self.state = State::AfterData;
                }
                State::AfterData => match rest {
                    [b'\r', b'\n', ..] => {
                        used += 2;
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(used),
                    _ => return Err(Fault::Malformed),
                },
                State::Trailers { length } => {
                    let Some(text) = take_line(rest, line - length)? else {
                        return Ok(used);
                    };
                    used += text.len() + 2;
                    self.state = match text.len() {
                        0 => State::Done,
                        more if length + more + 2 > line => return Err(Fault::TooLong),
                        more => State::Trailers {
                            length: length + more + 2,
                        },
                    };
                }
            }
        }
    }
}

/// The line that `input` begins with, without its end; `None` if the end has not come.
fn take_line(input: &[u8], most: usize) -> Result<Option<&[u8]>, Fault> {
    match input.iter().position(|&byte| byte == b'\n') {
        Some(end) if end > most => Err(Fault::TooLong),
        Some(end) if end > 0 && input[end - 1] == b'\r' => {
            let text = &input[..end - 1];
            // A lone CR is the end of a line to some.
            match text.contains(&b'\r') {
                true => Err(Fault::Malformed),
                false => Ok(Some(text)),
            }
        }
        Some(_) => Err(Fault::Malformed),
        None if input.len() > most => Err(Fault::TooLong),
        None => Ok(None),
    }
}

/// The number at the start of a chunk's first line.
fn size(line: &[u8]) -> Result<usize, Fault> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (digits, rest) = line.split_at(digits);
    // Blanks are allowed before an extension, and nowhere else.
    let extension = rest.trim_ascii_start();
    if digits.is_empty() || !(rest.is_empty() || extension.starts_with(b";")) {
        return Err(Fault::Malformed);
    }
    let mut size = 0_usize;
    for digit in digits {
        let digit = char::from(*digit)
            .to_digit(16)
            .expect("a hexadecimal digit");
        size = size
            .checked_mul(16)
            .and_then(|size| size.checked_add(digit as usize))
            .ok_or(Fault::TooLong)?;
    }
    Ok(size)
}
