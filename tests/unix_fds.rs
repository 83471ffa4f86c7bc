//! Descriptors that are passed over Unix sockets: all arrive, and what cannot arrive is closed.

mod support;

use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustlet::net::{UnixDatagram, UnixStream};
use rustlet::{spawn, yield_now};

/// Both kinds of sockets that pass descriptors.
trait Passes {
    fn give(&self, data: &[u8], fds: &[BorrowedFd<'_>]) -> std::io::Result<usize>;
    fn get(&self, buf: &mut [u8], fds: &mut Vec<OwnedFd>, limit: usize) -> std::io::Result<usize>;
}

impl Passes for UnixStream {
    fn give(&self, data: &[u8], fds: &[BorrowedFd<'_>]) -> std::io::Result<usize> {
        self.send_with_fds(&[IoSlice::new(data)], fds)
    }
    fn get(&self, buf: &mut [u8], fds: &mut Vec<OwnedFd>, limit: usize) -> std::io::Result<usize> {
        self.recv_with_fds(&mut [IoSliceMut::new(buf)], fds, limit)
    }
}

impl Passes for UnixDatagram {
    fn give(&self, data: &[u8], fds: &[BorrowedFd<'_>]) -> std::io::Result<usize> {
        self.send_with_fds(&[IoSlice::new(data)], fds)
    }
    fn get(&self, buf: &mut [u8], fds: &mut Vec<OwnedFd>, limit: usize) -> std::io::Result<usize> {
        self.recv_with_fds(&mut [IoSliceMut::new(buf)], fds, limit)
    }
}

fn both(test: impl Fn(Box<dyn Passes + Send>, Box<dyn Passes + Send>)) {
    let (one, other) = UnixStream::pair().unwrap();
    test(Box::new(one), Box::new(other));
    let (one, other) = UnixDatagram::pair().unwrap();
    test(Box::new(one), Box::new(other));
}

fn in_child(name: &str, test: impl FnOnce()) {
    match support::is_child() {
        true => test(),
        false => support::child(name).run().assert_passed(),
    }
}

#[test]
fn what_arrives_is_the_same_file() {
    let _watchdog = support::watchdog();
    both(|one, other| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let receiver = spawn(move || {
            let (mut buf, mut fds) = ([0; 8], Vec::new());
            assert_eq!(other.get(&mut buf, &mut fds, 4).unwrap(), 3); // waits
            assert_eq!((&buf[..3], fds.len()), (&b"abc"[..], 2));
            for fd in &fds {
                let flags = rustix::io::fcntl_getfd(fd).unwrap();
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            }
            let mut file = File::from(fds.pop().unwrap());
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            let mut stream = UnixStream::from(fds.pop().unwrap());
            stream.write_all(text.as_bytes()).unwrap();
            other
        });
        yield_now();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"in the file").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        one.give(b"abc", &[theirs.as_fd(), file.as_fd()]).unwrap();
        drop(theirs); // the other side has one of its own
        let mut text = String::new();
        (&ours).read_to_string(&mut text).unwrap();
        assert_eq!(text, "in the file");
        let other = receiver.join().unwrap();
        // Data without descriptors, received by those who expect some; and the other way round.
        one.give(b"plain", &[]).unwrap();
        let (mut buf, mut fds) = ([0; 8], Vec::new());
        assert_eq!(other.get(&mut buf, &mut fds, 4).unwrap(), 5);
        assert!(fds.is_empty());
    });
}

#[test]
fn as_many_as_the_kernel_takes() {
    let _watchdog = support::watchdog();
    both(|one, other| {
        let file = File::open("/dev/null").unwrap();
        let many = vec![file.as_fd(); 253];
        let mut fds = Vec::new();
        one.give(b"x", &many).unwrap();
        assert_eq!(other.get(&mut [0], &mut fds, 1000).unwrap(), 1);
        assert_eq!(fds.len(), 253);
        let too_many = vec![file.as_fd(); 254];
        let error = one.give(b"x", &too_many).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
    // A stream has no place for descriptors without a byte; a datagram has.
    let file = File::open("/dev/null").unwrap();
    let (stream, _peer) = UnixStream::pair().unwrap();
    let error = stream.give(b"", &[file.as_fd()]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let (one, other) = UnixDatagram::pair().unwrap();
    one.give(b"", &[file.as_fd()]).unwrap();
    let mut fds = Vec::new();
    assert_eq!(other.get(&mut [0], &mut fds, 1).unwrap(), 0);
    assert_eq!(fds.len(), 1);
}

#[test]
fn more_than_asked_for_is_an_error_that_closes_them() {
    in_child("more_than_asked_for_is_an_error_that_closes_them", || {
        both(|one, other| {
            let file = File::open("/dev/null").unwrap();
            let mut fds = vec![OwnedFd::from(File::open("/dev/null").unwrap())];
            let before = support::open_fds();
            // The alignment of the buffer has room for one more than an odd number: that is caught, too.
            for (sent, limit) in [(1, 0), (2, 1), (3, 1), (4, 3), (20, 3), (253, 252)] {
                one.give(b"some", &vec![file.as_fd(); sent]).unwrap();
                let error = other.get(&mut [0; 4], &mut fds, limit).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{sent} {limit}");
                assert_eq!(fds.len(), 1, "untouched");
                // The emulator keeps for itself what it cannot hand on.
                if !support::emulated() {
                    assert_eq!(support::open_fds(), before, "{sent} {limit}");
                }
            }
            // The socket goes on.
            one.give(b"more", &[file.as_fd()]).unwrap();
            let mut buf = [0; 4];
            assert_eq!(other.get(&mut buf, &mut fds, 1).unwrap(), 4);
            assert_eq!((&buf, fds.len()), (b"more", 2));
        });
    });
}

#[test]
fn what_a_plain_read_drops_is_closed() {
    in_child("what_a_plain_read_drops_is_closed", || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (one, other) = UnixStream::pair().unwrap();
        let before = support::open_fds();
        one.give(b"x", &[theirs.as_fd()]).unwrap();
        drop(theirs);
        (&other).read_exact(&mut [0]).unwrap();
        assert_eq!(support::open_fds(), before - 1);
        assert_eq!((&ours).read(&mut [0]).unwrap(), 0, "nobody has it any more");
        // And what nobody reads is closed with the socket that it waits in.
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (one, other) = UnixDatagram::pair().unwrap();
        one.give(b"x", &[theirs.as_fd()]).unwrap();
        drop((theirs, one));
        ours.send(b"it is in the queue").unwrap();
        drop(other);
        assert_eq!(
            ours.send(b"x").unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    });
}

#[test]
fn want_of_descriptors_is_an_error_that_closes_what_came() {
    in_child(
        "want_of_descriptors_is_an_error_that_closes_what_came",
        || {
            both(|one, other| {
                let file = File::open("/dev/null").unwrap();
                let before = support::open_fds();
                one.give(b"x", &[file.as_fd(); 10]).unwrap();
                one.give(b"y", &[file.as_fd()]).unwrap();
                // Room for three.
                let highest = {
                    let probe = File::open("/dev/null").unwrap();
                    std::os::fd::AsRawFd::as_raw_fd(&probe) as u64
                };
                let old = rustix::process::getrlimit(Resource::Nofile);
                let limit = Rlimit {
                    current: Some(highest + 3),
                    maximum: old.maximum,
                };
                setrlimit(Resource::Nofile, limit).unwrap();
                let mut fds = Vec::new();
                let error = other.get(&mut [0], &mut fds, 10).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData);
                assert!(fds.is_empty());
                assert_eq!(other.get(&mut [0], &mut fds, 10).unwrap(), 1);
                assert_eq!(fds.len(), 1);
                fds.clear();
                setrlimit(Resource::Nofile, old).unwrap();
                assert_eq!(support::open_fds(), before);
            });
        },
    );
}

#[test]
fn kills_and_timeouts_leak_nothing() {
    in_child("kills_and_timeouts_leak_nothing", || {
        let file = File::open("/dev/null").unwrap();
        let mut before = 0;
        for round in 0..200 / support::slowdown() {
            if round == 2 {
                before = support::open_fds(); // epoll and the rest are there
            }
            let (one, other) = UnixStream::pair().unwrap();
            other
                .set_read_timeout(Some(Duration::from_micros(50)))
                .unwrap();
            let error = other.get(&mut [0], &mut Vec::new(), 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            other.set_read_timeout(None).unwrap();
            let receiver = spawn(move || {
                let mut fds = Vec::new();
                other.get(&mut [0; 4], &mut fds, 3).unwrap();
                other.get(&mut [0; 4], &mut fds, 3).unwrap();
            });
            yield_now();
            one.give(b"x", &[file.as_fd(); 2]).unwrap();
            if round % 2 == 0 {
                rustlet::sleep(Duration::from_micros(100));
            }
            receiver.kill().unwrap();
            assert!(receiver.join().unwrap_err().is_killed());
        }
        assert_eq!(support::open_fds(), before);
    });
}
