//! HTTP/1.1 over anything that reads and writes: both ends of a keep-alive connection.
//!
//! Enough for `curl`, browsers and `wrk`: GET and HEAD, keep-alive, pipelining. Requests with bodies
//! are refused. Heads are parsed by `httparse`.
//!
//! A connection that waits for its next request owns two small vectors and nothing else, because
//! there are ten thousand of them.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;

use crate::page::Page;

/// A head longer than this is refused.
const LONGEST_HEAD: usize = 16 * 1024;
/// What is read and thrown away of a refused request.
const MOST_DISCARDED: u64 = 1024 * 1024;
/// What a connection's buffers begin with; a browser's head makes them grow.
const FIRST_CAPACITY: usize = 256;
/// A head with more lines than this is refused. A browser sends some 16; [`Connection::respond`]
/// three. These arrays are most of the stack that a connection ever uses.
const MOST_IN_REQUEST: usize = 32;
const MOST_IN_RESPONSE: usize = 8;

pub(crate) struct Request {
    pub(crate) path: String,
    /// Whether the client asks for the head alone.
    pub(crate) head: bool,
    pub(crate) keep_alive: bool,
}

pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// One end of a connection.
pub(crate) struct Connection<S> {
    stream: S,
    /// What has been received and not yet been used.
    input: Vec<u8>,
    /// What is being put together, so that a message is one write.
    output: Vec<u8>,
}

/// What a parser made of the bytes received so far.
enum Parsed<T> {
    /// A head, of so many bytes.
    Head(T, usize),
    Partial,
}

/// Why a request is refused: the status line's text.
type Refusal = &'static str;

impl<S: Read + Write> Connection<S> {
    pub(crate) fn new(stream: S) -> Self {
        Connection {
            stream,
            input: Vec::with_capacity(FIRST_CAPACITY),
            output: Vec::with_capacity(FIRST_CAPACITY),
        }
    }

    /// The next request; `None` at the end of the connection, and after a request that had to be
    /// refused.
    pub(crate) fn read_request(&mut self) -> io::Result<Option<Request>> {
        loop {
            match parse_request(&self.input) {
                Ok(Parsed::Head(request, length)) => {
                    self.input.drain(..length);
                    return Ok(Some(request));
                }
                Ok(Parsed::Partial) => {}
                Err(refusal) => return self.refuse(refusal).map(|()| None),
            }
            if !self.receive()? {
                return match self.input.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Says why, and then reads what is still on its way: closing a socket with unread data resets the
    /// connection, and the client might never see the answer.
    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        write!(
            self.stream,
            "HTTP/1.1 {refusal}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )?;
        let mut rest = Read::by_ref(&mut self.stream).take(MOST_DISCARDED);
        io::copy(&mut rest, &mut io::sink()).map(drop)
    }

    pub(crate) fn respond(&mut self, request: &Request, page: &Page) -> io::Result<()> {
        let connection = match request.keep_alive {
            true => "keep-alive",
            false => "close",
        };
        self.output.clear();
        write!(
            self.output,
            "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: {}\r\nconnection: {connection}\r\n\r\n",
            page.kind,
            page.body.len(),
        )?;
        if !request.head {
            self.output.extend_from_slice(page.body.as_bytes());
        }
        self.stream.write_all(&self.output)
    }

    /// Sends a request and waits for the whole response.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Response> {
        self.output.clear();
        write!(
            self.output,
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: tour\r\n\r\n"
        )?;
        self.stream.write_all(&self.output)?;
        let (status, head, body) = loop {
            if let Parsed::Head((status, body), head) = parse_response(&self.input)? {
                break (status, head, body);
            }
            self.receive_more()?;
        };
        while self.input.len() < head + body {
            self.receive_more()?;
        }
        let body = self.input[head..head + body].to_vec();
        self.input.drain(..head + body.len());
        Ok(Response { status, body })
    }

    /// Reads what there is, waiting for it if there is nothing; false at the end of the stream.
    fn receive(&mut self) -> io::Result<bool> {
        let filled = self.input.len();
        let room = filled.max(FIRST_CAPACITY);
        self.input.resize(filled + room, 0);
        let received = self.stream.read(&mut self.input[filled..]);
        self.input
            .truncate(filled + *received.as_ref().unwrap_or(&0));
        Ok(received? > 0)
    }

    fn receive_more(&mut self) -> io::Result<()> {
        match self.receive()? {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn parse_request(input: &[u8]) -> Result<Parsed<Request>, Refusal> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_IN_REQUEST];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(input, &mut headers) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() < LONGEST_HEAD => return Ok(Parsed::Partial),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err("431 Request Header Fields Too Large");
        }
        Err(_) => return Err("400 Bad Request"),
    };
    let head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err("405 Method Not Allowed"),
    };
    let header = |name| header(request.headers, name);
    if header("transfer-encoding").is_some() || header("content-length").is_some_and(|n| n != "0") {
        return Err("413 Content Too Large");
    }
    let connection = header("connection").unwrap_or_default();
    let asks = |word| list_has(connection, word);
    let keep_alive = match request.version {
        Some(0) => asks("keep-alive"),
        _ => !asks("close"),
    };
    let path = request.path.unwrap_or("/").to_owned();
    let request = Request {
        path,
        head,
        keep_alive,
    };
    Ok(Parsed::Head(request, length))
}

/// Status and length of the body.
fn parse_response(input: &[u8]) -> io::Result<Parsed<(u16, usize)>> {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_IN_RESPONSE];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        input,
        &mut headers,
    );
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let length = match parsed.map_err(|error| invalid(error.to_string()))? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if input.len() < LONGEST_HEAD => return Ok(Parsed::Partial),
        httparse::Status::Partial => return Err(invalid("endless head".to_owned())),
    };
    let body = header(response.headers, "content-length")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| invalid("no content-length".to_owned()))?;
    let status = response.code.unwrap_or_default();
    Ok(Parsed::Head((status, body), length))
}

fn header<'a>(headers: &[httparse::Header<'a>], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .and_then(|header| std::str::from_utf8(header.value).ok())
}

fn list_has(list: &str, word: &str) -> bool {
    list.split(',')
        .any(|item| item.trim().eq_ignore_ascii_case(word))
}
