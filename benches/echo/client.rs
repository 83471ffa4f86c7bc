//! The client: one thread, epoll, one request in flight a connection.
//!
//! Closed loop: a connection sends its next request when the answer has come. Two system calls a
//! request and one `epoll_wait` for as many as are ready, which is as cheap as a client of sockets can
//! be, so that the server is the busier of the two.
//!
//! Against a server with one thread it never sleeps: it polls until there is an answer. Waking a sleeper on another core is dear,
//! and a `send` of the *server* does it; so a client that slept whenever it has caught up would make a
//! server that is a little slower pay for much more than the difference. Against one with two threads it has to, since its core is the second
//! thread's too.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::REQUEST;
use crate::child::Child;
use crate::support::clock;

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

/// How a load looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Whether the client sleeps when it has nothing to read.
    pub(crate) sleeps: bool,
}

/// A limit that lets `epoll_wait` return at once.
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
/// One for a server that has stopped: the window ends without it.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// One connection, and the bytes of the present answer that are still to come.
struct Connection {
    stream: TcpStream,
    missing: usize,
    sent: Instant,
}

/// Measures `server` under a load of that shape, for `window` after a fifth of it to warm up.
///
/// # Errors
/// The server closed a connection, or the kernel refused one.
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

struct Load {
    epoll: std::os::fd::OwnedFd,
    events: Vec<epoll::Event>,
    connections: Vec<Connection>,
    wait: Timespec,
}

impl Load {
    /// Connects, and sends the first request of each connection.
    fn connect(server: &Child, shape: Shape) -> io::Result<Load> {
        let count = shape.connections;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let stream = TcpStream::connect(server.addr)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(
                &epoll,
                &stream,
                EventData::new_u64(index as u64),
                EventFlags::IN,
            )?;
            connections.push(Connection {
                stream,
                missing: 0,
                sent: Instant::now(),
            });
        }
        for connection in &mut connections {
            connection.request(Instant::now())?;
        }
        Ok(Load {
            wait: if shape.sleeps { PATIENCE } else { NOW },
            epoll,
            events: Vec::with_capacity(count),
            connections,
        })
    }

    /// Answers answers with requests for so long; returns how many answers came.
    fn pump(&mut self, duration: Duration, mut latency: Option<&mut Latency>) -> io::Result<u64> {
        let start = Instant::now();
        let mut answered = 0;
        while start.elapsed() < duration {
            self.events.clear();
            match epoll::wait(
                &self.epoll,
                spare_capacity(&mut self.events),
                Some(&self.wait),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            // One clock for all that came together: reading it for each would cost as much as a system call on some machines.
            let now = Instant::now();
            for event in &self.events {
                let connection = &mut self.connections[event.data.u64() as usize];
                if let Some(after) = connection.progress(now)? {
                    answered += 1;
                    if let Some(latency) = &mut latency {
                        let nanos = after.as_nanos() as u64;
                        latency.nanos.record(nanos).expect("it grows as needed");
                    }
                }
            }
        }
        Ok(answered)
    }
}

impl Connection {
    fn request(&mut self, now: Instant) -> io::Result<()> {
        // The answer before has been read to its end, so the socket has room for a request.
        send(&self.stream, &[b'x'; REQUEST], SendFlags::NOSIGNAL)?;
        self.missing = REQUEST;
        self.sent = now;
        Ok(())
    }

    /// Reads; if that was the rest of an answer, the next request is on its way. How long the answer took.
    fn progress(&mut self, now: Instant) -> io::Result<Option<Duration>> {
        let mut buffer = [0; REQUEST];
        let room = &mut buffer[..self.missing];
        let (_, received) = recv(&self.stream, room, RecvFlags::empty())?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.missing -= received;
        if self.missing > 0 {
            return Ok(None);
        }
        let took = now.saturating_duration_since(self.sent);
        self.request(now)?;
        Ok(Some(took))
    }
}
