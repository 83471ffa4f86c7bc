//! `splice` with the other types that wait: Unix sockets, files of this library, and descriptors of other people.

mod support;

use std::io::{Read, Seek, Write};
use std::net::Shutdown;

use rustlet::io::{Io, pipe, send_file, splice};
use rustlet::net::UnixStream;
use rustlet::spawn;

const LENGTH: usize = 1 << 20;

fn bytes() -> Vec<u8> {
    (0..LENGTH).map(|n| (n % 253) as u8).collect()
}

fn file() -> std::fs::File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes()).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn unix_streams() {
    let _watchdog = support::watchdog();
    let (mut feed, from) = UnixStream::pair().unwrap();
    let (to, mut sink) = UnixStream::pair().unwrap();
    let feeder = spawn(move || {
        feed.write_all(&bytes())?;
        feed.shutdown(Shutdown::Write)
    });
    let splicer = spawn(move || splice(&from, &to));
    let mut all = Vec::new();
    sink.read_to_end(&mut all).unwrap();
    assert!(all == bytes());
    assert_eq!(splicer.join().unwrap().unwrap(), LENGTH as u64);
    feeder.join().unwrap().unwrap();
}

#[test]
fn files_of_ours() {
    let _watchdog = support::watchdog();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("copy");
    let to = rustlet::fs::File::create(&path).unwrap();
    let from = rustlet::fs::File::from(file());
    assert_eq!(splice(&from, &to).unwrap(), LENGTH as u64);
    assert!(std::fs::read(&path).unwrap() == bytes());

    let (sink, mut to) = UnixStream::pair().unwrap();
    let sender = spawn(move || {
        let mut offset = 100;
        send_file(&to, &from, &mut offset, 1 << 40)?;
        to.flush()
    });
    let mut sink = sink;
    let mut all = Vec::new();
    sink.read_to_end(&mut all).unwrap();
    sender.join().unwrap().unwrap();
    assert!(all == bytes()[100..]);
}

#[test]
fn wrapped_descriptors() {
    let _watchdog = support::watchdog();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let from = Io::new(reader).unwrap();
    let feeder = std::thread::spawn(move || writer.write_all(&bytes()));
    let (mut sink, to) = pipe().unwrap();
    let to = Io::new(std::os::fd::OwnedFd::from(to)).unwrap();
    let splicer = spawn(move || splice(&from, &to));
    let mut all = Vec::new();
    sink.read_to_end(&mut all).unwrap();
    assert!(all == bytes());
    assert_eq!(splicer.join().unwrap().unwrap(), LENGTH as u64);
    feeder.join().unwrap().unwrap();
}
