//! HTTP/1.1 in little: what gevent's examples take from `pywsgi` and `urllib`.
//!
//! Plain blocking code over anything that reads and writes, so it serves TCP and TLS alike. Keep-alive, pipelining,
//! bodies with a `content-length`; no chunks. `httparse` takes the heads apart.
//!
//! Each example takes what it needs.
#![allow(dead_code)]

use std::io::{self, Read, Write};

use rustlet::net::TcpStream;

const LONGEST: usize = 1024 * 1024;

/// A request or a response.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// Of a request.
    pub(crate) method: String,
    pub(crate) path: String,
    /// Of a response.
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// A response.
    pub(crate) fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Message {
            status,
            headers: vec![("content-type".to_owned(), kind.to_owned())],
            body: body.into(),
            ..Message::default()
        }
    }

    /// A response that people read.
    pub(crate) fn html(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Message::new(status, "text/html; charset=utf-8", body)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(this, _)| this.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The server's end of a connection: answers requests with `application` until the client goes. gevent's
/// `WSGIServer`, without the standard.
pub(crate) fn serve(
    stream: impl Read + Write,
    application: impl Fn(&Message) -> Message,
) -> io::Result<()> {
    let mut wire = Wire::new(stream);
    while let Some(request) = wire.receive(request_head)? {
        let response = application(&request);
        let close = request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let mut head = format!(
            "HTTP/1.1 {} {}\r\ncontent-length: {}\r\n",
            response.status,
            reason(response.status),
            response.body.len()
        );
        for (name, value) in &response.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if close {
            head.push_str("connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        if request.method != "HEAD" {
            bytes.extend(&response.body);
        }
        wire.stream.write_all(&bytes)?;
        wire.stream.flush()?;
        if close {
            break;
        }
    }
    Ok(())
}

/// One request over a stream that is then closed.
pub(crate) fn ask(
    mut stream: impl Read + Write,
    host: &str,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<Message> {
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )?;
    stream.flush()?;
    let response = Wire::new(stream).receive(response_head)?;
    response.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// `urlopen` for `http://host[:port]/path`.
pub(crate) fn fetch(url: &str) -> io::Result<Message> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("no http URL: {url}"));
    let rest = url.strip_prefix("http://").ok_or_else(invalid)?;
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let stream = match host.contains(':') {
        true => TcpStream::connect(host)?,
        false => TcpStream::connect((host, 80))?,
    };
    ask(stream, host, "GET", path, "")
}

/// What a parser makes of the first bytes of a message: its head, and how long that is.
type Head = Result<Option<(Message, usize)>, httparse::Error>;

fn request_head(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    Ok(match request.parse(bytes)? {
        httparse::Status::Partial => None,
        httparse::Status::Complete(length) => Some((
            Message {
                method: request.method.unwrap_or_default().to_owned(),
                path: request.path.unwrap_or_default().to_owned(),
                headers: owned(request.headers),
                ..Message::default()
            },
            length,
        )),
    })
}

fn response_head(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    Ok(match response.parse(bytes)? {
        httparse::Status::Partial => None,
        httparse::Status::Complete(length) => Some((
            Message {
                status: response.code.unwrap_or_default(),
                headers: owned(response.headers),
                ..Message::default()
            },
            length,
        )),
    })
}

fn owned(headers: &[httparse::Header<'_>]) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let headers = headers.iter();
    headers
        .map(|header| (header.name.to_owned(), text(header.value)))
        .collect()
}

/// A stream, and what was received and not yet used.
struct Wire<S> {
    stream: S,
    input: Vec<u8>,
}

impl<S: Read> Wire<S> {
    fn new(stream: S) -> Self {
        Wire {
            stream,
            input: Vec::new(),
        }
    }

    /// The next message; `None` at the end of the stream.
    fn receive(&mut self, parse: fn(&[u8]) -> Head) -> io::Result<Option<Message>> {
        let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let (mut message, head) = loop {
            match parse(&self.input).map_err(|error| invalid(&error.to_string()))? {
                Some(parsed) => break parsed,
                None if self.input.len() > LONGEST => return Err(invalid("a head without an end")),
                None if self.more()? => {}
                None if self.input.is_empty() => return Ok(None),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        };
        if message.header("transfer-encoding").is_some() {
            return Err(invalid("no chunks, please"));
        }
        let length = match message.header("content-length").map(str::parse) {
            Some(Ok(length)) if length <= LONGEST => Some(length),
            Some(_) => return Err(invalid("a body of that length")),
            // A request without one has no body; a response ends with the stream.
            None if message.status == 0 => Some(0),
            None => None,
        };
        while length.is_none_or(|length| self.input.len() < head + length) {
            if !self.more()? {
                match length {
                    Some(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    None => break,
                }
            }
        }
        let end = length.map_or(self.input.len(), |length| head + length);
        message.body = self.input[head..end].to_vec();
        self.input.drain(..end);
        Ok(Some(message))
    }

    /// Reads what there is; false at the end of the stream.
    fn more(&mut self) -> io::Result<bool> {
        let filled = self.input.len();
        self.input.resize(filled + 4096, 0);
        let result = self.stream.read(&mut self.input[filled..]);
        self.input.truncate(filled + result.as_ref().unwrap_or(&0));
        result.map(|bytes| bytes > 0)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        302 => "Found",
        404 => "Not Found",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        _ => "Unknown",
    }
}
