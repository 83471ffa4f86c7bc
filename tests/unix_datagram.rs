//! Unix datagram sockets are std's twins; and nothing that is sent is lost, however full the receiver.
#![allow(unsafe_code)] // `FromRawFd`, whose method is unsafe by definition.

mod support;

use std::io::{ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{self, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustlet::net::UnixDatagram;
use rustlet::{sleep, spawn, timeout, yield_now};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_millis(20);
const EBADF: Option<i32> = Some(9);

fn bound() -> (TempDir, PathBuf, UnixDatagram) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let socket = UnixDatagram::bind(&path).unwrap();
    (dir, path, socket)
}

/// Sends until the receiver's queue is full; returns how many went.
fn fill(path: &PathBuf) -> usize {
    let sender = UnixDatagram::unbound().unwrap();
    sender.set_nonblocking(true).unwrap();
    let mut count = 0;
    loop {
        match sender.send_to(b"fill", path) {
            Ok(_) => count += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                return count;
            }
        }
    }
}

#[test]
fn datagrams_come_with_their_senders() {
    let _watchdog = support::watchdog();
    let (_dir, path, socket) = bound();
    let (_other_dir, other_path, other) = bound();
    assert_eq!(
        socket.local_addr().unwrap().as_pathname(),
        Some(path.as_path())
    );
    let receiver = spawn(move || {
        let mut buf = [0; 16];
        let (len, peer) = socket.recv_from(&mut buf).unwrap(); // waits
        assert_eq!(&buf[..len], b"hello");
        socket.send_to_addr(b"and you", &peer).unwrap();
        let (len, peer) = socket.recv_from(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"from nobody");
        assert!(peer.is_unnamed());
        peer.as_pathname().map(PathBuf::from)
    });
    yield_now();
    assert_eq!(other.send_to(b"hello", &path).unwrap(), 5);
    let mut buf = [0; 16];
    let (len, peer) = other.recv_from(&mut buf).unwrap();
    assert_eq!(
        (&buf[..len], peer.as_pathname()),
        (&b"and you"[..], Some(&*path))
    );
    let nobody = UnixDatagram::unbound().unwrap();
    assert!(nobody.local_addr().unwrap().is_unnamed());
    nobody.send_to(b"from nobody", &path).unwrap();
    assert_eq!(receiver.join().unwrap(), None);
    drop(other_path);
}

#[test]
fn names_of_all_lengths_arrive() {
    use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketType};
    let _watchdog = support::watchdog();
    let (dir, path, socket) = bound();
    let base = dir.path().as_os_str().len() + 1;
    // 107 bytes are the most that std makes an address of; the kernel takes one more.
    for (length, named) in [(107, true), (108, false)] {
        let own = dir.path().join("c".repeat(length - base));
        let sender = rustix::net::socket(AddressFamily::UNIX, SocketType::DGRAM, None).unwrap();
        rustix::net::bind(&sender, &SocketAddrUnix::new(&own).unwrap()).unwrap();
        let to = SocketAddrUnix::new(&path).unwrap();
        rustix::net::sendto(&sender, b"long", SendFlags::empty(), &to).unwrap();
        let (len, peer) = socket.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(len, 4);
        assert_eq!(peer.as_pathname().is_some(), named);
        assert_eq!(peer.is_unnamed(), !named);
    }
    let name = SocketAddr::from_abstract_name([0xff; 107]).unwrap();
    let sender = UnixDatagram::bind_addr(&name).unwrap();
    sender.send_to(b"abstract", &path).unwrap();
    let (_, peer) = socket.recv_from(&mut [0; 8]).unwrap();
    assert_eq!(peer.as_abstract_name(), Some(&[0xff; 107][..]));
    socket.send_to_addr(b"back", &peer).unwrap();
    assert_eq!(sender.recv(&mut [0; 8]).unwrap(), 4);
    // Connected to that name, too.
    socket.connect_addr(&name).unwrap();
    assert_eq!(
        socket.peer_addr().unwrap().as_abstract_name(),
        Some(&[0xff; 107][..])
    );
    socket.send(b"again").unwrap();
    assert_eq!(sender.recv(&mut [0; 8]).unwrap(), 5);
}

#[test]
fn errors_are_stds() {
    let _watchdog = support::watchdog();
    let (dir, path, socket) = bound();
    let long = dir.path().join("x".repeat(108));
    let missing = dir.path().join("missing");
    let std_socket = net::UnixDatagram::unbound().unwrap();
    for (ours, stds) in [
        (
            UnixDatagram::bind(&long).unwrap_err(),
            net::UnixDatagram::bind(&long).unwrap_err(),
        ),
        (
            UnixDatagram::bind(&path).unwrap_err(),
            net::UnixDatagram::bind(&path).unwrap_err(),
        ),
        (
            socket.connect(&missing).unwrap_err(),
            std_socket.connect(&missing).unwrap_err(),
        ),
        (
            socket.send_to(b"", &long).unwrap_err(),
            std_socket.send_to(b"", &long).unwrap_err(),
        ),
        (
            socket.send_to(b"", &missing).unwrap_err(),
            std_socket.send_to(b"", &missing).unwrap_err(),
        ),
        (
            socket.send(b"").unwrap_err(),
            std_socket.send(b"").unwrap_err(),
        ),
        (
            socket.peer_addr().unwrap_err(),
            std_socket.peer_addr().unwrap_err(),
        ),
    ] {
        assert_eq!(ours.kind(), stds.kind());
        assert_eq!(ours.raw_os_error(), stds.raw_os_error());
        assert_eq!(ours.to_string(), stds.to_string());
    }
    let error = socket.send_to(&vec![0; 1 << 20], &path).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(90), "EMSGSIZE: {error}");
}

#[test]
fn empty_ones_count_and_long_ones_are_cut() {
    let _watchdog = support::watchdog();
    let (one, other) = UnixDatagram::pair().unwrap();
    one.send(&[]).unwrap();
    one.send(&[7; 1000]).unwrap();
    one.send(b"next").unwrap();
    let mut buf = [0; 10];
    assert_eq!(other.recv(&mut buf).unwrap(), 0);
    assert_eq!(other.peek(&mut buf).unwrap(), 10);
    assert_eq!(other.recv(&mut buf).unwrap(), 10);
    assert_eq!(other.recv(&mut buf).unwrap(), 4);
    let receiver = spawn(move || other.recv(&mut [0; 10]).unwrap());
    yield_now();
    assert!(!receiver.is_finished(), "nothing is left");
    one.send(&[]).unwrap();
    assert_eq!(receiver.join().unwrap(), 0);
}

/// Each of more senders than the queue has room for gets its datagrams through, though no event of their own
/// sockets tells them when.
#[test]
fn a_full_receiver_is_waited_for() {
    let _watchdog = support::watchdog();
    let each = 200 / support::slowdown().min(10) as usize;
    for connected in [false, true] {
        let (_dir, path, socket) = bound();
        let full = fill(&path);
        let senders = (0..8_u8).map(|n| {
            let path = path.clone();
            spawn(move || {
                let sender = UnixDatagram::unbound().unwrap();
                if connected {
                    sender.connect(&path).unwrap();
                }
                for round in 0..each {
                    let data = [n, round as u8];
                    let sent = match connected {
                        true => sender.send(&data).unwrap(),
                        false => sender.send_to(&data, &path).unwrap(),
                    };
                    assert_eq!(sent, 2);
                }
            })
        });
        let senders = Vec::from_iter(senders);
        sleep(LIMIT);
        assert!(senders.iter().all(|sender| !sender.is_finished()));
        for _ in 0..full {
            assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 4);
        }
        let mut next = [0; 8];
        for _ in 0..8 * each {
            let mut data = [0; 8];
            assert_eq!(socket.recv(&mut data).unwrap(), 2);
            let [n, round, ..] = data;
            assert_eq!(round, next[n as usize], "in order");
            next[n as usize] = round.wrapping_add(1);
        }
        for sender in senders {
            sender.join().unwrap();
        }
    }
}

/// It is not an idle wait in disguise.
#[test]
fn waiting_for_a_receiver_uses_no_processor() {
    if !support::is_child() {
        return support::child("waiting_for_a_receiver_uses_no_processor")
            .run()
            .assert_passed();
    }
    let (_dir, path, socket) = bound();
    fill(&path);
    let sender = {
        let path = path.clone();
        spawn(move || {
            let sender = UnixDatagram::unbound().unwrap();
            sender.send_to(b"last", path).unwrap()
        })
    };
    sleep(LIMIT);
    let (switches, cpu) = (rustlet::stats().switches, support::process_cpu_time());
    sleep(Duration::from_millis(300));
    let switches = rustlet::stats().switches - switches;
    assert!(switches < 5, "{switches} switches");
    let cpu = support::process_cpu_time() - cpu;
    assert!(
        cpu < Duration::from_millis(100) * support::slowdown(),
        "{cpu:?}"
    );
    assert!(!sender.is_finished());
    socket.recv(&mut [0; 8]).unwrap();
    assert_eq!(sender.join().unwrap(), 4);
}

#[test]
fn waits_for_a_full_receiver_end_otherwise() {
    let _watchdog = support::watchdog();
    let (_dir, path, socket) = bound();
    let full = fill(&path);
    // Out of time, killed, and on behalf of a caller whose time is up.
    for connected in [false, true] {
        let sender = Arc::new(UnixDatagram::unbound().unwrap());
        if connected {
            sender.connect(&path).unwrap();
        }
        let send = move |sender: &UnixDatagram, path: &PathBuf| match connected {
            true => sender.send(b"x"),
            false => sender.send_to(b"x", path),
        };
        sender.set_write_timeout(Some(LIMIT)).unwrap();
        let start = Instant::now();
        let error = send(&sender, &path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() >= LIMIT);
        sender.set_write_timeout(None).unwrap();
        assert!(timeout(LIMIT, || send(&sender, &path)).is_err());
        let killed = {
            let (sender, path) = (sender.clone(), path.clone());
            spawn(move || send(&sender, &path))
        };
        yield_now();
        killed.kill().unwrap();
        assert!(killed.join().unwrap_err().is_killed());
    }
    // None of them was sent.
    for _ in 0..full {
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 4);
    }
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 8]).is_err());
    // A receiver that goes.
    fill(&path);
    let senders = [false, true].map(|connected| {
        let path = path.clone();
        spawn(move || {
            let sender = UnixDatagram::unbound().unwrap();
            match connected {
                true => {
                    sender.connect(&path).unwrap();
                    sender.send(b"x").unwrap_err().kind()
                }
                false => sender.send_to(b"x", &path).unwrap_err().kind(),
            }
        })
    });
    sleep(LIMIT);
    assert!(senders.iter().all(|sender| !sender.is_finished()));
    drop(socket);
    for sender in senders {
        assert_eq!(sender.join().unwrap(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn close_wakes_receivers_and_senders() {
    let _watchdog = support::watchdog();
    for _ in 0..20 / support::slowdown().min(10) {
        let (one, other) = UnixDatagram::pair().unwrap();
        let one = Arc::new(one);
        let local = {
            let one = one.clone();
            spawn(move || one.recv(&mut [0]).unwrap_err().raw_os_error())
        };
        let clone = one.try_clone().unwrap();
        let of_clone = spawn(move || (clone.recv(&mut [0]), clone.recv_from(&mut [0])));
        let (send, ready) = mpsc::channel();
        let remote = {
            let one = one.clone();
            thread::spawn(move || {
                let waiter = spawn(move || one.recv_from(&mut [0]).unwrap_err().raw_os_error());
                yield_now();
                send.send(()).unwrap();
                waiter.join().unwrap()
            })
        };
        yield_now();
        ready.recv().unwrap();
        sleep(Duration::from_millis(2));
        assert!(!local.is_finished());
        one.close();
        assert_eq!(local.join().unwrap(), EBADF);
        assert_eq!(remote.join().unwrap(), EBADF);
        let (recv, recv_from) = of_clone.join().unwrap();
        assert_eq!(
            (recv.unwrap(), recv_from.unwrap().0),
            (0, 0),
            "it was shut down"
        );
        for error in [one.recv(&mut [0]).unwrap_err(), one.send(&[0]).unwrap_err()] {
            assert_eq!(error.raw_os_error(), EBADF);
        }
        one.close(); // again, harmlessly
        assert!(other.send(b"x").is_err());
    }
    // A sender that waits.
    let (_dir, path, _socket) = bound();
    let sender = Arc::new(UnixDatagram::unbound().unwrap());
    sender.connect(&path).unwrap();
    fill(&path);
    let waits = {
        let sender = sender.clone();
        spawn(move || sender.send(b"x").is_err())
    };
    sleep(LIMIT);
    assert!(!waits.is_finished());
    sender.close();
    assert!(waits.join().unwrap());
}

#[test]
fn shutting_down_ends_the_wait_after_what_is_there() {
    let _watchdog = support::watchdog();
    let (one, other) = UnixDatagram::pair().unwrap();
    let one = Arc::new(one);
    let receiver = {
        let one = one.clone();
        spawn(move || [(); 3].map(|()| one.recv(&mut [0; 8]).unwrap()))
    };
    yield_now();
    other.send(b"one").unwrap();
    one.shutdown(Shutdown::Read).unwrap();
    assert_eq!(receiver.join().unwrap(), [3, 0, 0]);
    assert_eq!(one.recv_with_fds(&mut [], &mut Vec::new(), 1).unwrap(), 0);
    other.shutdown(Shutdown::Write).unwrap();
    assert_eq!(other.send(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    one.send(b"the other way").unwrap();
    assert_eq!(other.recv(&mut [0; 16]).unwrap(), 13);
}

#[test]
fn a_peer_that_turns_away_is_an_error_and_not_the_end() {
    let _watchdog = support::watchdog();
    let (_dir, path, socket) = bound();
    let (one, other) = UnixDatagram::pair().unwrap();
    one.send(b"never read").unwrap(); // its loss is what the error is about
    let receiver = spawn(move || {
        let error = one.recv(&mut [0; 8]).unwrap_err().kind();
        let (dir, path, next) = bound();
        one.connect(&path).unwrap();
        next.connect_addr(&one.local_addr().unwrap()).unwrap_err(); // it has no name
        drop(dir);
        error
    });
    yield_now();
    other.connect(&path).unwrap();
    assert_eq!(receiver.join().unwrap(), ErrorKind::ConnectionReset);
    other.send(b"hello").unwrap();
    assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 5);
}

#[test]
fn timeouts_nonblocking_and_conversions() {
    let _watchdog = support::watchdog();
    let limit = Some(Duration::from_millis(700));
    let (one, other) = net::UnixDatagram::pair().unwrap();
    one.set_read_timeout(limit).unwrap();
    let one = UnixDatagram::from(one);
    assert_eq!(one.read_timeout().unwrap(), limit);
    one.set_read_timeout(Some(LIMIT)).unwrap();
    let start = Instant::now();
    for error in [
        one.recv(&mut [0]).unwrap_err(),
        one.recv_from(&mut [0]).unwrap_err(),
        one.peek(&mut [0]).unwrap_err(),
        one.wait_readable().unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    assert!(start.elapsed() >= LIMIT * 4);
    one.wait_writable().unwrap();
    let zero = Some(Duration::ZERO);
    assert!(one.set_read_timeout(zero).is_err() && one.set_write_timeout(zero).is_err());
    one.set_read_timeout(None).unwrap();
    one.set_nonblocking(true).unwrap();
    let error = one.recv(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    one.set_nonblocking(false).unwrap();
    assert!(one.take_error().unwrap().is_none());
    assert!(format!("{one:?}").starts_with("UnixDatagram { fd: "));

    let raw = one.as_raw_fd();
    let one = UnixDatagram::from(OwnedFd::from(one));
    assert_eq!(one.into_raw_fd(), raw);
    // SAFETY: `into_raw_fd` just gave the descriptor up.
    let one = unsafe { UnixDatagram::from_raw_fd(raw) };
    let other = UnixDatagram::from(other);
    let receiver = spawn(move || {
        one.recv(&mut [0; 8]).unwrap();
        one
    });
    yield_now();
    other
        .send_with_fds(&[IoSlice::new(b"gath"), IoSlice::new(b"ered")], &[])
        .unwrap();
    let one = receiver.join().unwrap();
    one.set_write_timeout(limit).unwrap();
    let one = net::UnixDatagram::from(one);
    assert_eq!(one.write_timeout().unwrap(), limit);
    // std's blocks, so the descriptor must.
    let sender = thread::spawn(move || {
        thread::sleep(LIMIT);
        other.send(b"3").unwrap();
    });
    assert_eq!(one.recv(&mut [0]).unwrap(), 1);
    sender.join().unwrap();
}

/// Sends to a full receiver in its destructor.
struct Farewell(UnixDatagram, PathBuf, mpsc::Sender<usize>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let sent = self.0.send_to(b"farewell", &self.1).unwrap();
        self.2.send(sent).unwrap();
    }
}

#[test]
fn nothing_suspends_while_unwinding() {
    let _watchdog = support::watchdog();
    let (_dir, path, socket) = bound();
    let full = fill(&path);
    let reader = thread::spawn(move || {
        thread::sleep(LIMIT);
        for _ in 0..full {
            socket.recv(&mut [0; 8]).unwrap();
        }
        socket.recv(&mut [0; 8]).unwrap()
    });
    let (send, sent) = mpsc::channel();
    let farewell = Farewell(UnixDatagram::unbound().unwrap(), path, send);
    let killed = spawn(move || {
        let _farewell = farewell;
        sleep(Duration::from_secs(1000));
    });
    yield_now();
    let before = rustlet::stats().switches;
    killed.kill().unwrap();
    assert!(killed.join().unwrap_err().is_killed());
    assert_eq!(sent.recv().unwrap(), 8);
    assert!(rustlet::stats().switches - before < 10, "it blocked");
    assert_eq!(reader.join().unwrap(), 8);
}
