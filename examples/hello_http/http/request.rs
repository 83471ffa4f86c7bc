//! A request: its head, taken apart by `httparse`, and what the standard asks of a server to check in it.
//!
//! Where a body ends is the one thing that must never be guessed (RFC 9112, 6.3): a head that says it twice, or in a way
//! that is not understood, is refused.

use std::mem::MaybeUninit;

use httparse::{Header, Status};

use super::limits::{Limits, MOST_FIELDS};
use super::reply;

/// Why a request is refused, in the words of a status line.
pub(crate) type Refusal = reply::Status;

/// Room for the fields of a head; see [`Head::parse`].
pub(crate) type Fields<'a> = [MaybeUninit<Header<'a>>; MOST_FIELDS];

/// Room that no field has been written to.
pub(crate) const fn no_fields<'a>() -> Fields<'a> {
    [const { MaybeUninit::uninit() }; MOST_FIELDS]
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes; a request that does not speak of a body has none.
    Length(usize),
    Chunked,
}

/// A head that has been checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'h, 'b> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    /// Whether the client speaks HTTP/1.1, not 1.0.
    pub(crate) is_1_1: bool,
    pub(crate) keep_alive: bool,
    /// Whether the client waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) framing: Framing,
    /// Bytes of the head, with the empty line.
    pub(crate) length: usize,
    fields: &'h [Header<'b>],
}

/// A complete request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) head: Head<'a, 'a>,
    pub(crate) body: &'a [u8],
}

impl<'h, 'b> Head<'h, 'b> {
    /// Takes apart the head that `input` begins with; `None` if it is not complete.
    ///
    /// # Errors
    /// The status to refuse it with.
    pub(crate) fn parse(
        input: &'b [u8],
        fields: &'h mut Fields<'b>,
        limits: &Limits,
    ) -> Result<Option<Head<'h, 'b>>, Refusal> {
        let mut parsed = httparse::Request::new(&mut []);
        let status = parsed.parse_with_uninit_headers(input, fields);
        let length = match status {
            Ok(Status::Complete(length)) if length <= limits.head => length,
            Ok(Status::Partial) if input.len() < limits.head => return Ok(None),
            Ok(_) => return Err(too_long(&input[..limits.head])),
            Err(httparse::Error::TooManyHeaders) => return Err(reply::FIELDS_TOO_LARGE),
            Err(httparse::Error::Version) => return Err(refuse_version(input)),
            Err(_) => return Err(reply::BAD_REQUEST),
        };
        let fields: &'h [Header<'b>] = parsed.headers;
        let is_1_1 = parsed.version == Some(1);

        let mut keep_alive = is_1_1;
        let mut body_length = None;
        let (mut codings, mut hosts) = (0, 0);
        let mut expects_continue = false;
        // One pass, and the length of a name first: most fields are none of these.
        for field in fields {
            let is = |name| field.name.eq_ignore_ascii_case(name);
            match field.name.len() {
                4 if is("host") => hosts += 1,
                6 if is("expect") => match field.value.eq_ignore_ascii_case(b"100-continue") {
                    true => expects_continue = is_1_1,
                    false => return Err(reply::EXPECTATION_FAILED),
                },
                10 if is("connection") => {
                    for word in words(field.value) {
                        if word.eq_ignore_ascii_case(b"close") {
                            keep_alive = false;
                        } else if word.eq_ignore_ascii_case(b"keep-alive") && !is_1_1 {
                            keep_alive = true;
                        }
                    }
                }
                14 if is("content-length") => {
                    let this = decimal(field.value).ok_or(reply::BAD_REQUEST)?;
                    if body_length.is_some_and(|other| other != this) {
                        return Err(reply::BAD_REQUEST);
                    }
                    body_length = Some(this);
                }
                17 if is("transfer-encoding") => {
                    codings += 1;
                    if !field.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(reply::NOT_IMPLEMENTED);
                    }
                }
                _ => {}
            }
        }
        let well_framed = match codings {
            0 => true,
            1 => is_1_1 && body_length.is_none(),
            _ => false,
        };
        let has_host = hosts == 1 || (hosts == 0 && !is_1_1);
        let target = parsed.path.unwrap_or_default();
        if !well_framed || !has_host || !is_target(target) {
            return Err(reply::BAD_REQUEST);
        }
        let framing = match body_length {
            _ if codings == 1 => Framing::Chunked,
            Some(length) if length > limits.body as u64 => return Err(reply::CONTENT_TOO_LARGE),
            length => Framing::Length(length.unwrap_or(0) as usize),
        };
        Ok(Some(Head {
            method: parsed.method.unwrap_or_default(),
            target,
            is_1_1,
            keep_alive,
            expects_continue,
            framing,
            length,
            fields,
        }))
    }

    /// The path and what stands behind the first `?`. A target with scheme and host (which proxies are sent, and
    /// servers must take) has lost them.
    pub(crate) fn path_and_query(&self) -> (&'b str, Option<&'b str>) {
        let mut path = self.target;
        if let Some(rest) = strip_scheme(path) {
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            path = &rest[end..];
        }
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        (if path.is_empty() { "/" } else { path }, query)
    }

    /// The value of the first field called `name`, if it is text.
    pub(crate) fn field(&self, name: &str) -> Option<&'b str> {
        let mut fields = self.fields.iter();
        let field = fields.find(|field| field.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(field.value).ok()
    }
}

/// The items of a list of words.
fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Digits and nothing else: no sign, no blank.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0, |value, byte| match byte {
        b'0'..=b'9' => Some(value * 10 + u64::from(byte - b'0')),
        _ => None,
    })
}

/// Whether a target is a path, `*`, or has a scheme and a host.
fn is_target(target: &str) -> bool {
    target.starts_with('/') || target == "*" || strip_scheme(target).is_some()
}

fn strip_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let start = target.get(..scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme)
            .then(|| &target[scheme.len()..])
    })
}

/// Whether it is the request line or the fields that are too long.
fn too_long(start: &[u8]) -> Refusal {
    match start.trim_ascii_start().contains(&b'\n') {
        true => reply::FIELDS_TOO_LARGE,
        false => reply::URI_TOO_LONG,
    }
}

/// Whether it is another version of HTTP, or something else altogether.
fn refuse_version(input: &[u8]) -> Refusal {
    let line = input.trim_ascii_start().split(|&byte| byte == b'\n').next();
    let version = line.unwrap_or_default().trim_ascii_end();
    let version = version.rsplit(|&byte| byte == b' ').next();
    match version.unwrap_or_default() {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            reply::VERSION_NOT_SUPPORTED
        }
        _ => reply::BAD_REQUEST,
    }
}
