//! HTTP/1.1 for servers with one greenlet a connection.
//!
//! | file | one idea |
//! |---|---|
//! | [`limits`] | how much and how long |
//! | [`request`] | a head, taken apart by `httparse` and checked; how its body is framed |
//! | [`chunked`] | bodies in chunks |
//! | [`reply`] | an answer, written into memory |
//! | [`date`] | dates of headers |
//! | [`exchange`] | bytes in, answers out: the protocol without any I/O |
//! | [`connection`] | the exchange over a `TcpStream`: timeouts, one write for many answers, files as payloads |
//! | [`roster`] | the connections there are; ends them in good order |
//! | [`server`] | accepts, and spawns a greenlet for each |
//!
//! ```text
//!             read                        advance                         write
//!   socket ─────────► Exchange: input ───────────► handler ──► output ──────────────► socket
//!                        ▲                (each complete request)  │
//!                        └──────── none complete: wait ◄───────────┘ written first, all of it
//! ```
//!
//! What a client may do wrong has one answer each; after it, the connection ends:
//!
//! | what | answer |
//! |---|---|
//! | no HTTP, two framings of the body, no or two `Host`, a target that is none | 400 |
//! | a head or a body takes too long to come | 408 |
//! | a body above the limit | 413 |
//! | the request line alone is above the limit of a head | 414 |
//! | an expectation other than `100-continue` | 417 |
//! | a head above the limit, too many fields | 431 |
//! | a transfer coding other than `chunked` | 501 |
//! | another version of HTTP | 505 |
//! | no request for long | none |
//!
//! Each program that includes this uses a part of it.
#![allow(dead_code)]

pub(crate) mod chunked;
pub(crate) mod connection;
pub(crate) mod date;
pub(crate) mod exchange;
pub(crate) mod limits;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod roster;
pub(crate) mod server;
