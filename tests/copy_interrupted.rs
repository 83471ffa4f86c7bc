//! Copies that are killed, timed out, or fail in the middle: no byte is lost where that is promised.

mod support;

use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::sync::Arc;
use std::time::Duration;

use rustlet::io::{Splice, pipe, send_file, splice};
use rustlet::net::{TcpStream, UnixStream};
use rustlet::sync::Mutex;
use rustlet::{sleep, spawn, timeout, yield_now};

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

/// Killed again and again while it waits for either side; what comes out is what went in.
#[test]
fn a_splice_goes_on_where_it_was_killed() {
    let _watchdog = support::watchdog();
    let (mut feed, from) = support::tcp_pair::<TcpStream>();
    let (to, mut sink) = support::tcp_pair::<TcpStream>();
    let all = bytes(3 << 20);
    let feeder = {
        let all = all.clone();
        spawn(move || {
            for part in all.chunks(100_000) {
                feed.write_all(part).unwrap();
                sleep(Duration::from_millis(1));
            }
        })
    };
    let collector = spawn(move || {
        // Nothing at first, until all is full.
        sleep(Duration::from_millis(20));
        let mut all = Vec::new();
        let mut buffer = vec![0; 50_000];
        loop {
            match sink.read(&mut buffer).unwrap() {
                0 => return all,
                length => all.extend_from_slice(&buffer[..length]),
            }
            yield_now();
        }
    });
    let ends = Arc::new((from, to));
    let state = Arc::new(Mutex::new(Splice::new()));
    let mut kills = 0;
    loop {
        let splicer = {
            let (ends, state) = (ends.clone(), state.clone());
            spawn(move || {
                // Poisoned by each kill.
                let mut splice = state.lock().unwrap_or_else(|error| error.into_inner());
                splice.copy(&ends.0, &ends.1)
            })
        };
        if splicer.wait_timeout(Duration::from_millis(2)) {
            splicer.join().unwrap().unwrap();
            break;
        }
        splicer.kill().unwrap();
        kills += 1;
    }
    feeder.join().unwrap();
    let splice = Arc::into_inner(state).unwrap().into_inner();
    let splice = splice.unwrap_or_else(|error| error.into_inner());
    assert_eq!((splice.delivered(), splice.pending()), (3 << 20, 0));
    drop(ends);
    assert!(collector.join().unwrap() == all);
    assert!(kills > 0);
}

/// Linux before 6.5 lets a full Unix socket take what is spliced into it: it adds that to the last message.
fn full_unix_sockets_take_more() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) < (Some(6), Some(5))
}

/// The sink takes nothing: what was taken is pending, and another sink gets it.
#[test]
fn pending_bytes_go_to_whoever_comes_next() {
    if full_unix_sockets_take_more() {
        return println!("not run: this kernel has no sink that is full for good");
    }
    let _watchdog = support::watchdog();
    let (mut feed, from) = support::tcp_pair::<TcpStream>();
    // Not TCP, whose peer's kernel makes room for more a while later.
    let (full, _unread) = UnixStream::pair().unwrap();
    full.set_nonblocking(true).unwrap();
    while (&full).write(&[0; 4096]).is_ok() {}
    while (&full).write(&[0]).is_ok() {}
    feed.write_all(b"hello").unwrap();
    drop(feed);
    let mut splice = Splice::new();
    let limit = Duration::from_millis(10);
    while splice.pending() == 0 {
        assert!(timeout(limit, || splice.copy(&from, &full)).is_err());
    }
    assert_eq!((splice.pending(), splice.delivered()), (5, 0));
    assert!(timeout(limit, || splice.flush(&full)).is_err());
    let (to, mut sink) = support::tcp_pair::<TcpStream>();
    assert_eq!(splice.copy(&from, &to).unwrap(), 5);
    drop(to);
    let mut text = String::new();
    sink.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");

    // A source without bytes: nothing is taken.
    let (_feed, from) = support::tcp_pair::<TcpStream>();
    let (to, _sink) = support::tcp_pair::<TcpStream>();
    assert!(timeout(limit, || splice.copy(&from, &to)).is_err());
    assert_eq!(splice.pending(), 0);
}

/// The peer's limit on a write, which is the stream's, ends it too.
#[test]
fn timeouts_of_the_streams_hold() {
    let _watchdog = support::watchdog();
    let (_feed, from) = support::tcp_pair::<TcpStream>();
    let (to, _sink) = support::tcp_pair::<TcpStream>();
    from.set_read_timeout(Some(Duration::from_millis(5)))
        .unwrap();
    let error = splice(&from, &to).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_file_is_sent_on_from_where_it_stopped() {
    let _watchdog = support::watchdog();
    let all = bytes(16 << 20);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&all).unwrap();
    let (to, mut sink) = support::tcp_pair::<TcpStream>();
    let collector = spawn(move || {
        sleep(Duration::from_millis(20));
        let mut all = Vec::new();
        sink.read_to_end(&mut all).map(|_| all)
    });
    let mut offset = 0;
    let mut times = 0;
    while offset < all.len() as u64 {
        times += 1;
        let left = all.len() as u64 - offset;
        let _ = timeout(Duration::from_millis(2), || {
            send_file(&to, &file, &mut offset, left).unwrap()
        });
    }
    assert!(times > 1);
    drop(to);
    assert!(collector.join().unwrap().unwrap() == all);
}

#[test]
fn parts_of_files() {
    let _watchdog = support::watchdog();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"0123456789").unwrap();
    let (mut sink, to) = pipe().unwrap();
    let mut offset = 8;
    assert_eq!(send_file(&to, &file, &mut offset, 0).unwrap(), 0);
    assert_eq!(
        send_file(&to, &file, &mut offset, 100).unwrap(),
        2,
        "the end"
    );
    assert_eq!(offset, 10);
    assert_eq!(send_file(&to, &file, &mut offset, 100).unwrap(), 0);
    offset = 1 << 50;
    assert_eq!(send_file(&to, &file, &mut offset, 100).unwrap(), 0);
    assert_eq!(file.stream_position().unwrap(), 10, "not moved");
    let mut text = [0; 2];
    sink.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"89");

    // Beyond two and four gibibytes; the file has a hole there.
    for far in [(1_u64 << 31) - 99, (1 << 31) + 5, (1 << 32) + 7] {
        file.seek(SeekFrom::Start(far)).unwrap();
        file.write_all(b"far away").unwrap();
        let mut offset = far - 2;
        assert_eq!(send_file(&to, &file, &mut offset, 10).unwrap(), 10);
        assert_eq!(offset, far + 8);
        let mut text = [1; 10];
        sink.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"\0\0far away");
    }
    drop(sink);
    let mut offset = 0;
    let error = send_file(&to, &file, &mut offset, 10).unwrap_err();
    assert_eq!((error.kind(), offset), (ErrorKind::BrokenPipe, 0));
}

/// What the kernel does not send by itself is read and written: to a file opened for appending.
#[test]
fn parts_of_files_where_the_kernel_refuses() {
    let _watchdog = support::watchdog();
    let mut file = tempfile::tempfile().unwrap();
    let all = bytes(200_000);
    file.write_all(&all).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    std::fs::write(&path, "before").unwrap();
    let to = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    let mut offset = 100;
    assert_eq!(
        send_file(&to, &file, &mut offset, 150_000).unwrap(),
        150_000
    );
    assert_eq!(offset, 150_100);
    assert_eq!(send_file(&to, &file, &mut offset, 1 << 40).unwrap(), 49_900);
    let log = std::fs::read(&path).unwrap();
    assert!(&log[..6] == b"before" && log[6..] == all[100..]);
}

/// A copy that never has to wait lets others run.
#[test]
fn others_run_beside_a_copy_that_does_not_wait() {
    let _watchdog = support::watchdog();
    let file = tempfile::tempfile().unwrap();
    file.set_len(1 << 28).unwrap();
    let to = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .unwrap();
    let ticks = std::rc::Rc::new(std::cell::Cell::new(0_u32));
    let other = {
        let ticks = ticks.clone();
        rustlet::spawn_local(move || {
            loop {
                ticks.set(ticks.get() + 1);
                yield_now();
            }
        })
    };
    assert_eq!(splice(&file, &to).unwrap(), 1 << 28);
    assert!(ticks.get() > 4, "{}", ticks.get());
    other.kill().unwrap();
}
