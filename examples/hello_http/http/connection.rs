//! [`serve`]: an [`Exchange`] over a `TcpStream`, in blocking style, with every wait bounded.
//!
//! A wait for a request ends the connection without a word; one for the rest of a request is answered with 408. The
//! time for a head or a body counts from its start and is not renewed by each byte, so that a client that sends them
//! singly is not served for longer than one that sends none.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustlet::net::TcpStream;

use super::exchange::{Exchange, Step, Wait};
use super::limits::Limits;
use super::reply::{self, Reply};
use super::request::Request;
use super::roster::Member;

/// What is read and thrown away of a client that was refused.
const MOST_UNREAD: usize = 4 * 1024 * 1024;
/// Read timeouts below this do not exist: zero means none.
const SHORTEST: Duration = Duration::from_millis(1);

/// What a program makes of a connection's requests.
pub(crate) trait Service {
    /// What an answer may have behind its head, that is not in memory: the part of a file.
    type Payload;

    /// Answers a request. Any number of them may be answered before the first byte is written.
    fn answer(&mut self, request: &Request<'_>, reply: Reply<'_>) -> Option<Self::Payload>;

    /// Writes `before`, and a payload behind it.
    ///
    /// # Errors
    /// The connection ends: the client knows by the length that something is missing.
    fn send(&mut self, stream: &TcpStream, before: &[u8], payload: Self::Payload)
    -> io::Result<()>;
}

/// Serves a connection to its end.
///
/// # Errors
/// What reading or writing says. Clients vanish: nobody needs to hear of it.
pub(crate) fn serve(
    member: &Member,
    limits: &Limits,
    service: &mut impl Service,
) -> io::Result<()> {
    let mut stream = member.stream();
    // Answers are written whole; waiting for more to send would delay each that is longer than a packet.
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(limits.write_time))?;
    let mut exchange = Exchange::new();
    let mut clock = Clock::default();
    loop {
        let step = exchange.advance(
            limits,
            || member.is_last_answer(),
            |request, reply| service.answer(request, reply),
        );
        if let Step::Send(payload) = step {
            service.send(stream, exchange.output(), payload)?;
            exchange.written();
            continue;
        }
        if !exchange.output().is_empty() {
            stream.write_all(exchange.output())?;
            exchange.written();
        }
        let wait = match step {
            Step::Read(wait) => wait,
            Step::Again | Step::Send(_) => continue,
            Step::Close { unread: false } => return Ok(()),
            Step::Close { unread: true } => return linger(stream, limits),
        };
        let received = match clock.limit(wait, exchange.answered(), limits) {
            Some(limit) => {
                clock.set(stream, limit)?;
                let _idle = (wait == Wait::Idle).then(|| member.idle());
                match member.is_last_answer() && wait == Wait::Idle {
                    true => Ok(0),
                    false => stream.read(exchange.room()),
                }
            }
            None => Err(io::ErrorKind::WouldBlock.into()),
        };
        match received {
            Ok(0) => return Ok(()),
            Ok(bytes) => exchange.received(bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => match wait {
                Wait::Idle => return Ok(()),
                Wait::Head | Wait::Body => exchange.refuse(reply::REQUEST_TIMEOUT),
            },
            Err(error) => return Err(error),
        }
    }
}

/// Waits for the client to end, after it was told that this end has: a socket that is closed with data unread resets the
/// connection, and what was written last may never be seen.
fn linger(mut stream: &TcpStream, limits: &Limits) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let end = Instant::now() + limits.linger;
    let mut buffer = [0; 1024];
    let mut unread = 0;
    while unread < MOST_UNREAD {
        let left = end.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(SHORTEST)))?;
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) if !left.is_zero() => unread += bytes,
            _ => break,
        }
    }
    Ok(())
}

/// When the present wait has to be over.
#[derive(Debug, Default)]
struct Clock {
    /// Of what is being waited for, of which request, and until when.
    running: Option<(Wait, u64, Instant)>,
    /// The stream's read timeout.
    set: Option<Duration>,
}

impl Clock {
    /// How long the next read may wait; `None` when the time is over.
    fn limit(&mut self, wait: Wait, request: u64, limits: &Limits) -> Option<Duration> {
        let whole = match wait {
            // Each is a wait of its own, and needs no clock: the common case.
            Wait::Idle => return Some(limits.idle),
            Wait::Head => limits.head_time,
            Wait::Body => limits.body_time,
        };
        let now = Instant::now();
        let end = match self.running {
            Some((this, of, end)) if (this, of) == (wait, request) => end,
            _ => now + whole,
        };
        self.running = Some((wait, request, end));
        let left = end.saturating_duration_since(now);
        (!left.is_zero()).then(|| left.max(SHORTEST))
    }

    fn set(&mut self, stream: &TcpStream, limit: Duration) -> io::Result<()> {
        if self.set != Some(limit) {
            stream.set_read_timeout(Some(limit))?;
            self.set = Some(limit);
        }
        Ok(())
    }
}
