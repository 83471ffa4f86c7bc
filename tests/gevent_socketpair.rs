//! gevent's `test__socketpair.py`: what was sent before its sender closed is there for a buffered reader, whose descriptor may be
//! another one.

mod support;

use std::io::{BufReader, Read, Write};
use std::os::fd::AsFd;

use rustlet::net::UnixStream;

const TEXT: &str = "hello world";

#[test]
fn what_was_sent_before_the_close_is_read() {
    let _watchdog = support::watchdog();
    let (mut one, other) = UnixStream::pair().unwrap();
    one.write_all(TEXT.as_bytes()).unwrap();
    drop(one);
    let mut read = String::new();
    BufReader::new(other).read_to_string(&mut read).unwrap();
    assert_eq!(read, TEXT);
}

/// `fromfd`, which duplicates: the originals may go.
#[test]
fn duplicates_of_the_descriptors_are_sockets_of_their_own() {
    let _watchdog = support::watchdog();
    let (one, other) = UnixStream::pair().unwrap();
    let again = |socket: UnixStream| {
        let duplicate = socket.as_fd().try_clone_to_owned().unwrap();
        drop(socket);
        UnixStream::from(duplicate)
    };
    let (mut one, other) = (again(one), again(other));
    let reader = rustlet::spawn(move || {
        let mut read = String::new();
        BufReader::new(other).read_to_string(&mut read).unwrap();
        read
    });
    rustlet::yield_now(); // it waits
    one.write_all(TEXT.as_bytes()).unwrap();
    drop(one);
    assert_eq!(reader.join().unwrap(), TEXT);
}
