//! Large transfers through small buffers: writes are partial, both sides wait in turns, and every
//! byte arrives once and in order.

mod support;

use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use rustix::net::sockopt;
use rustlet::net::TcpStream;
use rustlet::{spawn, yield_now};
use support::pattern::{receive, send};

/// Send buffers of a few kilobytes, so that nothing large goes through at once. (Narrow receive
/// buffers, too, would leave TCP a window so small that it waits for its own timers.)
fn narrow_pair() -> (TcpStream, TcpStream) {
    let (a, b) = support::tcp_pair::<TcpStream>();
    for stream in [&a, &b] {
        sockopt::set_socket_send_buffer_size(stream, 4096).unwrap();
    }
    (a, b)
}

#[test]
fn both_ways_at_once() {
    let _watchdog = support::watchdog();
    let total = (16 << 20) / support::slowdown() as usize;
    let (a, b) = narrow_pair();
    let (a, b) = (Arc::new(a), Arc::new(b));
    // Steps that fit the buffers, exceed them, and divide nothing.
    let greenlets = [
        (a.clone(), true, 1, 100_000),
        (b.clone(), false, 1, 777),
        (b, true, 2, 1_000),
        (a, false, 2, 65_536),
    ]
    .map(|(stream, sends, seed, step)| {
        spawn(move || match sends {
            true => send(&*stream, seed, total, step),
            false => receive(&*stream, seed, total, step),
        })
    });
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
}

#[test]
fn a_write_is_partial_and_says_how_much() {
    let _watchdog = support::watchdog();
    let (a, b) = narrow_pair();
    let data = vec![7; 8 << 20];
    let written = (&a).write(&data).unwrap();
    assert!(0 < written && written < data.len(), "{written}");
    let slices = [IoSlice::new(&data), IoSlice::new(&data)];
    let receiver = spawn(move || {
        let mut total = 0;
        let mut block = vec![0; 10_000];
        loop {
            match (&b).read(&mut block).unwrap() {
                0 => return total,
                read => total += read,
            }
        }
    });
    // The buffers are full, so this waits, and then is partial again.
    let vectored = (&a).write_vectored(&slices).unwrap();
    assert!(0 < vectored && vectored < 2 * data.len(), "{vectored}");
    drop(a);
    assert_eq!(receiver.join().unwrap(), written + vectored);
}

#[test]
fn many_connections_at_once_with_single_bytes() {
    let _watchdog = support::watchdog();
    let greenlets = Vec::from_iter((0..20).flat_map(|n| {
        let (a, b) = narrow_pair();
        let total = 20_000 / support::slowdown() as usize;
        [
            spawn(move || send(&a, n, total, 1 + n as usize * 37)),
            spawn(move || receive(&b, n, total, 1 + n as usize * 11)),
        ]
    }));
    yield_now();
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
}

#[test]
fn with_a_plain_thread_at_the_other_end() {
    let _watchdog = support::watchdog();
    let total = (8 << 20) / support::slowdown() as usize;
    let (ours, theirs) = narrow_pair();
    let theirs = std::net::TcpStream::from(theirs);
    let peer = std::thread::spawn(move || {
        // Back again, as it comes.
        std::io::copy(&mut &theirs, &mut &theirs).unwrap()
    });
    let ours = Arc::new(ours);
    let sender = {
        let ours = ours.clone();
        spawn(move || {
            send(&*ours, 5, total, 5_000);
            ours.shutdown(std::net::Shutdown::Write).unwrap();
        })
    };
    receive(&*ours, 5, total, 3_000);
    assert_eq!((&*ours).read(&mut [0]).unwrap(), 0);
    sender.join().unwrap();
    assert_eq!(peer.join().unwrap(), total as u64);
}

/// A read ends at urgent data, though there is more behind it and no edge will tell of that. It is the peer's choice to send any.
#[test]
fn reads_go_on_behind_urgent_data() {
    use rustix::net::SendFlags;

    fn check<S: std::os::fd::AsFd + Send + Sync + 'static>(
        kind: &'static str,
        pair: fn() -> (S, S),
        read_some: fn(&S, &mut [u8]) -> usize,
    ) {
        for waits in [false, true] {
            let (ours, theirs) = pair();
            let ours = Arc::new(ours);
            let read = |ours: Arc<S>| {
                move || {
                    let mut text = Vec::new();
                    while text.len() < 6 {
                        let mut buf = [0; 64];
                        let got = read_some(&ours, &mut buf);
                        assert_ne!(got, 0, "{kind}");
                        text.extend_from_slice(&buf[..got]);
                    }
                    text
                }
            };
            // So that it is registered.
            rustix::net::send(&theirs, b"123", SendFlags::empty()).unwrap();
            let first = spawn({
                let ours = ours.clone();
                move || read_some(&ours, &mut [0; 3])
            });
            assert_eq!(first.join().unwrap(), 3);
            let waiter = waits.then(|| spawn(read(ours.clone())));
            yield_now();
            for (text, flags) in [
                ("abc", SendFlags::empty()),
                ("!", SendFlags::OOB),
                ("def", SendFlags::empty()),
            ] {
                rustix::net::send(&theirs, text.as_bytes(), flags).unwrap();
            }
            let waiter = waiter.unwrap_or_else(|| spawn(read(ours)));
            assert_eq!(waiter.join().unwrap(), b"abcdef", "{kind}");
        }
    }

    if support::emulated() {
        println!("not run: the emulator does not tell of urgent data");
        return;
    }
    let _watchdog = support::watchdog();
    check("TCP", support::tcp_pair::<TcpStream>, |mut stream, buf| {
        stream.read(buf).unwrap()
    });
    // Linux 5.15 has them on Unix sockets too, if it was built so.
    let (one, _two) = rustlet::net::UnixStream::pair().unwrap();
    if rustix::net::send(&one, b"!", SendFlags::OOB).is_ok() {
        check(
            "Unix",
            || rustlet::net::UnixStream::pair().unwrap(),
            |mut stream, buf| stream.read(buf).unwrap(),
        );
    }
}
