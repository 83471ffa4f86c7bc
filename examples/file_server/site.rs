//! [`Site`]: from a request to an answer.
//!
//! | request | answer |
//! |---|---|
//! | a file | 200; 206 with a `Range`; 304 or 412 by its conditions |
//! | a directory without a slash behind it | 301, with one |
//! | a directory | its `index.html`, or else a listing |
//! | a path that is malformed | 400 |
//! | what may not be read, is no file (a pipe, a device), or leads out of the tree | 403 |
//! | what is not there, or hidden | 404 |
//! | another method than GET, HEAD, OPTIONS | 405 |
//! | ranges that the file has nothing of | 416 |

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::sync::Arc;

use rustix::io::Errno;
use rustlet::net::TcpStream;

use crate::conditions::{Verdict, Version};
use crate::http::connection::Service;
use crate::http::date;
use crate::http::reply::{self, Fields, Reply, Status};
use crate::http::request::{Head, Request};
use crate::listing::{Order, listing};
use crate::path::{Fault, Place};
use crate::range::{self, Wanted};
use crate::send::{Payload, Piece};
use crate::tree::Tree;
use crate::{mime, page};

/// The service of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) tree: Arc<Tree>,
}

/// An answer that is no file.
struct Excuse(Status, &'static str);

impl Service for Site {
    type Payload = Payload;

    fn answer(&mut self, request: &Request<'_>, reply: Reply<'_>) -> Option<Payload> {
        match request.head.method {
            "GET" | "HEAD" => self.get(&request.head, reply),
            "OPTIONS" => {
                allow(reply.begin(reply::NO_CONTENT)).empty();
                None
            }
            _ => {
                let fields = allow(reply.begin(reply::METHOD_NOT_ALLOWED));
                let text = "Files can be read here, and nothing else.";
                html(fields, &page::error(reply::METHOD_NOT_ALLOWED, text));
                None
            }
        }
    }

    fn send(&mut self, stream: &TcpStream, before: &[u8], payload: Payload) -> io::Result<()> {
        payload.send(stream, before)
    }
}

impl Site {
    fn get(&self, head: &Head<'_, '_>, reply: Reply<'_>) -> Option<Payload> {
        let (path, query) = head.path_and_query();
        let found = Place::of(path).map_err(excuse_of_path).and_then(|place| {
            let opened = self.tree.open(&place);
            let (file, metadata) = opened.map_err(|error| excuse(&error))?;
            Ok((place, file, metadata))
        });
        match found {
            Ok((place, file, metadata)) if metadata.is_dir() => {
                self.directory(head, reply, &place, file, query)
            }
            Ok((place, ..)) if place.slash => sorry(
                reply,
                reply::NOT_FOUND,
                "There is a file of that name, no directory.",
            ),
            Ok((place, file, metadata)) if metadata.is_file() => {
                let name = place.names.last().map_or(&[][..], |name| name);
                send_file(head, reply, name, file, &metadata)
            }
            Ok(_) => sorry(
                reply,
                reply::FORBIDDEN,
                "That is neither a file nor a directory.",
            ),
            Err(Excuse(status, text)) => sorry(reply, status, text),
        }
    }

    fn directory(
        &self,
        head: &Head<'_, '_>,
        reply: Reply<'_>,
        place: &Place,
        dir: File,
        query: Option<&str>,
    ) -> Option<Payload> {
        if !place.slash {
            // Links on the page are relative to the slash.
            let url = place.url();
            let fields = reply
                .begin(reply::MOVED_PERMANENTLY)
                .field("Location", &url);
            html(fields, &page::error(reply::MOVED_PERMANENTLY, &url));
            return None;
        }
        let index = place.join(b"index.html");
        if let Ok((file, metadata)) = self.tree.open(&index)
            && metadata.is_file()
        {
            return send_file(head, reply, b"index.html", file, &metadata);
        }
        match self.tree.list(place, dir) {
            Ok(entries) => {
                let fields = reply.begin(reply::OK).field("Cache-Control", "no-cache");
                html(fields, &listing(place, entries, Order::of(query)));
                None
            }
            Err(error) => {
                let Excuse(status, text) = excuse(&error);
                sorry(reply, status, text)
            }
        }
    }
}

fn send_file(
    head: &Head<'_, '_>,
    reply: Reply<'_>,
    name: &[u8],
    file: File,
    metadata: &Metadata,
) -> Option<Payload> {
    let version = Version::of(metadata);
    match version.judge(head) {
        Verdict::Answer => {}
        Verdict::NotModified => {
            describe(reply.begin(reply::NOT_MODIFIED), &version).empty();
            return None;
        }
        Verdict::Failed => {
            let text = "The file is not the version that was asked for.";
            return sorry(reply, reply::PRECONDITION_FAILED, text);
        }
    }
    let length = metadata.len();
    // Of HEAD, a range means nothing (RFC 9110, 14.2).
    let range = head.field("range").filter(|_| head.method == "GET");
    let wanted = match range {
        Some(range) if version.continues(head) => range::parse(range, length),
        _ => Wanted::Whole,
    };
    let kind = mime::of(name);
    let (is_wanted, pieces) = match wanted {
        Wanted::Nothing => {
            let fields = reply
                .begin(reply::RANGE_NOT_SATISFIABLE)
                .field("Content-Range", &format!("bytes */{length}"));
            let text = "The file is shorter than that.";
            html(fields, &page::error(reply::RANGE_NOT_SATISFIABLE, text));
            return None;
        }
        Wanted::Whole => {
            let fields = describe(reply.begin(reply::OK), &version).field("Content-Type", kind);
            (
                fields.announce(length),
                vec![Piece::Part { offset: 0, length }],
            )
        }
        Wanted::Parts(parts) if parts.len() == 1 => {
            let part = &parts[0];
            let fields = describe(reply.begin(reply::PARTIAL_CONTENT), &version)
                .field("Content-Type", kind)
                .field("Content-Range", &content_range(part, length));
            (fields.announce(part.end - part.start), vec![piece(part)])
        }
        Wanted::Parts(parts) => {
            let boundary = format!("rustlet-{:016x}-{:x}", random(), parts.len());
            let (pieces, total) = multipart(&parts, kind, length, &boundary);
            let fields = describe(reply.begin(reply::PARTIAL_CONTENT), &version).field(
                "Content-Type",
                &format!("multipart/byteranges; boundary={boundary}"),
            );
            (fields.announce(total), pieces)
        }
    };
    // An empty file has nothing to send.
    (is_wanted && length > 0).then(|| Payload {
        file: Arc::new(file),
        pieces,
    })
}

/// The parts of a file as a body of parts, and how long that is.
fn multipart(parts: &[Range<u64>], kind: &str, length: u64, boundary: &str) -> (Vec<Piece>, u64) {
    let mut pieces = Vec::with_capacity(2 * parts.len() + 1);
    let mut total = 0;
    for part in parts {
        let line_before = if pieces.is_empty() { "" } else { "\r\n" };
        let before = format!(
            "{line_before}--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {}\r\n\r\n",
            content_range(part, length)
        );
        total += before.len() as u64 + part.end - part.start;
        pieces.push(Piece::Bytes(before.into_bytes()));
        pieces.push(piece(part));
    }
    let end = format!("\r\n--{boundary}--\r\n");
    total += end.len() as u64;
    pieces.push(Piece::Bytes(end.into_bytes()));
    (pieces, total)
}

fn piece(part: &Range<u64>) -> Piece {
    Piece::Part {
        offset: part.start,
        length: part.end - part.start,
    }
}

fn content_range(part: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", part.start, part.end - 1)
}

/// For a line that no file has in it. The keys of std's hash maps are the randomness of the standard library.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

/// What is said of a file, whatever is sent of it.
fn describe<'o>(fields: Fields<'o>, version: &Version) -> Fields<'o> {
    let modified = date::format(version.modified);
    let modified = std::str::from_utf8(&modified).expect("dates are ASCII");
    fields
        .field("ETag", &version.tag)
        .field("Last-Modified", modified)
        .field("Accept-Ranges", "bytes")
        .field("X-Content-Type-Options", "nosniff")
}

fn allow(fields: Fields<'_>) -> Fields<'_> {
    fields.field("Allow", "GET, HEAD, OPTIONS")
}

/// Answers with a page of ours.
fn html(fields: Fields<'_>, page: &str) {
    fields
        .field("Content-Security-Policy", page::POLICY)
        .field("X-Content-Type-Options", "nosniff")
        .body(reply::HTML, page.as_bytes());
}

fn sorry(reply: Reply<'_>, status: Status, text: &str) -> Option<Payload> {
    html(reply.begin(status), &page::error(status, text));
    None
}

fn excuse_of_path(fault: Fault) -> Excuse {
    match fault {
        Fault::Malformed => Excuse(reply::BAD_REQUEST, "That is no path."),
        Fault::Dots => Excuse(
            reply::FORBIDDEN,
            "Paths with dots for names lead nowhere here.",
        ),
        Fault::Slash => Excuse(reply::NOT_FOUND, "No name has a slash."),
    }
}

fn excuse(error: &io::Error) -> Excuse {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::NXIO) => {
            Excuse(reply::NOT_FOUND, "There is nothing of that name.")
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            Excuse(reply::FORBIDDEN, "The server may not read that.")
        }
        // EXDEV is what leads out of the tree.
        Some(Errno::XDEV | Errno::LOOP) => Excuse(reply::FORBIDDEN, "That link leads nowhere."),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Excuse(
            reply::UNAVAILABLE,
            "The server has too much to do; try again later.",
        ),
        _ => Excuse(reply::INTERNAL_SERVER_ERROR, "The file could not be read."),
    }
}
