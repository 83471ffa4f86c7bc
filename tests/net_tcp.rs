//! TCP sockets are std's twins: each method, conversion and error does what std's does.
#![allow(unsafe_code)] // `FromRawFd`, whose method is unsafe by definition.

mod support;

use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{self, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::{Duration, Instant};

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{spawn, yield_now};

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, addr) = listener.accept().unwrap();
    assert_eq!(addr, client.local_addr().unwrap());
    (client, server)
}

/// An address of loopback that nobody listens on.
fn refusing() -> SocketAddr {
    // No other test is given a port of this one.
    let listener = net::TcpListener::bind("127.0.0.2:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn addresses_and_debug() {
    let _watchdog = support::watchdog();
    let (client, server) = pair();
    assert_eq!(client.peer_addr().unwrap(), server.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
    let text = format!("{client:?}");
    assert!(text.starts_with("TcpStream { addr: 127.0.0.1:"), "{text}");
    let text = format!("{:?}", TcpListener::bind("127.0.0.1:0").unwrap());
    assert!(text.starts_with("TcpListener { addr: 127.0.0.1:"), "{text}");
}

#[test]
fn version_6_too() {
    let _watchdog = support::watchdog();
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return println!("skipped: no IPv6 loopback here");
    };
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, addr) = listener.accept().unwrap();
    assert!(addr.is_ipv6());
    client.write_all(b"six").unwrap();
    let mut buffer = [0; 3];
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"six");
}

#[test]
fn reads_and_writes_plain_and_vectored() {
    let _watchdog = support::watchdog();
    let (mut client, mut server) = pair();
    let slices = [
        IoSlice::new(b"he"),
        IoSlice::new(b""),
        IoSlice::new(b"llo "),
        IoSlice::new(b"you"),
    ];
    assert_eq!(client.write_vectored(&slices).unwrap(), 9);
    client.flush().unwrap();
    let (mut a, mut b) = ([0; 4], [0; 8]);
    let mut slices = [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)];
    assert_eq!(server.read_vectored(&mut slices).unwrap(), 9);
    assert_eq!((&a, &b[..5]), (b"hell", &b"o you"[..]));

    // Shared references read and write, too; vectored waits like the rest.
    let waiting = spawn(move || {
        let mut c = [0; 2];
        let read = (&server)
            .read_vectored(&mut [IoSliceMut::new(&mut c)])
            .unwrap();
        let slices = [IoSlice::new(&c[..read])];
        assert_eq!((&server).write_vectored(&slices).unwrap(), read);
    });
    yield_now();
    (&client).write_all(b"ab").unwrap();
    let mut c = [0; 2];
    (&client).read_exact(&mut c).unwrap();
    assert_eq!(&c, b"ab");
    waiting.join().unwrap();
    assert_eq!(client.read(&mut c).unwrap(), 0);
    assert_eq!(client.read(&mut c).unwrap(), 0, "the end stays the end");
}

#[test]
fn peek_takes_nothing() {
    let _watchdog = support::watchdog();
    let (mut client, mut server) = pair();
    let peeker = spawn(move || {
        let mut buffer = [0; 8];
        assert_eq!(server.peek(&mut buffer).unwrap(), 3); // waits first
        assert_eq!(server.peek(&mut buffer).unwrap(), 3);
        assert_eq!(server.read(&mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"abc");
    });
    yield_now();
    client.write_all(b"abc").unwrap();
    peeker.join().unwrap();
}

#[test]
fn options() {
    let _watchdog = support::watchdog();
    let (client, _server) = pair();
    for on in [true, false] {
        client.set_nodelay(on).unwrap();
        assert_eq!(client.nodelay().unwrap(), on);
    }
    client.set_ttl(42).unwrap();
    assert_eq!(client.ttl().unwrap(), 42);
    assert!(client.take_error().unwrap().is_none());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_ttl(43).unwrap();
    assert_eq!(listener.ttl().unwrap(), 43);
    assert!(listener.take_error().unwrap().is_none());
    let flags = rustix::io::fcntl_getfd(&client).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
fn timeouts_are_kept_and_zero_is_refused() {
    let _watchdog = support::watchdog();
    let (client, _server) = pair();
    assert_eq!(client.read_timeout().unwrap(), None);
    let limit = Some(Duration::from_millis(1500));
    client.set_read_timeout(limit).unwrap();
    client.set_write_timeout(limit).unwrap();
    assert_eq!(client.read_timeout().unwrap(), limit);
    assert_eq!(client.write_timeout().unwrap(), limit);
    let zero = Some(Duration::ZERO);
    let error = client.set_read_timeout(zero).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let error = client.set_write_timeout(zero).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(client.read_timeout().unwrap(), limit);
    assert_eq!(client.try_clone().unwrap().read_timeout().unwrap(), limit);
    client.set_read_timeout(None).unwrap();
    assert_eq!(client.read_timeout().unwrap(), None);
}

#[test]
fn nonblocking_fails_instead_of_waiting() {
    let _watchdog = support::watchdog();
    let (mut client, mut server) = pair();
    client.set_nonblocking(true).unwrap();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let block = vec![0; 1 << 20];
    let error = loop {
        match client.write(&block) {
            Ok(written) => assert!(written > 0),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    server.write_all(b"x").unwrap();
    client.set_nonblocking(false).unwrap();
    client.read_exact(&mut [0]).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn converts_from_and_into_std() {
    let _watchdog = support::watchdog();
    let (client, server) = support::tcp_pair::<net::TcpStream>();
    let limit = Some(Duration::from_millis(700));
    client.set_read_timeout(limit).unwrap();
    let mut client = TcpStream::from(client);
    assert_eq!(
        client.read_timeout().unwrap(),
        limit,
        "std's limits are kept"
    );
    let mut server = TcpStream::from(server);
    let echo = spawn(move || {
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        server.write_all(&byte).unwrap();
        net::TcpStream::from(server)
    });
    client.write_all(b"1").unwrap();
    client.read_exact(&mut [0]).unwrap(); // waits, so it is registered
    let mut server = echo.join().unwrap();
    client.set_write_timeout(limit).unwrap();
    let client = net::TcpStream::from(client);
    assert_eq!(client.read_timeout().unwrap(), limit);
    assert_eq!(client.write_timeout().unwrap(), limit);
    // std's blocks, so the descriptor must.
    let peer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        (&client).write_all(b"2").unwrap();
    });
    server.read_exact(&mut [0]).unwrap();
    peer.join().unwrap();

    let listener = TcpListener::from(net::TcpListener::bind("127.0.0.1:0").unwrap());
    let addr = listener.local_addr().unwrap();
    let acceptor = spawn(move || {
        listener.accept().unwrap();
        net::TcpListener::from(listener)
    });
    let _client = TcpStream::connect(addr).unwrap();
    let listener = acceptor.join().unwrap();
    let client = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        net::TcpStream::connect(addr).unwrap()
    });
    listener.accept().unwrap();
    client.join().unwrap();
}

#[test]
fn converts_from_and_into_descriptors() {
    let _watchdog = support::watchdog();
    let (client, mut server) = pair();
    let raw = client.as_raw_fd();
    assert_eq!(client.as_fd().as_raw_fd(), raw);
    let client = TcpStream::from(OwnedFd::from(client));
    assert_eq!(client.as_raw_fd(), raw);
    assert_eq!(client.into_raw_fd(), raw);
    // SAFETY: `into_raw_fd` just gave the descriptor up.
    let mut client = unsafe { TcpStream::from_raw_fd(raw) };
    let reader = spawn(move || client.read_exact(&mut [0]).unwrap());
    yield_now();
    server.write_all(b"x").unwrap();
    reader.join().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let listener = TcpListener::from(OwnedFd::from(listener));
    let raw = listener.into_raw_fd();
    // SAFETY: as above.
    let listener = unsafe { TcpListener::from_raw_fd(raw) };
    assert_eq!(listener.as_raw_fd(), raw);
    let acceptor = spawn(move || listener.accept().unwrap());
    yield_now();
    TcpStream::connect(addr).unwrap();
    acceptor.join().unwrap();
}

#[test]
fn clones_share_the_connection() {
    let _watchdog = support::watchdog();
    let (client, mut server) = pair();
    let clone = client.try_clone().unwrap();
    assert_ne!(clone.as_raw_fd(), client.as_raw_fd());
    // Both wait for input at once, and one of them gets it.
    let readers = [client, clone].map(|stream| {
        spawn(move || {
            let mut byte = [0];
            (&stream).read_exact(&mut byte).unwrap();
            byte[0]
        })
    });
    yield_now();
    server.write_all(b"ab").unwrap();
    let mut got = readers.map(|reader| reader.join().unwrap());
    got.sort_unstable();
    assert_eq!(&got, b"ab");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let clone = listener.try_clone().unwrap();
    let acceptors = [listener, clone].map(|listener| spawn(move || listener.accept().unwrap()));
    yield_now();
    let _clients = [(); 2].map(|()| TcpStream::connect(addr).unwrap());
    for acceptor in acceptors {
        acceptor.join().unwrap();
    }
}

#[test]
fn several_greenlets_wait_for_one_socket() {
    let _watchdog = support::watchdog();
    let listener = std::sync::Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let addr = listener.local_addr().unwrap();
    let acceptors = Vec::from_iter((0..10).map(|_| {
        let listener = listener.clone();
        spawn(move || listener.accept().unwrap())
    }));
    yield_now();
    // One is killed while it waits: the others get everything.
    acceptors[3].kill().unwrap();
    let clients = Vec::from_iter((0..9).map(|_| TcpStream::connect(addr).unwrap()));
    let accepted = acceptors.into_iter().filter_map(|a| a.join().ok());
    assert_eq!(accepted.count(), clients.len());
}

#[test]
fn incoming_iterates() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let client = spawn(move || Vec::from_iter((0..4).map(|_| TcpStream::connect(addr).unwrap())));
    for stream in listener.incoming().take(2) {
        assert!(stream.unwrap().peer_addr().unwrap().ip().is_loopback());
    }
    assert_eq!(
        listener
            .into_incoming()
            .take(2)
            .filter_map(Result::ok)
            .count(),
        2
    );
    client.join().unwrap();
}

#[test]
fn connecting_to_nobody_is_refused() {
    let _watchdog = support::watchdog();
    let error = TcpStream::connect(refusing()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let error = TcpStream::connect_timeout(&refusing(), Duration::from_secs(30)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let in_greenlet = spawn(|| TcpStream::connect(refusing()).unwrap_err().kind());
    assert_eq!(in_greenlet.join().unwrap(), ErrorKind::ConnectionRefused);
}

#[test]
fn connect_timeout_gives_up() {
    let _watchdog = support::watchdog();
    let (full, _queued) = support::full_listener();
    let addr = full.local_addr().unwrap();
    let limit = Duration::from_millis(50);
    let start = Instant::now();
    let error = TcpStream::connect_timeout(&addr, limit).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= limit);
    let error = TcpStream::connect_timeout(&addr, Duration::ZERO).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn connect_and_bind_try_each_address() {
    let _watchdog = support::watchdog();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let stream = TcpStream::connect(&[refusing(), refusing(), addr][..]).unwrap();
    assert_eq!(stream.peer_addr().unwrap(), addr);
    let error = TcpStream::connect(&[refusing(), refusing()][..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let none: &[SocketAddr] = &[];
    assert_eq!(
        TcpStream::connect(none).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    assert_eq!(
        TcpListener::bind(none).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );

    let error = TcpListener::bind(addr).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let second = TcpListener::bind(&[addr, free][..]).unwrap();
    assert_ne!(second.local_addr().unwrap(), addr);
}

#[test]
fn what_is_no_address_is_invalid() {
    let _watchdog = support::watchdog();
    for text in ["127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999", ""] {
        let error = TcpStream::connect(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}: {error}");
    }
    // All the forms that std takes.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    TcpStream::connect(addr.to_string()).unwrap();
    TcpStream::connect((String::from("127.0.0.1"), addr.port())).unwrap();
    TcpStream::connect((addr.ip(), addr.port())).unwrap();
    TcpStream::connect(addr).unwrap();
}

#[test]
fn shutdown_of_what_is_not_connected_fails_as_in_std() {
    let _watchdog = support::watchdog();
    let (client, server) = pair();
    server.shutdown(Shutdown::Both).unwrap();
    drop(server);
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);
    client.shutdown(Shutdown::Both).unwrap();
    let error: io::Error = client.shutdown(Shutdown::Both).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
}
