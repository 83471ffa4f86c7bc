//! How much a client may send, and how long it may take.

use std::time::Duration;

/// More fields than this are refused. They lie on the stack while a request is answered, 32 bytes each, and cost
/// memory only as they are used.
pub(crate) const MOST_FIELDS: usize = 100;

/// The limits of a server, the same for all its connections.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Bytes of a head, and of the trailers of a chunked body.
    pub(crate) head: usize,
    /// Bytes of a body. It is kept in memory until it is complete.
    pub(crate) body: usize,
    /// Answers to pipelined requests are written when they are so many bytes, though more could be answered.
    pub(crate) output: usize,
    /// How long a connection may be without a request.
    pub(crate) idle: Duration,
    /// How long a head may take, from its first byte to its last.
    pub(crate) head_time: Duration,
    /// The same for a body, from the end of its head.
    pub(crate) body_time: Duration,
    /// How long the client may take nothing of an answer.
    pub(crate) write_time: Duration,
    /// How long a client that was refused may go on sending what nobody reads.
    pub(crate) linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: 16 * 1024,
            body: 1024 * 1024,
            output: 64 * 1024,
            idle: Duration::from_secs(75),
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            linger: Duration::from_secs(2),
        }
    }
}
