//! The client: one thread, epoll, one request in flight a socket. It never sleeps, as in the `echo` bench, and for
//! its reasons.

use std::io;
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::process::Child;
use crate::support::clock;
use crate::{Protocol, REQUEST};

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

/// Measures `server` with so many clients, for `window` after a fifth of it to warm up.
///
/// # Errors
/// The server closed a connection, or the kernel refused one.
pub(crate) fn run(server: &Child, clients: usize, window: Duration) -> io::Result<Sample> {
    let sockets = (0..clients)
        .map(|_| connect(server))
        .collect::<io::Result<Vec<_>>>()?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    for (index, socket) in sockets.iter().enumerate() {
        let data = EventData::new_u64(index as u64);
        epoll::add(&epoll, socket, data, EventFlags::IN)?;
        request(socket)?;
    }
    pump(&epoll, &sockets, window / 5)?;
    let (start, cpu) = (Instant::now(), clock::cpu_of(server.pid())?);
    let requests = pump(&epoll, &sockets, window)?;
    let cpu = clock::cpu_of(server.pid())? - cpu;
    Ok(Sample {
        requests,
        cpu,
        wall: start.elapsed(),
    })
}

fn connect(server: &Child) -> io::Result<OwnedFd> {
    Ok(match server.protocol {
        Protocol::Udp => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(&server.place)?;
            socket.set_nonblocking(true)?;
            socket.into()
        }
        Protocol::Unix => {
            let stream = UnixStream::connect(&server.place)?;
            stream.set_nonblocking(true)?;
            stream.into()
        }
    })
}

fn request(socket: &OwnedFd) -> io::Result<()> {
    send(socket, &[b'x'; REQUEST], SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Answers answers with requests for so long; returns how many answers came. Both protocols keep so small a request in
/// one piece.
fn pump(epoll: &OwnedFd, sockets: &[OwnedFd], duration: Duration) -> io::Result<u64> {
    let mut events = Vec::with_capacity(sockets.len());
    let (start, mut answered) = (Instant::now(), 0);
    while start.elapsed() < duration {
        events.clear();
        match epoll::wait(epoll, spare_capacity(&mut events), Some(&NOW)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let socket = &sockets[event.data.u64() as usize];
            let mut buffer = [0; 2 * REQUEST];
            let (_, received) = recv(socket, &mut buffer[..], RecvFlags::empty())?;
            if received != REQUEST {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            request(socket)?;
            answered += 1;
        }
    }
    Ok(answered)
}
