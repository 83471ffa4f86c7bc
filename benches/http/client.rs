//! The load: one thread, epoll, keep-alive, a fixed number of requests in flight on each connection.
//!
//! Closed loop: the answers that a read brought are counted and as many requests sent, in one write. The length of an answer is
//! learned from the first one and the same for all, so that nothing is parsed: the client is to be cheaper than any server.
//!
//! It sleeps when there is nothing to read, because a server of two threads needs its core.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::Shape;
use crate::child::Child;
use crate::support::clock;

const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n";
/// So long without an answer is a server that has stopped.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// Requests of a window, and the server's CPU time in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    requests: u64,
    cpu: Duration,
    wall: Duration,
}

impl Sample {
    pub(crate) fn cpu_nanos_a_request(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.requests as f64
    }

    pub(crate) fn requests_a_second(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }

    /// CPU time of the server by wall time: 1 for a core that never waits.
    pub(crate) fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }
}

/// From request to answer, of all windows.
#[derive(Debug)]
pub(crate) struct Latency {
    nanos: Histogram<u64>,
}

impl Latency {
    pub(crate) fn new() -> Latency {
        Latency {
            nanos: Histogram::new(3).expect("three digits are allowed"),
        }
    }

    /// The quantile, in microseconds.
    pub(crate) fn micros(&self, quantile: f64) -> f64 {
        self.nanos.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// Measures `server` for `window`, after a fifth of it to warm up.
///
/// # Errors
/// The server closed a connection, or did not answer; the kernel refused one.
pub(crate) fn run(
    server: &Child,
    shape: Shape,
    window: Duration,
    latency: &mut Latency,
) -> io::Result<Sample> {
    let mut load = Load::connect(server, shape)?;
    load.pump(window / 5, None)?;
    let (start, cpu) = (Instant::now(), clock::cpu_of(server.pid())?);
    let requests = load.pump(window, Some(latency))?;
    let cpu = clock::cpu_of(server.pid())? - cpu;
    Ok(Sample {
        requests,
        cpu,
        wall: start.elapsed(),
    })
}

/// One connection.
struct Connection {
    stream: TcpStream,
    /// When the requests in flight were sent, and how many at a time.
    sent: VecDeque<(Instant, usize)>,
    /// Bytes of answers that have come, behind the last complete one.
    partial: usize,
}

struct Load {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    /// Bytes of an answer.
    answer: usize,
}

impl Load {
    /// Connects, and sends the first requests of each connection.
    fn connect(server: &Child, shape: Shape) -> io::Result<Load> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let answer = length_of_answer(server)?;
        let mut connections = Vec::with_capacity(shape.connections);
        for index in 0..shape.connections {
            let stream = TcpStream::connect(server.addr)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let token = EventData::new_u64(index as u64);
            epoll::add(&epoll, &stream, token, EventFlags::IN)?;
            connections.push(Connection {
                stream,
                sent: VecDeque::new(),
                partial: 0,
            });
        }
        let requests = REQUEST.repeat(shape.pipeline);
        for connection in &mut connections {
            connection.request(&requests[..])?;
        }
        Ok(Load {
            epoll,
            events: Vec::with_capacity(shape.connections),
            connections,
            buffer: vec![0; 64 * 1024],
            answer,
        })
    }

    /// Answers answers with requests for so long; returns how many answers came.
    fn pump(&mut self, duration: Duration, mut latency: Option<&mut Latency>) -> io::Result<u64> {
        let start = Instant::now();
        let mut answered = 0;
        let requests = REQUEST.repeat(64);
        loop {
            self.events.clear();
            match epoll::wait(
                &self.epoll,
                spare_capacity(&mut self.events),
                Some(&PATIENCE),
            ) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &self.events {
                let connection = &mut self.connections[event.data.u64() as usize];
                let room = &mut self.buffer[..];
                let (_, received) = recv(&connection.stream, room, RecvFlags::empty())?;
                if received == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                connection.partial += received;
                let answers = connection.partial / self.answer;
                connection.partial %= self.answer;
                let now = Instant::now();
                connection.took(answers, now, latency.as_deref_mut());
                answered += answers as u64;
                for some in chunks(answers, 64) {
                    connection.request(&requests[..some * REQUEST.len()])?;
                }
            }
            if start.elapsed() >= duration {
                return Ok(answered);
            }
        }
    }
}

impl Connection {
    /// What is in flight is read soon, so the socket has room for it.
    fn request(&mut self, requests: &[u8]) -> io::Result<()> {
        send(&self.stream, requests, SendFlags::NOSIGNAL)?;
        let number = requests.len() / REQUEST.len();
        self.sent.push_back((Instant::now(), number));
        Ok(())
    }

    /// Notes how long the oldest so many requests took.
    fn took(&mut self, mut answers: usize, now: Instant, mut latency: Option<&mut Latency>) {
        while answers > 0 {
            let (at, left) = self.sent.front_mut().expect("answers are to requests");
            let here = answers.min(*left);
            if let Some(latency) = &mut latency {
                let nanos = now.duration_since(*at).as_nanos() as u64;
                // It grows as needed: nothing is too long for it.
                let recorded = latency.nanos.record_n(nanos, here as u64);
                recorded.expect("room for it");
            }
            *left -= here;
            answers -= here;
            if *left == 0 {
                self.sent.pop_front();
            }
        }
    }
}

/// `number` in parts of at most `most`.
fn chunks(mut number: usize, most: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let some = number.min(most);
        number -= some;
        (some > 0).then_some(some)
    })
}

/// Asks once, and reads what comes; an answer has one length for all, dates included.
fn length_of_answer(server: &Child) -> io::Result<usize> {
    use std::io::{Read, Write};

    let mut stream = TcpStream::connect(server.addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(REQUEST)?;
    let mut buffer = vec![0; 4096];
    let mut length = 0;
    while !buffer[..length].ends_with(b"Hello, World!\n") {
        match stream.read(&mut buffer[length..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => length += read,
        }
    }
    Ok(length)
}
