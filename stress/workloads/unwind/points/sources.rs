//! Sockets, pipes, children and threads: bytes that were written have been read once, or are still to be read.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::process::Stdio;
use std::rc::Rc;
use std::sync::mpsc;

use rustlet::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixStream};
use rustlet::{io, process};

use super::{Point, Scene};
use crate::workload::{Failure, ensure};

pub(super) const ALL: &[Point] = &[
    Point::of_cost(2, "UnixStream: read", || {
        let (near, far) = UnixStream::pair()?;
        Scene::given(
            (near, far),
            |(near, _)| byte(near),
            |(_, far)| send(far),
            |(near, far), given, taken| {
                drop(far.shutdown(Shutdown::Write));
                rest(near) + taken == given
            },
        )
    }),
    Point::of_cost(2, "UnixStream: write", || {
        full(
            UnixStream::pair()?,
            |(near, _), written| fill(near, written),
            |(near, far)| {
                drop(near.shutdown(Shutdown::Write));
                rest(far)
            },
        )
    }),
    Point::of_cost(4, "TcpStream: read", || {
        let (near, far) = tcp()?;
        Scene::given(
            (near, far),
            |(near, _)| byte(near),
            |(_, far)| send(far),
            |(near, far), given, taken| {
                drop(far.shutdown(Shutdown::Write));
                rest(near) + taken == given
            },
        )
    }),
    Point::of_cost(4, "TcpStream: write", || {
        full(
            tcp()?,
            |(near, _), written| fill(near, written),
            |(near, far)| {
                drop(near.shutdown(Shutdown::Write));
                rest(far)
            },
        )
    }),
    Point::of_cost(3, "TcpListener: accept", || {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        Scene::given(
            (listener, Cell::new(None)),
            |(listener, _)| listener.accept().is_ok().into(),
            |(listener, client)| {
                let at = listener.local_addr().expect("it is bound");
                client.set(TcpStream::connect(at).ok());
                1
            },
            |(listener, client), given, taken| {
                // Of two, if one was taken, one is left; and then the last.
                let at = listener.local_addr().expect("it is bound");
                let last = TcpStream::connect(at);
                let local = last.and_then(|last| last.local_addr());
                let waiting = given - taken + 1;
                let accepted = (0..waiting).map(|_| listener.accept().map(|(_, peer)| peer));
                let accepted = accepted.last().expect("one at least");
                drop(client.take());
                accepted.ok() == local.ok()
            },
        )
    }),
    Point::of_cost(2, "UdpSocket: recv", || {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(socket.local_addr()?)?;
        Scene::given(
            socket,
            |socket| socket.recv(&mut [0; 8]).map_or(0, |bytes| bytes as u64),
            |socket| socket.send(&[1]).map_or(0, |bytes| bytes as u64),
            // The last is longer, so that the count of those before it is known.
            |socket, given, taken| {
                let last = socket.send(&[1, 2]);
                let left = (0..).take_while(|_| matches!(socket.recv(&mut [0; 8]), Ok(1)));
                last.is_ok() && left.count() as u64 + taken == given
            },
        )
    }),
    Point::of_cost(2, "UnixDatagram: recv", || {
        Scene::given(
            UnixDatagram::pair()?,
            |(near, _)| near.recv(&mut [0; 8]).map_or(0, |bytes| bytes as u64),
            |(_, far)| far.send(&[1]).map_or(0, |bytes| bytes as u64),
            |(near, far), given, taken| {
                let last = far.send(&[1, 2]);
                let left = (0..).take_while(|_| matches!(near.recv(&mut [0; 8]), Ok(1)));
                last.is_ok() && left.count() as u64 + taken == given
            },
        )
    }),
    Point::of_cost(2, "a pipe: read", || {
        let (reader, writer) = io::pipe()?;
        Scene::given(
            (reader, Cell::new(Some(writer))),
            |(reader, _)| byte(reader),
            |(_, writer)| {
                let open = writer.take().expect("open until the end");
                let sent = send(&open);
                writer.set(Some(open));
                sent
            },
            |(reader, writer), given, taken| {
                drop(writer.take());
                rest(reader) + taken == given
            },
        )
    }),
    Point::of_cost(2, "a pipe: write", || {
        let (reader, writer) = io::pipe()?;
        full(
            (reader, RefCell::new(Some(writer))),
            |(_, writer), written| {
                let writer = writer.borrow();
                fill(writer.as_ref().expect("open until the end"), written);
            },
            |(reader, writer)| {
                drop(writer.take());
                rest(reader)
            },
        )
    }),
    Point::of_cost(3, "unblock", || {
        Scene::given(
            Pledge::default(),
            Pledge::wait,
            Pledge::redeem,
            |_, _, _| true,
        )
    }),
    Point::of_cost(20, "Child::wait", || {
        let mut child = process::Command::new("cat");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        let stdin = Cell::new(child.stdin.take());
        Scene::given(
            (stdin, child.process()),
            |(_, cat)| {
                assert!(cat.wait().is_ok_and(|status| status.success()));
                0
            },
            |(stdin, _)| {
                drop(stdin.take());
                1
            },
            |(stdin, cat), _, _| {
                drop(stdin.take());
                cat.wait().is_ok_and(|status| status.success())
            },
        )
    }),
];

/// A wait for room; how much makes some is the kernel's secret, so nobody does. `left` reads what was written and not
/// yet read, which is to be all that [`fill`] counted.
fn full<E: 'static>(
    ends: E,
    write: fn(&E, &Cell<u64>),
    left: fn(&E) -> u64,
) -> Result<Scene, Failure> {
    let ends = Rc::new((ends, Cell::new(0)));
    let its = ends.clone();
    let mut scene = Scene::endless(move || write(&its.0, &its.1))?;
    scene.intact = Box::new(move |_, _| {
        let (left, written) = (left(&ends.0), ends.1.get());
        ensure!(
            left == written,
            "{written} bytes were written, and {left} arrive"
        );
        Ok(())
    });
    Ok(scene)
}

fn tcp() -> Result<(TcpStream, TcpStream), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    Ok((near, listener.accept()?.0))
}

/// Reads a byte.
fn byte(mut source: impl Read) -> u64 {
    source.read(&mut [0]).map_or(0, |bytes| bytes as u64)
}

/// Writes a byte.
fn send(mut sink: impl Write) -> u64 {
    sink.write(&[7]).map_or(0, |bytes| bytes as u64)
}

/// Reads to the end: how many bytes were left.
fn rest(mut source: impl Read) -> u64 {
    std::io::copy(&mut source, &mut std::io::sink()).unwrap_or(0)
}

/// Writes until there is no room, and then waits for some; `written` has what the sink says that it took.
fn fill(mut sink: impl Write, written: &Cell<u64>) {
    loop {
        let took = sink.write(&[7; 1 << 14]).map_or(0, |bytes| bytes as u64);
        written.set(written.get() + took);
    }
}

/// A job on a thread that goes on until it is released or its caller is gone: the threads are few.
#[derive(Default)]
struct Pledge {
    released: Cell<bool>,
    open: Cell<Option<mpsc::Sender<()>>>,
}

impl Pledge {
    fn wait(&self) -> u64 {
        struct Gone<'a>(&'a Pledge);
        impl Drop for Gone<'_> {
            fn drop(&mut self) {
                drop(self.0.open.take());
            }
        }

        let _gone = Gone(self);
        let (tx, rx) = mpsc::channel();
        self.open.set((!self.released.get()).then_some(tx));
        let word = rustlet::unblock(move || rx.recv());
        assert!(word.is_err(), "nothing is ever sent");
        0
    }

    fn redeem(&self) -> u64 {
        self.released.set(true);
        drop(self.open.take());
        1
    }
}
