//! Unix streams and listeners are std's twins: each method, conversion and error does what std's does.
#![allow(unsafe_code)] // `FromRawFd`, whose method is unsafe by definition.

mod support;

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use rustlet::net::{UnixListener, UnixStream};
use rustlet::{spawn, yield_now};
use tempfile::TempDir;

/// A directory for sockets, and the path of one in it.
fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    (dir, path)
}

#[test]
fn connects_by_path_and_tells_the_addresses() {
    let _watchdog = support::watchdog();
    let (_dir, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(
        listener.local_addr().unwrap().as_pathname(),
        Some(path.as_path())
    );
    let server = spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap(); // waits
        assert!(peer.is_unnamed());
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        stream.write_all(text.to_uppercase().as_bytes()).unwrap();
    });
    yield_now();
    let mut client = UnixStream::connect(&path).unwrap();
    assert_eq!(
        client.peer_addr().unwrap().as_pathname(),
        Some(path.as_path())
    );
    assert!(client.local_addr().unwrap().is_unnamed());
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "HELLO");
    assert_eq!(client.read(&mut [0; 4]).unwrap(), 0, "the end stays");
    server.join().unwrap();
    assert!(path.exists(), "the file stays, as std's does");
    assert_eq!(
        UnixStream::connect(&path).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn abstract_names_need_no_file() {
    let _watchdog = support::watchdog();
    // As long as a name may be, with zero bytes, and not text.
    let mut name = format!("rustlet\0{}\0", std::process::id()).into_bytes();
    name.resize(107, 0xff);
    let addr = SocketAddr::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&addr).unwrap();
    assert_eq!(
        listener.local_addr().unwrap().as_abstract_name(),
        Some(&*name)
    );
    let client = UnixStream::connect_addr(&addr).unwrap();
    assert_eq!(client.peer_addr().unwrap().as_abstract_name(), Some(&*name));
    let (_stream, peer) = listener.accept().unwrap();
    assert!(peer.is_unnamed());
    drop(listener);
    assert_eq!(
        UnixStream::connect_addr(&addr).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
}

#[test]
fn peers_that_are_bound_are_named() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    let _watchdog = support::watchdog();
    let (dir, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    // 107 bytes are the most that std makes an address of; the kernel takes one more, and reports it.
    let base = dir.path().as_os_str().len() + 1;
    for length in [107, 108] {
        let own = dir.path().join("c".repeat(length - base));
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&own).unwrap()).unwrap();
        rustix::net::connect(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        let (_stream, peer) = listener.accept().unwrap();
        assert_eq!(peer.as_pathname(), Some(own.as_path()));
    }
}

#[test]
fn errors_are_stds() {
    let _watchdog = support::watchdog();
    let (dir, path) = place();
    let long = dir.path().join("x".repeat(108));
    for (ours, stds) in [
        (
            UnixStream::connect(&path).unwrap_err(),
            net::UnixStream::connect(&path).unwrap_err(),
        ),
        (
            UnixStream::connect(&long).unwrap_err(),
            net::UnixStream::connect(&long).unwrap_err(),
        ),
        (
            UnixListener::bind(&long).unwrap_err(),
            net::UnixListener::bind(&long).unwrap_err(),
        ),
        (
            UnixStream::connect("a\0b").unwrap_err(),
            net::UnixStream::connect("a\0b").unwrap_err(),
        ),
        (
            UnixStream::connect("").unwrap_err(),
            net::UnixStream::connect("").unwrap_err(),
        ),
        (
            UnixListener::bind(dir.path()).unwrap_err(),
            net::UnixListener::bind(dir.path()).unwrap_err(),
        ),
    ] {
        assert_eq!(ours.kind(), stds.kind());
        assert_eq!(ours.raw_os_error(), stds.raw_os_error());
        assert_eq!(ours.to_string(), stds.to_string());
    }
    let _listener = UnixListener::bind(&path).unwrap();
    assert_eq!(
        UnixListener::bind(&path).unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
}

#[test]
fn reads_and_writes_plain_and_vectored() {
    let _watchdog = support::watchdog();
    let (mut one, mut other) = UnixStream::pair().unwrap();
    let slices = [IoSlice::new(b"he"), IoSlice::new(b""), IoSlice::new(b"llo")];
    assert_eq!(one.write_vectored(&slices).unwrap(), 5);
    one.flush().unwrap();
    let mut peeked = [0; 8];
    assert_eq!(other.peek(&mut peeked).unwrap(), 5);
    let (mut a, mut b) = ([0; 4], [0; 8]);
    let mut slices = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
    assert_eq!(other.read_vectored(&mut slices).unwrap(), 5);
    assert_eq!((&a, &b[..1]), (b"hell", &b"o"[..]));

    // Shared references, too; and each of them waits.
    let waiting = spawn(move || {
        let mut c = [0; 2];
        assert_eq!(other.peek(&mut c).unwrap(), 2);
        let read = (&other)
            .read_vectored(&mut [IoSliceMut::new(&mut c)])
            .unwrap();
        let slices = [IoSlice::new(&c[..read])];
        assert_eq!((&other).write_vectored(&slices).unwrap(), read);
    });
    yield_now();
    (&one).write_all(b"ab").unwrap();
    let mut c = [0; 2];
    (&one).read_exact(&mut c).unwrap();
    assert_eq!(&c, b"ab");
    waiting.join().unwrap();
    assert_eq!(one.read(&mut c).unwrap(), 0);
    assert_eq!(
        one.write(b"x").unwrap_err().kind(),
        ErrorKind::BrokenPipe,
        "no signal"
    );
}

#[test]
fn halves_end_one_by_one() {
    let _watchdog = support::watchdog();
    for _ in 0..100 / support::slowdown() {
        let (one, other) = UnixStream::pair().unwrap();
        let reader = spawn(move || {
            let mut buf = [0; 100];
            let first = (&one).read(&mut buf).unwrap();
            let end = (&one).read(&mut buf).unwrap();
            (&one).write_all(b"still here").unwrap();
            (first, end)
        });
        yield_now();
        // The data and the end in one go are two reads.
        (&other).write_all(b"last words").unwrap();
        other.shutdown(Shutdown::Write).unwrap();
        assert_eq!(reader.join().unwrap(), (10, 0));
        let mut text = String::new();
        (&other).read_to_string(&mut text).unwrap();
        assert_eq!(text, "still here");
    }
}

#[test]
fn options_and_credentials() {
    let _watchdog = support::watchdog();
    let (one, other) = UnixStream::pair().unwrap();
    assert!(one.take_error().unwrap().is_none());
    for fd in [one.as_fd(), other.as_fd()] {
        let flags = rustix::io::fcntl_getfd(fd).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        let flags = rustix::fs::fcntl_getfl(fd).unwrap();
        assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
    }
    let cred = one.peer_cred().unwrap();
    assert_eq!(cred.pid, Some(std::process::id() as i32));
    assert_eq!(cred.uid, rustix::process::geteuid().as_raw());
    assert_eq!(cred.gid, rustix::process::getegid().as_raw());
    // One that never had a peer.
    let lone = net::UnixDatagram::unbound().unwrap();
    let lone = UnixStream::from(OwnedFd::from(lone));
    assert_eq!(
        lone.peer_cred().unwrap_err().kind(),
        ErrorKind::NotConnected
    );

    let (_dir, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    assert!(listener.take_error().unwrap().is_none());
    let flags = rustix::io::fcntl_getfd(&listener).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    assert!(format!("{listener:?}").starts_with("UnixListener { fd: "));
    assert!(format!("{one:?}").starts_with("UnixStream { fd: "));

    assert_eq!(one.read_timeout().unwrap(), None);
    let limit = Some(Duration::from_millis(1500));
    one.set_read_timeout(limit).unwrap();
    one.set_write_timeout(limit).unwrap();
    let zero = Some(Duration::ZERO);
    for error in [
        one.set_read_timeout(zero).unwrap_err(),
        one.set_write_timeout(zero).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let clone = one.try_clone().unwrap();
    assert_eq!(clone.read_timeout().unwrap(), limit);
    assert_eq!(clone.write_timeout().unwrap(), limit);
}

#[test]
fn nonblocking_fails_instead_of_waiting() {
    let _watchdog = support::watchdog();
    let (mut one, mut other) = UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    assert_eq!(
        one.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    let block = vec![0; 1 << 20];
    let error = loop {
        match one.write(&block) {
            Ok(written) => assert!(written > 0),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    one.set_nonblocking(false).unwrap();
    other.write_all(b"x").unwrap();
    one.read_exact(&mut [0]).unwrap();

    let (_dir, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn converts_from_and_into_std_and_descriptors() {
    let _watchdog = support::watchdog();
    let (one, other) = net::UnixStream::pair().unwrap();
    let limit = Some(Duration::from_millis(700));
    one.set_read_timeout(limit).unwrap();
    let mut one = UnixStream::from(one);
    assert_eq!(one.read_timeout().unwrap(), limit, "std's limits are kept");
    one.set_read_timeout(None).unwrap();
    let mut other = UnixStream::from(other);
    let echo = spawn(move || {
        let mut byte = [0];
        other.read_exact(&mut byte).unwrap();
        other.write_all(&byte).unwrap();
        net::UnixStream::from(other)
    });
    one.write_all(b"1").unwrap();
    one.read_exact(&mut [0]).unwrap(); // waits, so it is registered
    let mut other = echo.join().unwrap();
    let raw = one.as_raw_fd();
    let one = UnixStream::from(OwnedFd::from(one));
    assert_eq!(one.into_raw_fd(), raw);
    // SAFETY: `into_raw_fd` just gave the descriptor up.
    let one = unsafe { UnixStream::from_raw_fd(raw) };
    one.set_write_timeout(limit).unwrap();
    let one = net::UnixStream::from(one);
    assert_eq!(one.write_timeout().unwrap(), limit);
    // std's blocks, so the descriptor must.
    let peer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        (&one).write_all(b"2").unwrap();
    });
    other.read_exact(&mut [0]).unwrap();
    peer.join().unwrap();

    let (_dir, path) = place();
    let listener = UnixListener::from(net::UnixListener::bind(&path).unwrap());
    let raw = listener.as_raw_fd();
    let listener = UnixListener::from(OwnedFd::from(listener));
    assert_eq!(listener.into_raw_fd(), raw);
    // SAFETY: as above.
    let listener = unsafe { UnixListener::from_raw_fd(raw) };
    let acceptor = spawn(move || {
        listener.accept().unwrap();
        net::UnixListener::from(listener)
    });
    yield_now();
    let _client = UnixStream::connect(&path).unwrap();
    let listener = acceptor.join().unwrap();
    let client = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        net::UnixStream::connect(path).unwrap()
    });
    listener.accept().unwrap();
    client.join().unwrap();
}

#[test]
fn clones_and_greenlets_share_a_listener() {
    let _watchdog = support::watchdog();
    let (_dir, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let clone = listener.try_clone().unwrap();
    let acceptors = [listener, clone].map(|listener| {
        spawn(move || {
            let mut streams = Vec::new();
            for stream in (&listener).into_iter().take(3) {
                streams.push(stream.unwrap());
            }
            streams.extend(listener.incoming().take(2).map(Result::unwrap));
            streams.len()
        })
    });
    yield_now();
    let clients = Vec::from_iter((0..10).map(|_| UnixStream::connect(&path).unwrap()));
    for acceptor in acceptors {
        assert_eq!(acceptor.join().unwrap(), 5);
    }
    drop(clients);
}

/// The `use` line of a ported program is all that changes.
#[test]
fn stds_paths_are_there() {
    use rustlet::os::unix::net::{Incoming, UnixDatagram, UnixListener, UnixStream};
    let _watchdog = support::watchdog();
    fn first(mut incoming: Incoming<'_>) -> UnixStream {
        incoming.next().unwrap().unwrap()
    }
    let (_dir, path) = place();
    let listener = UnixListener::bind(&path).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
    first(listener.incoming());
    UnixDatagram::unbound().unwrap();
}
