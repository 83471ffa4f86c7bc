//! An answer, written into memory.
//!
//! ```text
//!   Reply::begin(status) ─► Fields ── field(…)* ──┬─► body(kind, bytes)
//!                                                 ├─► announce(length): the body follows elsewhere
//!                                                 └─► empty()
//! ```
//! Each step takes the one before, so that an answer is begun once and ended once. `Date`, `Connection` and
//! `Content-Length` are written here, and a body is left out where the request was `HEAD`.

/// Number and words of a status line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status(pub(crate) u16, pub(crate) &'static str);

pub(crate) const OK: Status = Status(200, "OK");
pub(crate) const NO_CONTENT: Status = Status(204, "No Content");
pub(crate) const PARTIAL_CONTENT: Status = Status(206, "Partial Content");
pub(crate) const MOVED_PERMANENTLY: Status = Status(301, "Moved Permanently");
pub(crate) const NOT_MODIFIED: Status = Status(304, "Not Modified");
pub(crate) const BAD_REQUEST: Status = Status(400, "Bad Request");
pub(crate) const FORBIDDEN: Status = Status(403, "Forbidden");
pub(crate) const NOT_FOUND: Status = Status(404, "Not Found");
pub(crate) const METHOD_NOT_ALLOWED: Status = Status(405, "Method Not Allowed");
pub(crate) const REQUEST_TIMEOUT: Status = Status(408, "Request Timeout");
pub(crate) const PRECONDITION_FAILED: Status = Status(412, "Precondition Failed");
pub(crate) const CONTENT_TOO_LARGE: Status = Status(413, "Content Too Large");
pub(crate) const URI_TOO_LONG: Status = Status(414, "URI Too Long");
pub(crate) const RANGE_NOT_SATISFIABLE: Status = Status(416, "Range Not Satisfiable");
pub(crate) const EXPECTATION_FAILED: Status = Status(417, "Expectation Failed");
pub(crate) const FIELDS_TOO_LARGE: Status = Status(431, "Request Header Fields Too Large");
pub(crate) const INTERNAL_SERVER_ERROR: Status = Status(500, "Internal Server Error");
pub(crate) const NOT_IMPLEMENTED: Status = Status(501, "Not Implemented");
pub(crate) const UNAVAILABLE: Status = Status(503, "Service Unavailable");
pub(crate) const VERSION_NOT_SUPPORTED: Status = Status(505, "HTTP Version Not Supported");

pub(crate) const TEXT: &str = "text/plain; charset=utf-8";
pub(crate) const HTML: &str = "text/html; charset=utf-8";

/// What becomes of the connection after an answer, as the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// It goes on, which clients of HTTP/1.1 expect.
    Open,
    /// It goes on, and a client of HTTP/1.0 has to be told.
    OpenIsSaid,
    Closed,
}

/// An answer that has not been begun.
#[derive(Debug)]
#[must_use = "every request has an answer"]
pub(crate) struct Reply<'o> {
    pub(super) output: &'o mut Vec<u8>,
    pub(super) afterwards: Afterwards,
    pub(super) head_only: bool,
}

/// An answer whose head is being written.
#[derive(Debug)]
#[must_use = "an answer has to be ended"]
pub(crate) struct Fields<'o> {
    output: &'o mut Vec<u8>,
    head_only: bool,
}

impl<'o> Reply<'o> {
    /// Writes the status line and the fields that every answer has.
    pub(crate) fn begin(self, status: Status) -> Fields<'o> {
        let output = self.output;
        output.extend_from_slice(b"HTTP/1.1 ");
        decimal(output, u64::from(status.0));
        output.push(b' ');
        output.extend_from_slice(status.1.as_bytes());
        output.extend_from_slice(b"\r\nDate: ");
        output.extend_from_slice(&super::date::now());
        output.extend_from_slice(match self.afterwards {
            Afterwards::Open => b"\r\n",
            Afterwards::OpenIsSaid => b"\r\nConnection: keep-alive\r\n",
            Afterwards::Closed => b"\r\nConnection: close\r\n",
        });
        Fields {
            output,
            head_only: self.head_only,
        }
    }
}

impl Fields<'_> {
    /// Writes a field. Neither may have the end of a line in it: a value that comes from outside is encoded first.
    pub(crate) fn field(self, name: &str, value: &str) -> Self {
        debug_assert!(!value.contains(['\r', '\n']), "{name}: {value:?}");
        self.output.extend_from_slice(name.as_bytes());
        self.output.extend_from_slice(b": ");
        self.output.extend_from_slice(value.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self
    }

    /// Ends the answer with a body.
    pub(crate) fn body(self, kind: &str, body: &[u8]) {
        let Fields { output, head_only } = self.field("Content-Type", kind).length(body.len());
        if !head_only {
            output.extend_from_slice(body);
        }
    }

    /// Ends the head of an answer whose body, of `length` bytes, the caller sends himself; returns whether it is wanted.
    pub(crate) fn announce(self, length: u64) -> bool {
        !self.length(length as usize).head_only
    }

    /// Ends an answer that can have no body: 204 and 304.
    pub(crate) fn empty(self) {
        self.output.extend_from_slice(b"\r\n");
    }

    fn length(self, length: usize) -> Self {
        self.output.extend_from_slice(b"Content-Length: ");
        decimal(self.output, length as u64);
        self.output.extend_from_slice(b"\r\n\r\n");
        self
    }
}

/// Writes a number; what `write!` costs is more than the rest of a short answer.
fn decimal(output: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return output.extend_from_slice(&digits[start..]);
        }
    }
}
