//! gevent's `test__os.py`: a writer that fills a pipe before anybody reads keeps no other waiting, whichever way the pipe
//! is used.

mod support;

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustlet::io::{Io, pipe};
use rustlet::{sleep, spawn, unblock};

/// More than a pipe has room for.
const BYTES: usize = 1_000_000;
const BLOCK: usize = 4096;

/// A greenlet writes with `write`; when it has got stuck, another one begins to read with `read`.
#[track_caller]
fn a_million_bytes(
    mut write: impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize> + Send + 'static,
) {
    let written = Arc::new(AtomicUsize::new(0));
    let producer = {
        let written = written.clone();
        spawn(move || {
            let block = [b'x'; BLOCK];
            let mut left = BYTES;
            while left > 0 {
                let length = write(&block[..left.min(BLOCK)]).unwrap();
                left -= length;
                written.store(BYTES - left, Ordering::Relaxed);
            }
        })
    };
    let mut before = usize::MAX;
    while written.load(Ordering::Relaxed) == 0 || written.load(Ordering::Relaxed) != before {
        before = written.load(Ordering::Relaxed);
        sleep(Duration::from_millis(20)); // others run although it is stuck
    }
    assert!(!producer.is_finished(), "{before} bytes fitted");
    let consumer = spawn(move || {
        let mut block = [0; BLOCK];
        let mut left = BYTES;
        while left > 0 {
            let length = read(&mut block[..left.min(BLOCK)]).unwrap();
            assert!(length > 0, "{left} bytes are missing");
            assert!(block[..length].iter().all(|&byte| byte == b'x'));
            left -= length;
        }
    });
    producer.join().unwrap();
    consumer.join().unwrap();
    assert_eq!(written.load(Ordering::Relaxed), BYTES);
}

#[test]
fn through_a_pipe_of_ours() {
    let _watchdog = support::watchdog();
    let (mut reader, mut writer) = pipe().unwrap();
    a_million_bytes(
        move |block| writer.write(block),
        move |block| reader.read(block),
    );
}

/// `make_nonblocking`, `nb_read` and `nb_write`.
#[test]
fn through_a_foreign_pipe_made_non_blocking() {
    let _watchdog = support::watchdog();
    let (reader, writer) = io::pipe().unwrap();
    let (mut reader, mut writer) = (Io::new(reader).unwrap(), Io::new(writer).unwrap());
    a_million_bytes(
        move |block| writer.write(block),
        move |block| reader.read(block),
    );
}

/// `tp_read` and `tp_write`: each call blocks a thread of the pool.
#[test]
fn through_a_blocking_pipe_on_the_pool() {
    let _watchdog = support::watchdog();
    let (reader, writer) = io::pipe().unwrap();
    let (reader, writer) = (Arc::new(reader), Arc::new(writer));
    a_million_bytes(
        move |block| {
            let (writer, block) = (writer.clone(), block.to_vec());
            unblock(move || (&*writer).write(&block))
        },
        move |block| {
            let (reader, mut room) = (reader.clone(), vec![0; block.len()]);
            let (length, room) = unblock(move || ((&*reader).read(&mut room), room));
            let length = length?;
            block[..length].copy_from_slice(&room[..length]);
            Ok(length)
        },
    );
}
