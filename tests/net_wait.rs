//! `wait_readable` and `wait_writable`: readiness for system calls that the library does not make.

mod support;

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{sleep, spawn, yield_now};

const WHILE: Duration = Duration::from_millis(30);
const EBADF: i32 = 9;

/// Writes until the kernel takes no more.
fn fill(mut stream: &TcpStream) -> usize {
    stream.set_nonblocking(true).unwrap();
    let mut total = 0;
    loop {
        match stream.write(&[7; 65536]) {
            Ok(bytes) => total += bytes,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                stream.set_nonblocking(false).unwrap();
                return total;
            }
        }
    }
}

#[test]
fn readable_is_data_or_the_end() {
    let _watchdog = support::watchdog();
    let (mut here, there) = support::tcp_pair::<TcpStream>();
    let waiter = spawn(move || {
        there.wait_readable().unwrap();
        there.wait_readable().unwrap(); // still
        let mut two = [0; 2];
        (&there).read_exact(&mut two).unwrap();
        there.wait_readable().unwrap();
        assert_eq!((&there).read(&mut two).unwrap(), 0);
        two
    });
    yield_now();
    assert!(!waiter.is_finished());
    here.write_all(b"ab").unwrap();
    sleep(WHILE);
    assert!(!waiter.is_finished(), "it has read all that there was");
    drop(here);
    assert_eq!(&waiter.join().unwrap(), b"ab");
}

#[test]
fn writable_is_room() {
    let _watchdog = support::watchdog();
    let (here, mut there) = support::tcp_pair::<TcpStream>();
    here.wait_writable().unwrap();
    let mut full = fill(&here);
    let waiter = spawn(move || {
        here.wait_writable().unwrap();
        here
    });
    sleep(WHILE);
    assert!(!waiter.is_finished());
    let mut buffer = vec![0; 65536];
    while full > 0 {
        full -= there.read(&mut buffer).unwrap();
    }
    let mut here = waiter.join().unwrap();
    here.write_all(b"x").unwrap();
}

/// The timeouts of the stream hold; its being non-blocking does not matter.
#[test]
fn they_wait_as_long_as_the_timeouts_say() {
    let _watchdog = support::watchdog();
    let (here, _there) = support::tcp_pair::<TcpStream>();
    here.set_read_timeout(Some(WHILE)).unwrap();
    here.set_write_timeout(Some(WHILE)).unwrap();
    fill(&here);
    for nonblocking in [false, true] {
        here.set_nonblocking(nonblocking).unwrap();
        for wait in [TcpStream::wait_readable, TcpStream::wait_writable] {
            let start = Instant::now();
            let error = wait(&here).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(start.elapsed() >= WHILE);
        }
    }
}

#[test]
fn a_close_or_a_kill_ends_them() {
    let _watchdog = support::watchdog();
    let (here, _there) = support::tcp_pair::<TcpStream>();
    let here = std::sync::Arc::new(here);
    let waits = |stream: std::sync::Arc<TcpStream>| spawn(move || stream.wait_readable());
    let (killed, closed) = (waits(here.clone()), waits(here.clone()));
    yield_now();
    killed.kill().unwrap();
    assert!(killed.join().unwrap_err().is_killed());
    here.close();
    let error = closed.join().unwrap().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(EBADF));
    assert_eq!(
        here.wait_writable().unwrap_err().raw_os_error(),
        Some(EBADF)
    );
}

#[test]
fn a_listener_is_readable_when_a_client_has_come() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let waiter = spawn(move || {
        listener.wait_readable().unwrap();
        listener.set_nonblocking(true).unwrap();
        listener.accept().unwrap();
        assert!(listener.accept().is_err());
    });
    sleep(WHILE);
    assert!(!waiter.is_finished());
    drop(std::net::TcpStream::connect(addr).unwrap());
    waiter.join().unwrap();
}
