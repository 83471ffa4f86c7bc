//! The load: one thread, epoll, keep-alive; in a closed loop or at a rate, see [the module](super).
//!
//! Two system calls for what came together on a connection, and one `epoll_wait` for as many connections as are ready, which is as cheap as a
//! client of sockets can be, so that the server is the busier of the two. The length of an answer is learned from the first
//! one, so that nothing is parsed.
//!
//! In a closed loop against a server with one thread it never sleeps: it polls until there is an answer. Waking a sleeper on another core is
//! dear, and a `send` of the *server* does it; so a client that slept whenever it has caught up would make a server that is a little slower
//! pay for much more than the difference. Against one with two threads it has to sleep, since its core is the second thread's too.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::child::Child;
use super::sample::{Latency, Sample};
use super::{Pace, Protocol, Shape};
use crate::support::clock;

/// So long without an answer is a server that has stopped.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many requests are written at once, at most.
const AT_ONCE: usize = 64;

/// Measures `server` for `window`, after a fifth of it to warm up.
///
/// # Errors
/// The server closed a connection, or did not answer; the kernel refused one.
pub(crate) fn run(
    server: &Child,
    protocol: Protocol,
    shape: Shape,
    window: Duration,
) -> io::Result<Sample> {
    // Timers of the kernel's that are not rounded to 50 µs.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut load = Load::connect(server, protocol, shape.connections)?;
    let may_sleep = server.threads > 1;
    let mut pump = |duration| match shape.pace {
        Pace::Closed { in_flight } => load.closed_loop(in_flight, may_sleep, duration),
        Pace::Rate(rate) => load.at_rate(rate, duration),
    };
    pump(window / 5)?;
    let (start, cpu) = (Instant::now(), clock::cpu_of(server.pid())?);
    let latency = pump(window)?;
    let cpu = clock::cpu_of(server.pid())? - cpu;
    Ok(Sample {
        cpu,
        wall: start.elapsed(),
        latency,
    })
}

/// One connection.
struct Connection {
    stream: TcpStream,
    /// When the requests in flight were sent, or were to be sent, and how many at a time.
    sent: VecDeque<(Instant, usize)>,
    /// Bytes of answers that have come, behind the last complete one.
    partial: usize,
}

struct Load {
    protocol: Protocol,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    /// Bytes of an answer.
    answer: usize,
}

impl Load {
    fn connect(server: &Child, protocol: Protocol, count: usize) -> io::Result<Load> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let answer = length_of_answer(server, protocol)?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
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
        Ok(Load {
            protocol,
            epoll,
            events: Vec::with_capacity(count),
            connections,
            buffer: vec![0; 64 * 1024],
            answer,
        })
    }

    /// Answers answers with requests for so long. What is still in flight then stays so for the next call.
    fn closed_loop(
        &mut self,
        in_flight: usize,
        may_sleep: bool,
        duration: Duration,
    ) -> io::Result<Latency> {
        let requests = self.protocol.request.repeat(in_flight.min(AT_ONCE));
        let mut latency = Latency::new();
        for connection in &mut self.connections {
            while connection.in_flight() < in_flight {
                let missing = (in_flight - connection.in_flight()).min(AT_ONCE);
                let some = &requests[..missing * self.protocol.request.len()];
                connection.request(some, missing, Instant::now())?;
            }
        }
        let start = Instant::now();
        let mut answered_at = start;
        while answered_at - start < duration {
            let now = self.wait(if may_sleep { PATIENCE } else { Duration::ZERO })?;
            if self.events.is_empty() && now - answered_at > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            for event in &self.events {
                answered_at = now;
                let connection = &mut self.connections[event.data.u64() as usize];
                let mut answers = connection.receive(&mut self.buffer, self.answer)?;
                connection.note(answers, now, &mut latency);
                while answers > 0 {
                    let some = answers.min(AT_ONCE);
                    let requests = &requests[..some * self.protocol.request.len()];
                    connection.request(requests, some, now)?;
                    answers -= some;
                }
            }
        }
        Ok(latency)
    }

    /// Sends `rate` requests a second for so long, each on the connection that has been idle for longest, and waits for all answers.
    fn at_rate(&mut self, rate: u32, duration: Duration) -> io::Result<Latency> {
        let mut latency = Latency::new();
        let mut idle = VecDeque::from_iter(0..self.connections.len());
        let all = (duration.as_secs_f64() * f64::from(rate)) as u64;
        let start = Instant::now();
        let due = |nth: u64| start + Duration::from_secs_f64(nth as f64 / f64::from(rate));
        let (mut sent, mut answered) = (0, 0);
        let mut now = start;
        while answered < all {
            while sent < all && due(sent) <= now {
                let Some(index) = idle.pop_front() else { break };
                self.connections[index].request(self.protocol.request, 1, due(sent))?;
                sent += 1;
            }
            let limit = match sent < all && !idle.is_empty() {
                true => due(sent).saturating_duration_since(Instant::now()),
                false => PATIENCE,
            };
            now = self.wait_precisely(limit)?;
            if self.events.is_empty() && limit == PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            for event in &self.events {
                let index = event.data.u64() as usize;
                let connection = &mut self.connections[index];
                let answers = connection.receive(&mut self.buffer, self.answer)?;
                connection.note(answers, now, &mut latency);
                answered += answers as u64;
                if answers > 0 {
                    idle.push_back(index);
                }
            }
        }
        Ok(latency)
    }

    /// Waits for answers, for so long (in whole milliseconds); when that was over. One clock for all that came together: reading it
    /// for each would cost as much as a system call on some machines.
    fn wait(&mut self, limit: Duration) -> io::Result<Instant> {
        self.events.clear();
        let room = spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, room, Some(&timespec(limit))) {
            Ok(_) | Err(Errno::INTR) => Ok(Instant::now()),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Load::wait`], with a limit in nanoseconds.
    fn wait_precisely(&mut self, limit: Duration) -> io::Result<Instant> {
        let mut fds = [PollFd::new(&self.epoll, PollFlags::IN)];
        match poll(&mut fds, Some(&timespec(limit))) {
            Ok(_) | Err(Errno::INTR) => self.wait(Duration::ZERO),
            Err(error) => Err(error.into()),
        }
    }
}

fn timespec(limit: Duration) -> Timespec {
    Timespec {
        tv_sec: limit.as_secs() as _,
        tv_nsec: limit.subsec_nanos().into(),
    }
}

impl Connection {
    fn in_flight(&self) -> usize {
        self.sent.iter().map(|&(_, number)| number).sum()
    }

    /// What is in flight is read soon, so the socket has room for it.
    fn request(&mut self, requests: &[u8], number: usize, at: Instant) -> io::Result<()> {
        send(&self.stream, requests, SendFlags::NOSIGNAL)?;
        self.sent.push_back((at, number));
        Ok(())
    }

    /// Reads what there is; how many answers of that length have become complete.
    fn receive(&mut self, buffer: &mut [u8], answer: usize) -> io::Result<usize> {
        let (_, received) = recv(&self.stream, buffer, RecvFlags::empty())?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.partial += received;
        let answers = self.partial / answer;
        self.partial %= answer;
        Ok(answers)
    }

    /// Notes how long the oldest so many requests took.
    fn note(&mut self, mut answers: usize, now: Instant, latency: &mut Latency) {
        while answers > 0 {
            let (at, left) = self.sent.front_mut().expect("answers are to requests");
            let here = answers.min(*left);
            latency.note(now.saturating_duration_since(*at), here);
            *left -= here;
            answers -= here;
            if *left == 0 {
                self.sent.pop_front();
            }
        }
    }
}

fn length_of_answer(server: &Child, protocol: Protocol) -> io::Result<usize> {
    let mut stream = TcpStream::connect(server.addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(protocol.request)?;
    let mut buffer = vec![0; 4096];
    let mut length = 0;
    while !buffer[..length].ends_with(protocol.end) {
        match stream.read(&mut buffer[length..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => length += read,
        }
    }
    Ok(length)
}
