//! A peer that resets the connection: those who wait get the error, once, and nobody hangs.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{sleep, spawn, yield_now};

/// Closes with a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

#[test]
fn a_waiting_reader_gets_the_error() {
    let _watchdog = support::watchdog();
    let (ours, theirs) = support::tcp_pair::<TcpStream>();
    let reader = spawn(move || {
        let error = (&ours).read(&mut [0]).unwrap_err().kind();
        // Once; then it is the end.
        (error, (&ours).read(&mut [0]).unwrap())
    });
    yield_now();
    reset(theirs);
    assert_eq!(reader.join().unwrap(), (ErrorKind::ConnectionReset, 0));
}

#[test]
fn a_waiting_writer_gets_the_error() {
    let _watchdog = support::watchdog();
    let (ours, theirs) = support::tcp_pair::<TcpStream>();
    let writer = spawn(move || {
        let first = (&ours).write_all(&vec![0; 64 << 20]).unwrap_err().kind();
        let second = (&ours).write_all(&[0]).unwrap_err().kind();
        (first, second)
    });
    sleep(Duration::from_millis(5));
    reset(theirs);
    let (first, second) = writer.join().unwrap();
    assert_eq!(first, ErrorKind::ConnectionReset);
    // Not a signal that ends the process, either.
    assert_eq!(second, ErrorKind::BrokenPipe);
}

#[test]
fn reader_and_writer_of_one_socket_are_both_woken() {
    let _watchdog = support::watchdog();
    let (ours, theirs) = support::tcp_pair::<TcpStream>();
    let ours = std::sync::Arc::new(ours);
    let also = ours.clone();
    // The kernel reports the reset to one of them; the other finds the end of the stream.
    let reader = spawn(move || matches!((&*ours).read(&mut [0]), Ok(0) | Err(_)));
    let writer = spawn(move || (&*also).write_all(&vec![0; 64 << 20]).is_err());
    sleep(Duration::from_millis(5));
    reset(theirs);
    assert!(reader.join().unwrap());
    assert!(writer.join().unwrap());
}

#[test]
fn writing_to_a_peer_that_has_gone_fails_sooner_or_later() {
    let _watchdog = support::watchdog();
    let (mut ours, theirs) = support::tcp_pair::<TcpStream>();
    drop(theirs);
    let error = loop {
        if let Err(error) = ours.write(&[0; 1024]) {
            break error;
        }
        yield_now();
    };
    assert!(
        matches!(
            error.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        ),
        "{error}"
    );
}

#[test]
fn data_before_an_orderly_end_is_delivered() {
    let _watchdog = support::watchdog();
    let (mut ours, mut theirs) = support::tcp_pair::<TcpStream>();
    let writer = spawn(move || {
        for n in 0..100 {
            theirs.write_all(&[n; 100]).unwrap();
        }
    });
    let mut all = Vec::new();
    ours.read_to_end(&mut all).unwrap();
    assert_eq!(all, Vec::from_iter((0..100).flat_map(|n| [n; 100])));
    writer.join().unwrap();
}

#[test]
fn a_connection_that_is_reset_in_the_queue_does_not_end_a_server() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let server = spawn(move || {
        let mut served = 0;
        while served < 5 {
            let Ok((mut stream, _)) = listener.accept() else {
                continue;
            };
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_ok() {
                stream.write_all(&byte).unwrap();
                served += 1;
            }
        }
    });
    for _ in 0..5 {
        reset(TcpStream::connect(addr).unwrap());
        let mut good = TcpStream::connect(addr).unwrap();
        good.write_all(b"x").unwrap();
        good.read_exact(&mut [0]).unwrap();
    }
    server.join().unwrap();
}

#[test]
fn a_connect_that_is_refused_while_it_waits() {
    let _watchdog = support::watchdog();
    let (full, queued) = support::full_listener();
    let addr = full.local_addr().unwrap();
    let client = spawn(move || {
        TcpStream::connect(addr)
            .map(drop)
            .map_err(|error| error.kind())
    });
    yield_now();
    assert!(!client.is_finished());
    // The listener goes away; the repeated request, after a second or so, is refused.
    drop((full, queued));
    assert_eq!(client.join().unwrap(), Err(ErrorKind::ConnectionRefused));
}
