//! The floor: the strongest plain epoll loop for this load.
//!
//! Every connection is registered once, edge-triggered; a read that filled less than the buffer has
//! emptied the socket, so it is not repeated. That makes 2 system calls a request and a share of an
//! `epoll_wait`; of the loops that were measured for this (level-triggered, one-shot, re-reading
//! until `EAGAIN`) it takes the least CPU time. One buffer for all connections, no state for each.

use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::BUFFER;
use crate::load::child::Announce;

const LISTENER: u64 = u64::MAX;
const EVENTS: usize = 1024;

pub(crate) fn serve(announce: Announce) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    announce(listener.local_addr().expect("a bound socket"));

    let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll");
    let add = |stream: &TcpStream, token| {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&epoll, stream, EventData::new_u64(token), flags).expect("memory");
    };
    let token = EventData::new_u64(LISTENER);
    epoll::add(&epoll, &listener, token, EventFlags::IN).expect("memory");

    let mut streams: Vec<Option<TcpStream>> = Vec::new(); // by descriptor
    let mut buffer = [0; BUFFER];
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("epoll_wait: {error}"),
        }
        for event in &events {
            if event.data.u64() == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).expect("a socket");
                    let index = stream.as_raw_fd() as usize;
                    add(&stream, index as u64);
                    streams.resize_with(streams.len().max(index + 1), || None);
                    streams[index] = Some(stream);
                }
                continue;
            }
            let stream = &mut streams[event.data.u64() as usize];
            if !stream
                .as_ref()
                .is_some_and(|stream| echo(stream, &mut buffer))
            {
                *stream = None;
            }
        }
    }
}

/// Answers what has arrived; false when the connection has ended.
fn echo(stream: &TcpStream, buffer: &mut [u8; BUFFER]) -> bool {
    loop {
        let received = match recv(stream, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, 0)) => return false,
            Ok((_, received)) => received,
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        };
        // A peer with one small request in flight never fills the socket.
        if send(stream, &buffer[..received], SendFlags::NOSIGNAL) != Ok(received) {
            return false;
        }
        if received < buffer.len() {
            return true;
        }
    }
}
