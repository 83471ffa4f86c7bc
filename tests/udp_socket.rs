//! UDP sockets are std's twins: each method, conversion and error does what std's does.
#![allow(unsafe_code)] // `FromRawFd`, whose method is unsafe by definition.

mod support;

use std::io::ErrorKind;
use std::net::{self, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use rustlet::net::UdpSocket;
use rustlet::{spawn, yield_now};

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

/// Two sockets that are connected to each other.
fn pair() -> (UdpSocket, UdpSocket) {
    let ((one, first), (other, second)) = (bound(), bound());
    one.connect(second).unwrap();
    other.connect(first).unwrap();
    (one, other)
}

#[test]
fn datagrams_come_with_their_senders() {
    let _watchdog = support::watchdog();
    let ((one, first), (other, second)) = (bound(), bound());
    let receiver = spawn(move || {
        let mut buf = [0; 16];
        let (len, peer) = other.peek_from(&mut buf).unwrap(); // waits
        assert_eq!((len, peer), (5, first));
        assert_eq!(other.recv_from(&mut buf).unwrap(), (5, first));
        assert_eq!(&buf[..5], b"hello");
        other.send_to(b"and you", peer).unwrap();
    });
    yield_now();
    assert_eq!(one.send_to(b"hello", second).unwrap(), 5);
    let mut buf = [0; 16];
    assert_eq!(one.recv_from(&mut buf).unwrap(), (7, second));
    assert_eq!(&buf[..7], b"and you");
    receiver.join().unwrap();
}

#[test]
fn connected_ones_send_and_receive() {
    let _watchdog = support::watchdog();
    let (one, other) = pair();
    assert_eq!(one.peer_addr().unwrap(), other.local_addr().unwrap());
    let (stranger, _) = bound();
    let echo = spawn(move || {
        let mut buf = [0; 16];
        let len = other.peek(&mut buf).unwrap();
        assert_eq!(other.recv(&mut buf).unwrap(), len);
        other.send(&buf[..len]).unwrap();
    });
    yield_now();
    // What others send does not reach a connected socket.
    stranger
        .send_to(b"not me", one.local_addr().unwrap())
        .unwrap();
    assert_eq!(one.send(b"abc").unwrap(), 3);
    let mut buf = [0; 16];
    assert_eq!(one.recv(&mut buf).unwrap(), 3);
    assert_eq!(&buf[..3], b"abc");
    echo.join().unwrap();
    let (unconnected, _) = bound();
    assert_eq!(
        unconnected.peer_addr().unwrap_err().kind(),
        ErrorKind::NotConnected
    );
    assert!(unconnected.send(b"to whom?").is_err());
}

#[test]
fn empty_ones_count_and_long_ones_are_cut() {
    let _watchdog = support::watchdog();
    let (one, other) = pair();
    for _ in 0..3 {
        one.send(&[]).unwrap();
    }
    one.send(&[7; 1000]).unwrap();
    one.send(b"next").unwrap();
    let mut buf = [0; 10];
    for _ in 0..3 {
        assert_eq!(other.recv(&mut buf).unwrap(), 0);
    }
    let (len, _) = other.peek_from(&mut buf).unwrap();
    assert_eq!(len, 10);
    assert_eq!(other.recv(&mut buf).unwrap(), 10);
    assert_eq!(
        other.recv(&mut buf).unwrap(),
        4,
        "the rest of the long one is lost"
    );
    // Without any room, too; and one that is too long is not sent at all.
    one.send(b"gone").unwrap();
    assert_eq!(other.recv(&mut []).unwrap(), 0);
    let error = one.send(&vec![0; 70_000]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE: {error}");
    let receiver = spawn(move || other.recv(&mut [0; 10]).unwrap());
    yield_now();
    assert!(!receiver.is_finished(), "nothing is left");
    one.send(&[]).unwrap();
    assert_eq!(receiver.join().unwrap(), 0, "an empty one wakes, too");
}

/// A burst: after a datagram that was read, another one may be there, of which no news will come.
#[test]
fn bursts_arrive_whole_and_in_order() {
    let _watchdog = support::watchdog();
    const BURST: u8 = 50;
    let (one, other) = pair();
    let receiver = spawn(move || {
        for round in 0..20 {
            for n in 0..BURST {
                let mut buf = [0; 100];
                assert_eq!(other.recv(&mut buf).unwrap(), 2 + usize::from(n));
                assert_eq!((buf[0], buf[1]), (round, n));
            }
            other.send(b"got them").unwrap();
        }
    });
    for round in 0..20 {
        for n in 0..BURST {
            let mut data = vec![0; 2 + usize::from(n)];
            (data[0], data[1]) = (round, n);
            one.send(&data).unwrap();
        }
        one.recv(&mut [0; 10]).unwrap();
    }
    receiver.join().unwrap();
}

#[test]
fn nobody_there_is_an_error_of_a_connected_socket() {
    let _watchdog = support::watchdog();
    let (gone, addr) = bound();
    drop(gone);
    let (two, _) = bound();
    two.connect(addr).unwrap();
    let clone = two.try_clone().unwrap();
    let waiter = spawn(move || clone.recv(&mut [0; 10]).map_err(|error| error.kind()));
    yield_now();
    two.send(b"anybody?").unwrap();
    assert_eq!(waiter.join().unwrap(), Err(ErrorKind::ConnectionRefused));
    // An error is not the end: the socket goes on.
    let (peer, addr) = bound();
    two.connect(addr).unwrap();
    peer.connect(two.local_addr().unwrap()).unwrap();
    for n in 1..5 {
        let waiter = spawn({
            let two = two.try_clone().unwrap();
            move || two.recv(&mut [0; 10]).unwrap()
        });
        yield_now();
        peer.send(&vec![0; n]).unwrap();
        assert_eq!(waiter.join().unwrap(), n);
    }
}

#[test]
fn addresses_are_tried_and_debug_shows_them() {
    let _watchdog = support::watchdog();
    let (one, addr) = bound();
    let text = format!("{one:?}");
    assert!(text.starts_with("UdpSocket { addr: 127.0.0.1:"), "{text}");
    assert_eq!(
        UdpSocket::bind(addr).unwrap_err().kind(),
        ErrorKind::AddrInUse
    );
    let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let second = UdpSocket::bind(&[addr, free][..]).unwrap();
    assert_ne!(second.local_addr().unwrap(), addr);
    let none: &[SocketAddr] = &[];
    for error in [
        UdpSocket::bind(none).unwrap_err(),
        one.connect(none).unwrap_err(),
        one.send_to(b"", none).unwrap_err(),
        one.send_to(b"", "no address").unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    second
        .send_to(b"by name", ("127.0.0.1", addr.port()))
        .unwrap();
    assert_eq!(one.recv(&mut [0; 10]).unwrap(), 7);
}

#[test]
fn version_6_too() {
    let _watchdog = support::watchdog();
    let Ok(one) = UdpSocket::bind("[::1]:0") else {
        return println!("skipped: no IPv6 loopback here");
    };
    let other = UdpSocket::bind("[::1]:0").unwrap();
    other.send_to(b"six", one.local_addr().unwrap()).unwrap();
    let (len, peer) = one.recv_from(&mut [0; 8]).unwrap();
    assert_eq!((len, peer), (3, other.local_addr().unwrap()));
    one.set_multicast_loop_v6(false).unwrap();
    assert!(!one.multicast_loop_v6().unwrap());
    let group: Ipv6Addr = "ff02::123".parse().unwrap();
    match one.join_multicast_v6(&group, 1) {
        Ok(()) => one.leave_multicast_v6(&group, 1).unwrap(),
        Err(error) => println!("no IPv6 multicast here: {error}"),
    }
}

#[test]
fn options() {
    let _watchdog = support::watchdog();
    let (socket, _) = bound();
    for on in [true, false] {
        socket.set_broadcast(on).unwrap();
        assert_eq!(socket.broadcast().unwrap(), on);
        socket.set_multicast_loop_v4(on).unwrap();
        assert_eq!(socket.multicast_loop_v4().unwrap(), on);
    }
    socket.set_ttl(42).unwrap();
    assert_eq!(socket.ttl().unwrap(), 42);
    socket.set_multicast_ttl_v4(7).unwrap();
    assert_eq!(socket.multicast_ttl_v4().unwrap(), 7);
    assert!(socket.take_error().unwrap().is_none());
    let flags = rustix::io::fcntl_getfd(&socket).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let local = Ipv4Addr::LOCALHOST;
    socket.join_multicast_v4(&group, &local).unwrap();
    assert!(socket.join_multicast_v4(&group, &local).is_err(), "twice");
    socket.leave_multicast_v4(&group, &local).unwrap();
    assert!(socket.leave_multicast_v4(&group, &local).is_err());
    assert!(socket.join_multicast_v4(&local, &local).is_err());
}

#[test]
fn timeouts_are_kept_and_zero_is_refused() {
    let _watchdog = support::watchdog();
    let (socket, _) = bound();
    assert_eq!(socket.read_timeout().unwrap(), None);
    let limit = Some(Duration::from_millis(1500));
    socket.set_read_timeout(limit).unwrap();
    socket.set_write_timeout(limit).unwrap();
    let zero = Some(Duration::ZERO);
    for error in [
        socket.set_read_timeout(zero).unwrap_err(),
        socket.set_write_timeout(zero).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let clone = socket.try_clone().unwrap();
    assert_eq!(clone.read_timeout().unwrap(), limit);
    assert_eq!(clone.write_timeout().unwrap(), limit);
}

#[test]
fn nonblocking_fails_instead_of_waiting() {
    let _watchdog = support::watchdog();
    let (one, other) = pair();
    one.set_nonblocking(true).unwrap();
    for error in [
        one.recv(&mut [0]).unwrap_err(),
        one.recv_from(&mut [0]).unwrap_err(),
        one.peek(&mut [0]).unwrap_err(),
        one.peek_from(&mut [0]).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    one.set_nonblocking(false).unwrap();
    let receiver = spawn(move || one.recv(&mut [0]).unwrap());
    yield_now();
    other.send(b"x").unwrap();
    receiver.join().unwrap();
}

#[test]
fn converts_from_and_into_std_and_descriptors() {
    let _watchdog = support::watchdog();
    let limit = Some(Duration::from_millis(700));
    let (peer, addr) = bound();
    let socket = net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(limit).unwrap();
    let socket = UdpSocket::from(socket);
    assert_eq!(
        socket.read_timeout().unwrap(),
        limit,
        "std's limits are kept"
    );
    socket.connect(addr).unwrap();
    peer.connect(socket.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(None).unwrap();
    // Waits, so that it is registered; and its numbers stay the same on all ways.
    let raw = socket.as_raw_fd();
    assert_eq!(socket.as_fd().as_raw_fd(), raw);
    let receiver = spawn(move || {
        socket.recv(&mut [0]).unwrap();
        socket
    });
    yield_now();
    peer.send(b"1").unwrap();
    let socket = UdpSocket::from(OwnedFd::from(receiver.join().unwrap()));
    assert_eq!(socket.as_raw_fd(), raw);
    assert_eq!(socket.into_raw_fd(), raw);
    // SAFETY: `into_raw_fd` just gave the descriptor up.
    let socket = unsafe { UdpSocket::from_raw_fd(raw) };
    let receiver = spawn(move || {
        socket.recv(&mut [0]).unwrap();
        socket
    });
    yield_now();
    peer.send(b"2").unwrap();
    let socket = receiver.join().unwrap();
    socket.set_write_timeout(limit).unwrap();
    let socket = net::UdpSocket::from(socket);
    assert_eq!(socket.write_timeout().unwrap(), limit);
    // std's blocks, so the descriptor must.
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        peer.send(b"3").unwrap();
    });
    assert_eq!(socket.recv(&mut [0]).unwrap(), 1);
    sender.join().unwrap();
}
