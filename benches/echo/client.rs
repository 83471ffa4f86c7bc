//! The client: one thread, epoll, one request in flight a connection.
//!
//! Closed loop: a connection sends its next request when the answer has come. Two system calls a
//! request and one `epoll_wait` for as many as are ready, which is as cheap as a client of sockets can
//! be, so that the server is the busier of the two.
//!
//! It never sleeps: it polls until there is an answer. Waking a sleeper on another core is dear,
//! and a `send` of the *server* does it; so a client that slept whenever it has caught up would make a
//! server that is a little slower pay for much more than the difference.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

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

/// A limit that lets `epoll_wait` return at once.
const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// One connection, and the bytes of the present answer that are still to come.
struct Connection {
    stream: TcpStream,
    missing: usize,
}

/// Measures `server` with so many connections, for `window` after a fifth of it to warm up.
///
/// # Errors
/// The server closed a connection, or the kernel refused one.
pub(crate) fn run(server: &Child, connections: usize, window: Duration) -> io::Result<Sample> {
    let mut load = Load::connect(server, connections)?;
    load.pump(window / 5)?;
    let (start, cpu) = (Instant::now(), clock::cpu_of(server.pid())?);
    let requests = load.pump(window)?;
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
}

impl Load {
    /// Connects, and sends the first request of each connection.
    fn connect(server: &Child, count: usize) -> io::Result<Load> {
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
            connections.push(Connection { stream, missing: 0 });
        }
        for connection in &mut connections {
            connection.request()?;
        }
        Ok(Load {
            epoll,
            events: Vec::with_capacity(count),
            connections,
        })
    }

    /// Answers answers with requests for so long; returns how many answers came.
    fn pump(&mut self, duration: Duration) -> io::Result<u64> {
        let start = Instant::now();
        let mut answered = 0;
        while start.elapsed() < duration {
            self.events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&NOW)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &self.events {
                let connection = &mut self.connections[event.data.u64() as usize];
                answered += u64::from(connection.progress()?);
            }
        }
        Ok(answered)
    }
}

impl Connection {
    fn request(&mut self) -> io::Result<()> {
        // The answer before has been read to its end, so the socket has room for a request.
        send(&self.stream, &[b'x'; REQUEST], SendFlags::NOSIGNAL)?;
        self.missing = REQUEST;
        Ok(())
    }

    /// Reads; true if that was the rest of an answer, in which case the next request is on its way.
    fn progress(&mut self) -> io::Result<bool> {
        let mut buffer = [0; REQUEST];
        let room = &mut buffer[..self.missing];
        let (_, received) = recv(&self.stream, room, RecvFlags::empty())?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.missing -= received;
        let done = self.missing == 0;
        if done {
            self.request()?;
        }
        Ok(done)
    }
}
