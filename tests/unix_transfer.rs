//! Large transfers through the small buffers of Unix streams, both ways at once; and what ends a read early
//! without being the end of what there is: descriptors and credentials between the bytes.

mod support;

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::net::sockopt;
use rustlet::net::UnixStream;
use rustlet::{spawn, yield_now};
use support::pattern::{receive, send};

fn narrow_pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
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
fn one_thread_at_each_end() {
    let _watchdog = support::watchdog();
    let total = (4 << 20) / support::slowdown() as usize;
    let (a, b) = narrow_pair();
    let (a, b) = (Arc::new(a), Arc::new(b));
    // Each of two threads writes into one end and reads from the other: both ends are on both hubs.
    let threads = [(a.clone(), b.clone(), 1), (b, a, 2)].map(|(out, into, seed)| {
        std::thread::spawn(move || {
            let writer = spawn(move || send(&*out, seed, total, 5_000));
            let reader = spawn(move || receive(&*into, seed, total, 10_000));
            writer.join().unwrap();
            reader.join().unwrap();
        })
    });
    for thread in threads {
        thread.join().unwrap();
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
    let receiver = spawn(move || std::io::copy(&mut &b, &mut std::io::sink()).unwrap());
    // The buffers are full, so this waits, and then is partial again.
    let vectored = (&a).write_vectored(&slices).unwrap();
    assert!(0 < vectored && vectored < 2 * data.len(), "{vectored}");
    drop(a);
    assert_eq!(receiver.join().unwrap(), (written + vectored) as u64);
}

/// Three sends, of which the middle one brings a descriptor. The kernel ends a read behind it, however
/// large the buffer: a reader that took this for the end of what is there would wait for ever.
#[test]
fn a_read_that_descriptors_end_is_not_the_last() {
    let _watchdog = support::watchdog();
    for with_fds in [false, true] {
        for _ in 0..20 {
            let (a, b) = UnixStream::pair().unwrap();
            let reader = spawn(move || {
                let mut text = Vec::new();
                let mut buf = [0; 100];
                while text.len() < 13 {
                    let read = match with_fds {
                        false => (&b).read(&mut buf).unwrap(),
                        true => b
                            .recv_with_fds(&mut [IoSliceMut::new(&mut buf)], &mut Vec::new(), 1)
                            .unwrap(),
                    };
                    text.extend_from_slice(&buf[..read]);
                }
                text
            });
            yield_now(); // it waits
            (&a).write_all(b"one").unwrap();
            a.send_with_fds(&[IoSlice::new(b" two ")], &[a.as_fd()])
                .unwrap();
            (&a).write_all(b"three").unwrap();
            assert_eq!(reader.join().unwrap(), b"one two three");
        }
    }
}

/// The same with credentials: the kernel does not glue the bytes of several senders together.
#[test]
fn a_read_that_credentials_end_is_not_the_last() {
    let _watchdog = support::watchdog();
    let (a, b) = UnixStream::pair().unwrap();
    sockopt::set_socket_passcred(&b, true).unwrap();
    let reader = spawn(move || {
        let mut buf = [0; 100];
        let mut total = 0;
        while total < 300 {
            // One kind of read in turns with the other: descriptors may be asked for where only credentials come.
            total += match total % 2 {
                0 => (&b).read(&mut buf).unwrap(),
                _ => {
                    let mut fds = Vec::new();
                    let slices = &mut [IoSliceMut::new(&mut buf)];
                    let read = b.recv_with_fds(slices, &mut fds, 2).unwrap();
                    assert!(fds.is_empty());
                    read
                }
            };
        }
        total
    });
    yield_now();
    for n in 0..300 {
        (&a).write_all(&[n as u8]).unwrap();
        if n % 7 == 0 {
            yield_now();
        }
    }
    assert_eq!(reader.join().unwrap(), 300);
}

#[test]
fn a_plain_thread_at_the_other_end() {
    let _watchdog = support::watchdog();
    let total = (8 << 20) / support::slowdown() as usize;
    let (ours, theirs) = narrow_pair();
    let theirs = std::os::unix::net::UnixStream::from(theirs);
    let peer =
        std::thread::spawn(move || std::io::copy(&mut &theirs, &mut &theirs).unwrap() as usize);
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
    assert_eq!(peer.join().unwrap(), total);
}
