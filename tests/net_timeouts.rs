//! Read and write timeouts of sockets: `WouldBlock` as std's on Unix, not early, and harmless
//! afterwards.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use rustlet::net::TcpStream;
use rustlet::{sleep, spawn, yield_now};

const LIMIT: Duration = Duration::from_millis(20);

#[test]
fn a_read_that_gets_nothing_ends() {
    let _watchdog = support::watchdog();
    let (mut ours, mut theirs) = support::tcp_pair::<TcpStream>();
    ours.set_read_timeout(Some(LIMIT)).unwrap();
    let mut buffer = [0; 4];
    for _ in 0..3 {
        let start = Instant::now();
        let error = ours.read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= LIMIT);
        assert!(ours.peek(&mut buffer).is_err());
    }
    theirs.write_all(b"data").unwrap();
    ours.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"data");
}

#[test]
fn a_write_that_finds_no_room_ends() {
    let _watchdog = support::watchdog();
    let (mut ours, theirs) = support::tcp_pair::<TcpStream>();
    ours.set_write_timeout(Some(LIMIT)).unwrap();
    let block = vec![0; 1 << 20];
    let start = Instant::now();
    let mut sent = 0;
    let error = loop {
        match ours.write(&block) {
            Ok(written) => sent += written,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= LIMIT);
    // Once there is room it goes on, and nothing of the failed write was sent.
    ours.set_write_timeout(None).unwrap();
    let reader = spawn(move || {
        let mut all = Vec::new();
        (&theirs).read_to_end(&mut all).unwrap();
        all.len()
    });
    ours.write_all(b"end").unwrap();
    drop(ours);
    assert_eq!(reader.join().unwrap(), sent + 3);
}

#[test]
fn what_comes_in_time_is_not_hit() {
    let _watchdog = support::watchdog();
    let (mut ours, mut theirs) = support::tcp_pair::<TcpStream>();
    ours.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let writer = spawn(move || {
        for n in 0..10 {
            sleep(Duration::from_millis(1));
            theirs.write_all(&[n]).unwrap();
        }
    });
    let mut all = Vec::new();
    ours.read_to_end(&mut all).unwrap();
    assert_eq!(all, Vec::from_iter(0..10));
    writer.join().unwrap();
}

#[test]
fn a_limit_holds_for_each_direction_and_each_greenlet() {
    let _watchdog = support::watchdog();
    let (ours, mut theirs) = support::tcp_pair::<TcpStream>();
    let ours = std::sync::Arc::new(ours);
    let mut limit = LIMIT;
    loop {
        ours.set_read_timeout(Some(limit)).unwrap();
        let readers = [(); 3].map(|()| {
            let ours = ours.clone();
            spawn(move || (&*ours).read(&mut [0]).map_err(|error| error.kind()))
        });
        yield_now();
        // The first in line gets the byte, the others run out of time.
        theirs.write_all(b"x").unwrap();
        let results = readers.map(|reader| reader.join().unwrap());
        let got = results.iter().filter(|result| **result == Ok(1)).count();
        let late = |result: &&Result<usize, ErrorKind>| **result == Err(ErrorKind::WouldBlock);
        let late = results.iter().filter(late).count();
        if got == 1 {
            assert_eq!(late, 2);
            break;
        }
        // Their time was over before the byte was there: it is still. Again, at the pace of this machine.
        assert_eq!((got, late), (0, 3));
        (&*ours).read_exact(&mut [0]).unwrap();
        limit *= 4;
    }
    (&*ours)
        .write_all(b"the other direction has no limit")
        .unwrap();
}

#[test]
fn an_expired_limit_of_the_caller_does_not_leak_into_the_next_wait() {
    let _watchdog = support::watchdog();
    let (mut ours, mut theirs) = support::tcp_pair::<TcpStream>();
    ours.set_read_timeout(Some(Duration::from_micros(100)))
        .unwrap();
    for _ in 0..100 {
        let _ = ours.read(&mut [0]);
    }
    ours.set_read_timeout(None).unwrap();
    let start = Instant::now();
    let writer = spawn(move || {
        sleep(LIMIT);
        theirs.write_all(b"x").unwrap();
    });
    ours.read_exact(&mut [0]).unwrap();
    assert!(start.elapsed() >= LIMIT);
    writer.join().unwrap();
}
