//! The protocol without sockets: what the exchange makes of bytes, however they come.

use crate::http::date;
use crate::http::exchange::{Exchange, Step, Wait};
use crate::http::limits::Limits;
use crate::http::reply;
use crate::support;

use proptest::prelude::*;

/// A connection whose server answers with method, path and body.
struct Wire {
    exchange: Exchange,
    limits: Limits,
    written: Vec<u8>,
    /// Writes that there would have been.
    writes: usize,
    closed: bool,
}

impl Wire {
    fn new() -> Wire {
        Wire {
            exchange: Exchange::new(),
            limits: Limits {
                head: 1024,
                body: 1000,
                output: 4096,
                ..Limits::default()
            },
            written: Vec::new(),
            writes: 0,
            closed: false,
        }
    }

    /// What a read of these bytes does; how the server goes on waiting, if it does.
    fn receive(&mut self, mut bytes: &[u8]) -> Option<Wait> {
        loop {
            let room = self.exchange.room();
            let here = bytes.len().min(room.len());
            room[..here].copy_from_slice(&bytes[..here]);
            self.exchange.received(here);
            bytes = &bytes[here..];
            let wait = self.advance();
            if bytes.is_empty() || self.closed {
                return wait;
            }
        }
    }

    fn advance(&mut self) -> Option<Wait> {
        loop {
            let step = self.exchange.advance::<()>(
                &self.limits,
                || false,
                |request, reply| {
                    let (path, _) = request.head.path_and_query();
                    let mut body = format!("{} {path} ", request.head.method).into_bytes();
                    body.extend_from_slice(request.body);
                    reply.begin(reply::OK).body(reply::TEXT, &body);
                    None
                },
            );
            if !self.exchange.output().is_empty() {
                self.written.extend_from_slice(self.exchange.output());
                self.exchange.written();
                self.writes += 1;
            }
            match step {
                Step::Again => {}
                Step::Read(wait) => return Some(wait),
                Step::Close { .. } => {
                    self.closed = true;
                    return None;
                }
                Step::Send(()) => unreachable!("the handler sends nothing"),
            }
        }
    }

    /// Status and body of all answers.
    fn answers(&self) -> Vec<(u16, String)> {
        let mut rest = &self.written[..];
        let mut answers = Vec::new();
        while !rest.is_empty() {
            let (response, head) = crate::client::parse(rest).expect("whole answers");
            let length = match response.field("content-length") {
                Some(length) => length.parse().expect("a length"),
                None => 0,
            };
            let body = String::from_utf8_lossy(&rest[head..head + length]).into_owned();
            answers.push((response.status, body));
            rest = &rest[head + length..];
        }
        answers
    }
}

/// Requests of all kinds of framing, one behind the other.
const PIPELINE: &str = "\
GET /a HTTP/1.1\r\nHost: x\r\n\r\n\
POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello\
\r\nPUT /c?q=1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n\
5;ext=\"1\"\r\nhello\r\n007\r\n, world\r\n0\r\nTrailer: x\r\n\r\n\
GET http://x/d HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n\
DELETE /e HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
GET /f HTTP/1.0\r\n\r\n";

fn expected() -> Vec<(u16, String)> {
    [
        "GET /a ",
        "POST /b hello",
        "PUT /c hello, world",
        "GET /d ",
        "DELETE /e ",
        "GET /f ",
    ]
    .map(|body| (200, body.to_owned()))
    .to_vec()
}

#[test]
fn what_comes_together_is_answered_in_one_write() {
    let mut wire = Wire::new();
    wire.receive(PIPELINE.as_bytes());
    assert_eq!(wire.answers(), expected());
    assert_eq!(wire.writes, 1);
    assert!(wire.closed, "HTTP/1.0 ends");
}

#[test]
fn a_pipeline_may_be_split_at_every_byte() {
    let bytes = PIPELINE.as_bytes();
    for split in 0..=bytes.len() {
        let mut wire = Wire::new();
        wire.receive(&bytes[..split]);
        wire.receive(&bytes[split..]);
        assert_eq!(wire.answers(), expected(), "split at {split}");
    }
    let mut singly = Wire::new();
    for byte in bytes {
        singly.receive(&[*byte]);
    }
    assert_eq!(singly.answers(), expected());
}

proptest! {
    #![proptest_config(support::proptest_config(200))]

    #[test]
    fn answers_do_not_depend_on_how_bytes_come(
        cuts in prop::collection::vec(0..PIPELINE.len(), 0..12)
    ) {
        let mut cuts = cuts;
        cuts.extend([0, PIPELINE.len()]);
        cuts.sort_unstable();
        let mut wire = Wire::new();
        for pair in cuts.windows(2) {
            wire.receive(&PIPELINE.as_bytes()[pair[0]..pair[1]]);
        }
        prop_assert_eq!(wire.answers(), expected());
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        Wire::new().receive(&bytes);
        let mut behind = Wire::new();
        behind.receive(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        behind.receive(&bytes);
    }

    #[test]
    fn dates_come_back(seconds in 0_u64..253_402_300_800) {
        let text = date::format(seconds);
        prop_assert_eq!(date::parse(std::str::from_utf8(&text).unwrap()), Some(seconds));
    }
}

#[test]
fn the_three_forms_of_a_date_are_one() {
    for text in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        assert_eq!(date::parse(text), Some(784_111_777), "{text}");
    }
    assert_eq!(&date::format(784_111_777), b"Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(&date::format(951_782_400), b"Tue, 29 Feb 2000 00:00:00 GMT");
    for text in [
        "",
        "yesterday",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 6 Foo 1994 08:49:37 GMT",
    ] {
        assert_eq!(date::parse(text), None, "{text}");
    }
}

/// What is refused, and how.
#[test]
fn mistakes_have_their_answers() {
    let long = |what: &str, n| what.repeat(n);
    let cases: [(u16, String); 35] = [
        (400, "garbage\r\n\r\n".into()),
        (400, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\n\r\n".into()), // no host
        (400, "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n".into()),
        (400, "GET x HTTP/1.1\r\nHost: x\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost : x\r\n\r\n".into()), // a blank before the colon
        (400, "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n".into()),
        (505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n".into()),
        (505, "GET / HTTP/1.2\r\nHost: x\r\n\r\n".into()),
        (400, "GET / HTTQ/1.1\r\nHost: x\r\n\r\n".into()),
        (400, "\x16\x03\x01\x02\x00\x01\x00\x01\u{7f}".into()), // TLS
        // Where the body ends must not be a matter of opinion.
        (400, with("Content-Length: 3\r\nContent-Length: 4")),
        (400, with("Content-Length: 3, 3")),
        (400, with("Content-Length: +3")),
        (400, with("Content-Length: -3")),
        (400, with("Content-Length: 0x3")),
        (400, with("Content-Length:")),
        (400, with("Content-Length: 99999999999999999999999")),
        (400, with("Content-Length: 3\r\nTransfer-Encoding: chunked")),
        (
            400,
            with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        ),
        (501, with("Transfer-Encoding: gzip, chunked")),
        (501, with("Transfer-Encoding: identity")),
        (
            400,
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(),
        ),
        (417, with("Expect: the-spanish-inquisition")),
        // Too much.
        (413, with("Content-Length: 1001")),
        (
            414,
            format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", long("a", 2000)),
        ),
        (414, long("a", 2000)),
        (431, with(&format!("A: {}", long("a", 2000)))),
        (431, with(&long("A: b\r\n", 150))),
        // Chunks.
        (400, chunks("x\r\n")),
        (400, chunks("3\nabc\r\n")),
        (400, chunks("3\r\nabcd\r\n")),
        (400, chunks("3 x\r\nabc\r\n")),
        (413, chunks("fffffffffffffffff\r\n")),
    ];
    for (status, request) in cases {
        let mut at_once = Wire::new();
        at_once.receive(request.as_bytes());
        let answers: Vec<u16> = at_once
            .answers()
            .iter()
            .map(|(status, _)| *status)
            .collect();
        assert_eq!(answers, [status], "{request:?}");
        assert!(at_once.closed, "{request:?}");

        let mut singly = Wire::new();
        for byte in request.as_bytes() {
            if !singly.closed {
                singly.receive(&[*byte]);
            }
        }
        // Of a head that comes byte by byte, what is wrong shows at its end.
        if singly.closed {
            assert_eq!(singly.answers().len(), 1, "{request:?}");
            assert_eq!(singly.answers()[0].0, status, "singly: {request:?}");
        }
    }
}

fn with(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n")
}

fn chunks(body: &str) -> String {
    with("Transfer-Encoding: chunked") + body
}

#[test]
fn limits_are_exact() {
    // A body as long as may be, and one byte more, both ways of framing.
    for (length, status) in [(1000, 200), (1001, 413)] {
        let body = "x".repeat(length);
        let mut fixed = Wire::new();
        fixed.receive(with(&format!("Content-Length: {length}")).as_bytes());
        if !fixed.closed {
            fixed.receive(body.as_bytes());
        }
        assert_eq!(fixed.answers()[0].0, status, "{length}");

        let mut chunked = Wire::new();
        let (a, b) = body.split_at(400);
        chunked.receive(
            chunks(&format!("190\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", b.len())).as_bytes(),
        );
        assert_eq!(chunked.answers()[0].0, status, "{length}, in chunks");
    }
    // A head as long as may be, and one byte more.
    for (length, status) in [(1024, 200), (1025, 431)] {
        let start = "GET / HTTP/1.1\r\nHost: x\r\nA: ";
        let head = format!("{start}{}\r\n\r\n", "a".repeat(length - start.len() - 4));
        let mut wire = Wire::new();
        wire.receive(head.as_bytes());
        assert_eq!(wire.answers()[0].0, status, "{length}");
    }
    // Chunks of no size and trailers without end are not for ever.
    let mut trailers = Wire::new();
    trailers.receive(chunks("0\r\n").as_bytes());
    for _ in 0..200 {
        if !trailers.closed {
            trailers.receive(b"Trailer: x\r\n");
        }
    }
    assert_eq!(trailers.answers()[0].0, 413);
}

#[test]
fn who_expects_a_word_gets_it_once() {
    let mut wire = Wire::new();
    let head = with("Content-Length: 5\r\nExpect: 100-continue");
    assert_eq!(wire.receive(head.as_bytes()), Some(Wait::Body));
    assert_eq!(wire.written, b"HTTP/1.1 100 Continue\r\n\r\n");
    wire.receive(b"he");
    wire.receive(b"llo");
    assert_eq!(wire.answers().len(), 2);
    assert_eq!(wire.answers()[1], (200, "POST / hello".into()));

    // Not who sends the body with the head, nor who is refused.
    let mut wire = Wire::new();
    wire.receive((head + "hello").as_bytes());
    assert_eq!(wire.answers(), [(200, "POST / hello".into())]);
    let mut wire = Wire::new();
    wire.receive(with("Content-Length: 5000\r\nExpect: 100-continue").as_bytes());
    assert_eq!(wire.answers()[0].0, 413);
    assert_eq!(wire.answers().len(), 1);
}

#[test]
fn the_server_knows_what_it_waits_for() {
    let mut wire = Wire::new();
    assert_eq!(wire.receive(b""), Some(Wait::Idle));
    assert_eq!(wire.receive(b"POST / HTTP/1.1\r\n"), Some(Wait::Head));
    assert_eq!(
        wire.receive(b"Host: x\r\nContent-Length: 2\r\n\r\n"),
        Some(Wait::Body)
    );
    assert_eq!(wire.receive(b"a"), Some(Wait::Body));
    assert_eq!(wire.receive(b"b"), Some(Wait::Idle));
    assert_eq!(wire.receive(b"G"), Some(Wait::Head));
}

#[test]
fn many_answers_are_written_in_between() {
    let mut wire = Wire::new();
    let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    wire.receive(request.repeat(500).as_bytes());
    assert_eq!(wire.answers().len(), 500);
    assert!(wire.writes > 5, "bounded memory: {} writes", wire.writes);
}
