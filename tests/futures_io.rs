//! Sockets and `Io` as futures see them: the traits of `futures-io`, `tokio` and `hyper`, and `poll_operate` below them.
//! Nothing is lost between polls, whoever else waits, closes, is killed, or polls from another thread.
#![allow(unsafe_code)] // `pre_exec`, which is how std forks.

mod support;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, Read, Write};
use std::net;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use rustlet::io::{Interest, Io};
use rustlet::net::{TcpListener, TcpStream};
use rustlet::{Sleep, block_on};
use support::{tcp_pair, watchdog};

/// One of the three families, as little of it as the tests need.
trait Family<S> {
    fn poll_read(s: Pin<&mut S>, cx: &mut Context<'_>, b: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(s: Pin<&mut S>, cx: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_flush(s: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_end(s: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

struct FuturesIo;
impl<S: futures_io::AsyncRead + futures_io::AsyncWrite> Family<S> for FuturesIo {
    fn poll_read(s: Pin<&mut S>, cx: &mut Context<'_>, b: &mut [u8]) -> Poll<io::Result<usize>> {
        s.poll_read(cx, b)
    }
    fn poll_write(s: Pin<&mut S>, cx: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        s.poll_write(cx, b)
    }
    fn poll_flush(s: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        s.poll_flush(cx)
    }
    fn poll_end(s: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        s.poll_close(cx)
    }
}

struct Tokio;
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite> Family<S> for Tokio {
    fn poll_read(s: Pin<&mut S>, cx: &mut Context<'_>, b: &mut [u8]) -> Poll<io::Result<usize>> {
        // Uninitialised, and half full before.
        let mut room = vec![std::mem::MaybeUninit::uninit(); b.len() + 3];
        let mut buf = tokio::io::ReadBuf::uninit(&mut room);
        buf.put_slice(b"abc");
        s.poll_read(cx, &mut buf).map_ok(|()| {
            let (before, read) = buf.filled().split_at(3);
            assert_eq!(before, b"abc");
            b[..read.len()].copy_from_slice(read);
            read.len()
        })
    }
    fn poll_write(s: Pin<&mut S>, cx: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        assert!(s.is_write_vectored());
        let (one, two) = b.split_at(b.len() / 2);
        s.poll_write_vectored(cx, &[io::IoSlice::new(one), io::IoSlice::new(two)])
    }
    fn poll_flush(s: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        s.poll_flush(cx)
    }
    fn poll_end(s: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        s.poll_shutdown(cx)
    }
}

struct Hyper;
impl<S: hyper::rt::Read + hyper::rt::Write> Family<S> for Hyper {
    fn poll_read(s: Pin<&mut S>, cx: &mut Context<'_>, b: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut room = vec![std::mem::MaybeUninit::uninit(); b.len()];
        let mut buf = hyper::rt::ReadBuf::uninit(&mut room);
        s.poll_read(cx, buf.unfilled()).map_ok(|()| {
            b[..buf.filled().len()].copy_from_slice(buf.filled());
            buf.filled().len()
        })
    }
    fn poll_write(s: Pin<&mut S>, cx: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
        s.poll_write(cx, b)
    }
    fn poll_flush(s: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        s.poll_flush(cx)
    }
    fn poll_end(s: Pin<&mut S>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        s.poll_shutdown(cx)
    }
}

/// Bytes that depend on their place.
fn pattern(at: usize) -> u8 {
    (at / 7 + at / 1023) as u8
}

/// Sends `len` bytes to a peer that echoes, in pieces of changing sizes, and reads them back at the same time, in others.
/// Then ends its output, upon which the peer says goodbye.
async fn through<F: Family<S>, S>(stream: &mut S, len: usize)
where
    S: Unpin,
{
    let (mut sent, mut received, mut ended) = (0, 0, false);
    let mut piece = 1;
    let mut next_piece = || {
        piece = piece * 31 % 4093 + 1;
        piece
    };
    let mut farewell = Vec::new();
    poll_fn(|cx| {
        loop {
            let mut moved = false;
            if sent < len {
                let end = (sent + next_piece()).min(len);
                let out: Vec<u8> = (sent..end).map(pattern).collect();
                if let Poll::Ready(n) = F::poll_write(Pin::new(stream), cx, &out) {
                    sent += n.unwrap();
                    moved = true;
                }
            } else if !ended
                && F::poll_flush(Pin::new(stream), cx).is_ready()
                && let Poll::Ready(end) = F::poll_end(Pin::new(stream), cx)
            {
                end.unwrap();
                ended = true;
                moved = true;
            }
            let mut buf = vec![0; next_piece()];
            if let Poll::Ready(n) = F::poll_read(Pin::new(stream), cx, &mut buf) {
                let n = n.unwrap();
                for &byte in &buf[..n] {
                    if received < len {
                        assert_eq!(byte, pattern(received), "at {received}");
                        received += 1;
                    } else {
                        farewell.push(byte);
                    }
                }
                if n == 0 {
                    assert_eq!((sent, received, ended), (len, len, true));
                    return Poll::Ready(());
                }
                moved = true;
            }
            if !moved {
                return Poll::Pending;
            }
        }
    })
    .await;
    assert_eq!(farewell, b"goodbye");
}

/// Echoes until the end, then says goodbye.
fn echo(mut stream: impl Read + Write) {
    let mut buf = [0; 5000];
    loop {
        match stream.read(&mut buf).unwrap() {
            0 => break,
            n => stream.write_all(&buf[..n]).unwrap(),
        }
    }
    stream.write_all(b"goodbye").unwrap();
}

const LEN: usize = 600_000;

fn len() -> usize {
    LEN / support::slowdown() as usize
}

#[test]
fn tcp_streams_in_all_three_families() {
    let _watchdog = watchdog();
    let pair = || {
        let (ours, theirs): (net::TcpStream, net::TcpStream) = tcp_pair();
        let theirs = TcpStream::from(theirs);
        (TcpStream::from(ours), rustlet::spawn(move || echo(&theirs)))
    };
    let (mut stream, peer) = pair();
    block_on(through::<FuturesIo, _>(&mut stream, len()));
    peer.join().unwrap();
    let (mut stream, peer) = pair();
    block_on(through::<Tokio, _>(&mut stream, len()));
    peer.join().unwrap();
    let (mut stream, peer) = pair();
    block_on(through::<Hyper, _>(&mut stream, len()));
    peer.join().unwrap();
    // And shared.
    let (stream, peer) = pair();
    block_on(through::<Tokio, _>(&mut &stream, len()));
    peer.join().unwrap();
}

#[test]
fn unix_streams_in_all_three_families() {
    let _watchdog = watchdog();
    let pair = || {
        let (ours, theirs) = rustlet::net::UnixStream::pair().unwrap();
        (ours, rustlet::spawn(move || echo(&theirs)))
    };
    let (mut stream, peer) = pair();
    block_on(through::<FuturesIo, _>(&mut stream, len()));
    peer.join().unwrap();
    let (mut stream, peer) = pair();
    block_on(through::<Tokio, _>(&mut stream, len()));
    peer.join().unwrap();
    let (mut stream, peer) = pair();
    block_on(through::<Hyper, _>(&mut stream, len()));
    peer.join().unwrap();
}

#[test]
fn wrapped_sockets_in_all_three_families() {
    let _watchdog = watchdog();
    let pair = || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let theirs = Io::new(theirs).unwrap();
        (
            Io::new(ours).unwrap(),
            rustlet::spawn(move || echo(&theirs)),
        )
    };
    let (mut stream, peer) = pair();
    block_on(through::<FuturesIo, _>(&mut stream, len()));
    peer.join().unwrap();
    let (stream, peer) = pair();
    block_on(through::<Tokio, _>(&mut &stream, len()));
    peer.join().unwrap();
    let (mut stream, peer) = pair();
    block_on(through::<Hyper, _>(&mut stream, len()));
    peer.join().unwrap();
}

#[test]
fn both_ends_polled_by_tokios_helpers() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let _watchdog = watchdog();
    let (ours, theirs) = tcp_pair::<TcpStream>();
    let peer = rustlet::spawn(move || {
        block_on(async {
            let (mut read, mut write) = tokio::io::split(theirs);
            tokio::io::copy(&mut read, &mut write).await.unwrap();
            write.shutdown().await.unwrap();
        })
    });
    block_on(async {
        let text: Vec<u8> = (0..len()).map(pattern).collect();
        let (mut read, mut write) = tokio::io::split(ours);
        let mut echoed = Vec::new();
        let sending = async {
            write.write_all(&text).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let ((), result) = tokio::join!(sending, read.read_to_end(&mut echoed));
        result.unwrap();
        assert!(echoed == text);
    });
    peer.join().unwrap();
}

#[test]
fn close_wakes_a_poll_that_waits() {
    let _watchdog = watchdog();
    for elsewhere in [false, true] {
        let (ours, _theirs) = tcp_pair::<TcpStream>();
        let ours = Arc::new(ours);
        let waiting = rustlet::spawn({
            let ours = ours.clone();
            move || {
                let mut stream = &*ours;
                block_on(poll_fn(|cx| {
                    <Tokio as Family<_>>::poll_read(Pin::new(&mut stream), cx, &mut [0; 8])
                }))
            }
        });
        rustlet::yield_now();
        assert!(!waiting.is_finished());
        if elsewhere {
            thread::spawn(move || ours.close()).join().unwrap();
        } else {
            ours.close();
        }
        // The shutdown may be seen first: the end of the stream.
        assert!(matches!(waiting.join().unwrap(), Ok(0) | Err(_)));
    }
}

#[test]
fn close_of_a_wrapper_wakes_a_poll_that_waits() {
    let _watchdog = watchdog();
    for elsewhere in [false, true] {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let ours = Arc::new(Io::new(ours).unwrap());
        let waiting = rustlet::spawn({
            let ours = ours.clone();
            move || {
                block_on(poll_fn(|cx| {
                    ours.poll_operate(cx, Interest::Read, |mut s| s.read(&mut [0]))
                }))
            }
        });
        rustlet::yield_now();
        if elsewhere {
            thread::spawn(move || ours.close()).join().unwrap();
        } else {
            ours.close();
        }
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::BADF.raw_os_error())
        );
    }
}

#[test]
fn an_edge_wakes_greenlets_and_the_future() {
    let _watchdog = watchdog();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Rc::new(Io::new(ours).unwrap());
    let mut waiting = Vec::new();
    for n in 0..4 {
        let ours = ours.clone();
        waiting.push(rustlet::spawn_local(move || match n {
            2 => block_on(poll_fn(|cx| {
                ours.poll_operate(cx, Interest::Read, |mut s| s.read(&mut [0]))
            })),
            _ => (&mut &*ours).read(&mut [0]),
        }));
    }
    rustlet::yield_now();
    for _ in 0..4 {
        theirs.write_all(b"x").unwrap();
        rustlet::yield_now();
    }
    for one in waiting {
        assert_eq!(one.join().unwrap().unwrap(), 1);
    }
}

#[test]
fn directions_have_a_waker_each() {
    let _watchdog = watchdog();
    // Unix sockets: the room that TCP has grows by itself.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (ours, theirs) = (Io::new(ours).unwrap(), Io::new(theirs).unwrap());
    // Fill it, so that writing waits too.
    let full = block_on(poll_fn(|cx| {
        let mut total = 0;
        while let Poll::Ready(n) =
            <Tokio as Family<_>>::poll_write(Pin::new(&mut &ours), cx, &[7; 9999])
        {
            total += n.unwrap();
        }
        Poll::Ready(total)
    }));
    let ours = Rc::new(ours);
    let reader = rustlet::spawn_local({
        let ours = ours.clone();
        move || {
            block_on(poll_fn(|cx| {
                <FuturesIo as Family<_>>::poll_read(Pin::new(&mut &*ours), cx, &mut [0; 8])
            }))
        }
    });
    let writer = rustlet::spawn_local({
        let ours = ours.clone();
        move || {
            block_on(poll_fn(|cx| {
                <Hyper as Family<_>>::poll_write(Pin::new(&mut &*ours), cx, b"more")
            }))
        }
    });
    rustlet::yield_now();
    assert!(!reader.is_finished() && !writer.is_finished());
    (&theirs).write_all(b"abc").unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 3);
    assert!(!writer.is_finished());
    let mut drained = vec![0; full];
    (&theirs).read_exact(&mut drained).unwrap();
    assert_eq!(writer.join().unwrap().unwrap(), 4);
}

#[test]
fn a_kill_and_a_timeout_leave_the_stream_usable() {
    let _watchdog = watchdog();
    let (ours, theirs) = tcp_pair::<TcpStream>();
    let ours = Rc::new(ours);
    let read = |ours: &TcpStream| {
        let mut stream = ours;
        block_on(poll_fn(|cx| {
            <Tokio as Family<_>>::poll_read(Pin::new(&mut stream), cx, &mut [0; 8])
        }))
    };
    let killed = rustlet::spawn_local({
        let ours = ours.clone();
        move || read(&ours).unwrap()
    });
    rustlet::yield_now();
    killed.kill().unwrap();
    assert!(rustlet::timeout(Duration::from_millis(5), || read(&ours)).is_err());
    (&theirs).write_all(b"xy").unwrap();
    assert_eq!(read(&ours).unwrap(), 2);
    // A future dropped while it waits leaves the stream to those who block.
    block_on(poll_fn(|cx| {
        assert!(
            <Tokio as Family<_>>::poll_read(Pin::new(&mut &*ours), cx, &mut [0; 8]).is_pending()
        );
        Poll::Ready(())
    }));
    (&theirs).write_all(b"z").unwrap();
    assert_eq!((&mut &*ours).read(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn polled_on_one_thread_and_then_on_another() {
    let _watchdog = watchdog();
    let (ours, theirs): (net::TcpStream, net::TcpStream) = tcp_pair();
    let mut ours = TcpStream::from(ours);
    for round in 0..20 {
        // Pending on this thread …
        block_on(poll_fn(|cx| {
            assert!(
                <Tokio as Family<_>>::poll_read(Pin::new(&mut ours), cx, &mut [0]).is_pending()
            );
            Poll::Ready(())
        }));
        let (started, start) = mpsc::channel();
        // … and waited for on another.
        let thread = thread::spawn(move || {
            let mut polls = 0;
            let mut byte = [0];
            let result = block_on(poll_fn(|cx| {
                polls += 1;
                let poll = <Tokio as Family<_>>::poll_read(Pin::new(&mut ours), cx, &mut byte);
                if polls == 1 {
                    started.send(()).unwrap();
                }
                poll
            }));
            assert_eq!((result.unwrap(), byte), (1, [round]));
            ours
        });
        start.recv().unwrap();
        (&theirs).write_all(&[round]).unwrap();
        ours = thread.join().unwrap();
    }
}

#[test]
fn a_waker_may_drop_what_it_was_left_in() {
    let _watchdog = watchdog();
    struct Holder(Mutex<Option<TcpStream>>, AtomicUsize);
    impl Wake for Holder {
        fn wake(self: Arc<Self>) {
            drop(self.0.lock().unwrap().take());
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    for close in [false, true] {
        let (ours, theirs) = tcp_pair::<TcpStream>();
        let holder = Arc::new(Holder(Mutex::default(), AtomicUsize::new(0)));
        let waker = Waker::from(holder.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(
            <Tokio as Family<_>>::poll_read(Pin::new(&mut &ours), &mut cx, &mut [0]).is_pending()
        );
        let clone = ours.try_clone().unwrap();
        if close {
            ours.close();
        }
        *holder.0.lock().unwrap() = Some(ours);
        (&theirs).write_all(b"x").unwrap_or_default();
        while holder.1.load(Ordering::SeqCst) == 0 {
            rustlet::sleep(Duration::from_millis(1));
        }
        drop(clone);
    }
}

#[test]
fn an_endless_supply_lets_others_run() {
    let _watchdog = watchdog();
    use rustix::event::{EventfdFlags, eventfd};
    // Each read takes one off four thousand million.
    let endless = Io::new(eventfd(u32::MAX, EventfdFlags::SEMAPHORE).unwrap()).unwrap();
    for registered in [false, true] {
        if registered {
            endless.wait(Interest::Read, None).unwrap();
        }
        let stop = Rc::new(Cell::new(false));
        rustlet::spawn_local({
            let stop = stop.clone();
            move || {
                rustlet::sleep(Duration::from_millis(10));
                stop.set(true);
            }
        });
        block_on(poll_fn(|cx| {
            while !stop.get() {
                let read = endless.poll_operate(cx, Interest::Read, |fd| {
                    Ok(rustix::io::read(fd, &mut [0; 8])?)
                });
                match read {
                    Poll::Ready(n) => assert_eq!(n.unwrap(), 8),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Poll::Ready(())
        }));
    }
}

#[test]
fn a_reset_is_an_error_of_the_poll() {
    let _watchdog = watchdog();
    let (mut ours, theirs): (net::TcpStream, net::TcpStream) = tcp_pair();
    ours.write_all(b"unread").unwrap();
    let ours = TcpStream::from(ours);
    drop(theirs); // with unread data: a reset
    let result = block_on(poll_fn(|cx| {
        <Tokio as Family<_>>::poll_read(Pin::new(&mut &ours), cx, &mut [0])
    }));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_thousand_connections() {
    let _watchdog = watchdog();
    let count = 1000 / support::slowdown() as usize;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = rustlet::spawn(move || {
        let peers: Vec<_> = (0..count)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                rustlet::spawn(move || echo(&stream))
            })
            .collect();
        peers.into_iter().for_each(|peer| peer.join().unwrap());
    });
    let clients: Vec<_> = (0..count)
        .map(|n| {
            rustlet::spawn(move || {
                let mut stream = TcpStream::connect(addr).unwrap();
                block_on(async {
                    Sleep::new(Duration::from_millis(n as u64 % 10)).await;
                    through::<Tokio, _>(&mut stream, 2000).await;
                });
            })
        })
        .collect();
    clients
        .into_iter()
        .for_each(|client| client.join().unwrap());
    server.join().unwrap();
}

#[test]
fn a_waker_that_is_kept_is_no_deadlock_and_one_that_is_gone_does_not_hide_one() {
    let _watchdog = watchdog();
    if support::emulated() {
        println!("not run: the emulator has a thread of its own, which could wake anybody");
        return;
    }
    if !support::is_child() {
        let name = "a_waker_that_is_kept_is_no_deadlock_and_one_that_is_gone_does_not_hide_one";
        support::child(name).run().assert_passed();
        return;
    }
    // It takes a process with one thread: a fork of this.
    let mut command = std::process::Command::new("/this/is/never/run");
    // SAFETY: the forked process waits and ends. Of the threads it left behind, one waits for this test and the
    // other for the time to run out, with no lock held.
    unsafe {
        command.pre_exec(|| {
            use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
            let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::empty())?;
            let once = rustix::time::Itimerspec {
                it_interval: rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: rustix::time::Timespec {
                    tv_sec: 0,
                    tv_nsec: 2_000_000,
                },
            };
            rustix::time::timerfd_settime(&timer, rustix::time::TimerfdTimerFlags::empty(), &once)?;
            let timer: Io<OwnedFd> = Io::new(timer)?;
            let tick = |cx: &mut Context<'_>| {
                timer.poll_operate(cx, Interest::Read, |fd| {
                    Ok(rustix::io::read(fd, &mut [0; 8])?)
                })
            };
            block_on(poll_fn(tick))?;
            std::fs::write("/dev/stderr", "ticked; ")?;
            assert!(block_on(poll_fn(|cx| Poll::Ready(tick(cx).is_pending()))));
            drop(timer); // with a waker in it
            block_on(std::future::pending::<()>());
            std::process::exit(0);
        });
    }
    let output = command.output().map(|output| output.stderr);
    let text = output.map_or_else(
        |error| error.to_string(),
        |text| String::from_utf8(text).unwrap(),
    );
    assert!(text.starts_with("ticked; "), "{text}");
    assert!(
        text.contains("waits for a future, and nothing can ever wake it"),
        "{text}"
    );
}

#[test]
fn a_future_is_send_if_its_socket_is() {
    fn assert_send<T: Send + Sync>(_: &T) {}
    let (mut ours, _theirs) = tcp_pair::<TcpStream>();
    assert_send(&ours);
    assert_send(&Sleep::new(Duration::ZERO));
    let future = async move {
        tokio::io::AsyncReadExt::read_u8(&mut ours).await.unwrap();
    };
    fn assert_future<F: Future + Send>(_: F) {}
    assert_future(future);
}
