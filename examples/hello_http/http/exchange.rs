//! [`Exchange`]: bytes in, answers out; the protocol without any I/O.
//!
//! Whoever owns the socket does three things in turn: [`Exchange::advance`], which answers everything that has come;
//! write [`Exchange::output`], all of it; and do what the [`Step`] says. So the answers to requests that came together
//! leave together, and the same code runs over greenlets, `async` and a test's arrays.
//!
//! ```text
//!   input:   [ used | head | body …  | the next requests … | room ]
//!                  start                                  end
//! ```
//! A body of known length stays where it came. Chunks are decoded into a vector of their own and cut out, so that what
//! follows them is behind the head again. A head is parsed when bytes have come; one that comes in pieces is parsed again only when
//! the end of a head has been seen, so that a client that sends byte after byte costs no more than it should.

use super::chunked::{Chunked, Fault};
use super::limits::Limits;
use super::reply::{self, Afterwards, Reply};
use super::request::{Framing, Head, Refusal, Request, no_fields};

/// What an empty buffer has, and goes back to.
const ROOM: usize = 2048;
/// A buffer that is larger than this is given back when it is empty.
const LARGE: usize = 32 * 1024;

/// What has to come for the connection to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A request, or the end: nothing has come of one.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
}

/// What to do when the output has been written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<P> {
    /// To read, and advance.
    Read(Wait),
    /// To send what the handler returned, and advance.
    Send(P),
    /// To advance: there is more to answer.
    Again,
    /// To close. `unread`: the client may be sending still, and not see the answer if the socket is closed at once.
    Close { unread: bool },
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// So many bytes have been looked through for the end of a head.
    Head {
        seen: usize,
    },
    /// A head of so many bytes; the body is `length` more.
    Length {
        head: usize,
        length: usize,
    },
    Chunks {
        head: usize,
        decoder: Chunked,
    },
}

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Exchange {
    input: Vec<u8>,
    start: usize,
    end: usize,
    phase: Phase,
    /// A decoded body.
    chunks: Vec<u8>,
    output: Vec<u8>,
    /// `Some` once the last answer has been given.
    ended: Option<Ended>,
    answered: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    unread: bool,
}

impl Exchange {
    pub(crate) fn new() -> Exchange {
        Exchange {
            input: vec![0; ROOM],
            start: 0,
            end: 0,
            phase: Phase::Head { seen: 0 },
            chunks: Vec::new(),
            output: Vec::new(),
            ended: None,
            answered: 0,
        }
    }

    /// How many requests have been answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Where to read to; never empty.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.input.len() > LARGE {
                self.input = vec![0; ROOM];
            }
        } else if self.end == self.input.len() {
            if self.start > 0 {
                self.input.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            // `advance` leaves no more here than a head and a body may be long.
            if self.end * 2 > self.input.len() {
                self.input.resize(self.input.len() * 2, 0);
            }
        }
        &mut self.input[self.end..]
    }

    /// Says that so many bytes have been read to [`Exchange::room`].
    pub(crate) fn received(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// What is to be written.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    /// Says that it has been.
    pub(crate) fn written(&mut self) {
        self.output.clear();
        if self.output.capacity() > LARGE {
            self.output = Vec::new();
        }
    }

    /// Answers the requests that are complete, with what `handler` writes, until it returns something to send that
    /// is not in memory.
    ///
    /// While `last` says so, an answer is the connection's last.
    pub(crate) fn advance<P>(
        &mut self,
        limits: &Limits,
        last: impl Fn() -> bool,
        mut handler: impl FnMut(&Request<'_>, Reply<'_>) -> Option<P>,
    ) -> Step<P> {
        loop {
            if let Some(Ended { unread }) = self.ended {
                return Step::Close { unread };
            }
            if self.output.len() >= limits.output {
                return Step::Again;
            }
            if let Some(wait) = match self.gather(limits) {
                Ok(wait) => wait,
                Err(refusal) => {
                    self.refuse(refusal);
                    continue;
                }
            } {
                return Step::Read(wait);
            }

            let input = &self.input[self.start..self.end];
            let mut fields = no_fields();
            let head = match Head::parse(input, &mut fields, limits) {
                Ok(Some(head)) => head,
                Ok(None) => {
                    self.phase = Phase::Head { seen: input.len() };
                    return Step::Read(Wait::Head);
                }
                Err(refusal) => {
                    self.refuse(refusal);
                    continue;
                }
            };
            let (body, used) = match (self.phase, head.framing) {
                (Phase::Chunks { .. }, _) => (&*self.chunks, head.length),
                (_, Framing::Length(length)) if head.length + length <= input.len() => {
                    let used = head.length + length;
                    (&input[head.length..used], used)
                }
                (_, framing) => {
                    // A client that has begun with the body does not wait for the word.
                    if head.expects_continue && head.length == input.len() {
                        self.output
                            .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                    }
                    self.phase = match framing {
                        Framing::Length(length) => Phase::Length {
                            head: head.length,
                            length,
                        },
                        Framing::Chunked => Phase::Chunks {
                            head: head.length,
                            decoder: Chunked::new(),
                        },
                    };
                    continue;
                }
            };

            let keep_alive = head.keep_alive && !last();
            let reply = Reply {
                output: &mut self.output,
                afterwards: match keep_alive {
                    false => Afterwards::Closed,
                    true if head.is_1_1 => Afterwards::Open,
                    true => Afterwards::OpenIsSaid,
                },
                head_only: head.method == "HEAD",
            };
            let payload = handler(&Request { head, body }, reply);

            self.start += used;
            self.phase = Phase::Head { seen: 0 };
            self.chunks = Vec::new();
            self.answered += 1;
            if !keep_alive {
                // Requests behind the last are not answered.
                let unread = self.start < self.end;
                self.ended = Some(Ended { unread });
            }
            if let Some(payload) = payload {
                return Step::Send(payload);
            }
        }
    }

    /// Looks whether it is time to parse; what has to come first, if it is not.
    fn gather(&mut self, limits: &Limits) -> Result<Option<Wait>, Refusal> {
        let input = &self.input[self.start..self.end];
        match self.phase {
            Phase::Head { .. } if input.is_empty() => Ok(Some(Wait::Idle)),
            Phase::Head { seen: 0 } => Ok(None),
            Phase::Head { seen } => {
                // A head that is too long is parsed, too: that finds out what is too long in it.
                if has_end_of_head(&input[seen.saturating_sub(2)..]) || input.len() >= limits.head {
                    return Ok(None);
                }
                self.phase = Phase::Head { seen: input.len() };
                Ok(Some(Wait::Head))
            }
            Phase::Length { head, length } => {
                Ok((input.len() < head + length).then_some(Wait::Body))
            }
            Phase::Chunks { head, mut decoder } => {
                let chunks = &input[head..];
                let used = decoder.decode(chunks, &mut self.chunks, limits.body, limits.head);
                let used = used.map_err(|fault| match fault {
                    Fault::Malformed => reply::BAD_REQUEST,
                    Fault::TooLong => reply::CONTENT_TOO_LARGE,
                })?;
                let behind_head = self.start + head;
                self.input
                    .copy_within(behind_head + used..self.end, behind_head);
                self.end -= used;
                self.phase = Phase::Chunks { head, decoder };
                Ok((!decoder.is_done()).then_some(Wait::Body))
            }
        }
    }

    /// Gives a last answer, which says what was wrong.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        let reply = Reply {
            output: &mut self.output,
            afterwards: Afterwards::Closed,
            head_only: false,
        };
        let text = format!("{} {}\n", refusal.0, refusal.1);
        reply.begin(refusal).body(reply::TEXT, text.as_bytes());
        self.ended = Some(Ended { unread: true });
    }
}

/// Whether there is an empty line behind another.
fn has_end_of_head(input: &[u8]) -> bool {
    let mut lines = input.split(|&byte| byte == b'\n');
    lines.next(); // may be the end of a line that is not empty
    lines.next_back(); // has no end
    lines.any(|line| line.is_empty() || line == b"\r")
}
