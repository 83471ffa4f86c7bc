//! Greenlets that wait for UDP sockets: closed under them, out of time, killed, on several threads, and not
//! at all while unwinding.

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustlet::net::UdpSocket;
use rustlet::{sleep, spawn, timeout, yield_now};

const LIMIT: Duration = Duration::from_millis(20);
const EBADF: Option<i32> = Some(9);

fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    (socket, addr)
}

#[test]
fn close_wakes_waiters_of_this_and_other_threads() {
    let _watchdog = support::watchdog();
    for connected in [false, true] {
        for _ in 0..20 / support::slowdown().min(10) {
            let (socket, addr) = bound();
            if connected {
                socket.connect(addr).unwrap(); // to itself
            }
            let socket = Arc::new(socket);
            let local = {
                let socket = socket.clone();
                spawn(move || socket.recv(&mut [0]).unwrap_err().raw_os_error())
            };
            // One that waits for a clone, whose descriptor is another one.
            let clone = socket.try_clone().unwrap();
            let of_clone = spawn(move || {
                let error = clone.recv_from(&mut [0]).unwrap_err().raw_os_error();
                let later = clone.send_to(b"x", addr).unwrap_err().raw_os_error();
                (error, later)
            });
            let (send, ready) = mpsc::channel();
            let remote = {
                let socket = socket.clone();
                thread::spawn(move || {
                    let waiter = spawn(move || socket.peek(&mut [0]).unwrap_err().raw_os_error());
                    yield_now();
                    send.send(()).unwrap();
                    waiter.join().unwrap()
                })
            };
            yield_now();
            ready.recv().unwrap();
            sleep(Duration::from_millis(2));
            assert!(!local.is_finished() && !of_clone.is_finished());
            socket.close();
            assert_eq!(local.join().unwrap(), EBADF);
            assert_eq!(remote.join().unwrap(), EBADF);
            assert_eq!(of_clone.join().unwrap(), (EBADF, EBADF));
            for error in [
                socket.recv(&mut [0]).unwrap_err(),
                socket.send_to(b"x", addr).unwrap_err(),
                socket.wait_readable().unwrap_err(),
                socket.wait_writable().unwrap_err(),
            ] {
                assert_eq!(error.raw_os_error(), EBADF, "later operations fail");
            }
            socket.close(); // again, harmlessly
        }
    }
}

#[test]
fn a_closed_clone_that_never_waited_fails_too() {
    let _watchdog = support::watchdog();
    let (socket, addr) = bound();
    let clone = socket.try_clone().unwrap();
    clone.send_to(b"waiting in the queue", addr).unwrap();
    socket.close();
    assert_eq!(clone.recv(&mut [0]).unwrap_err().raw_os_error(), EBADF);
    assert_eq!(clone.wait_readable().unwrap_err().raw_os_error(), EBADF);
    clone.set_nonblocking(true).unwrap();
    assert_eq!(clone.recv(&mut [0]).unwrap_err().raw_os_error(), EBADF);
    drop((socket, clone));
    UdpSocket::bind(addr).expect("the port is free again");
}

#[test]
fn a_receive_that_gets_nothing_ends() {
    let _watchdog = support::watchdog();
    let (socket, addr) = bound();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut buf = [0; 8];
    for _ in 0..3 {
        for receive in [
            (|socket, buf| socket.recv(buf).map(drop)) as fn(&UdpSocket, &mut [u8]) -> _,
            |socket, buf| socket.recv_from(buf).map(drop),
            |socket, buf| socket.peek(buf).map(drop),
            |socket, buf| socket.peek_from(buf).map(drop),
            |socket, _| socket.wait_readable(),
        ] {
            let start = Instant::now();
            let error = receive(&socket, &mut buf).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            assert!(start.elapsed() >= LIMIT);
        }
    }
    // Nothing of that is left behind.
    socket.set_read_timeout(None).unwrap();
    let receiver = spawn(move || socket.recv(&mut [0; 8]).unwrap());
    yield_now();
    bound().0.send_to(b"late", addr).unwrap();
    assert_eq!(receiver.join().unwrap(), 4);
}

#[test]
fn what_comes_in_time_is_not_hit() {
    let _watchdog = support::watchdog();
    let (socket, addr) = bound();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let sender = spawn(move || {
        let (sender, _) = bound();
        for n in 0..10 {
            sleep(Duration::from_millis(1));
            sender.send_to(&vec![0; n], addr).unwrap();
        }
    });
    for n in 0..10 {
        socket.wait_readable().unwrap();
        assert_eq!(socket.recv(&mut [0; 16]).unwrap(), n);
    }
    sender.join().unwrap();
}

#[test]
fn kills_and_timeouts_of_the_receiver_lose_nothing() {
    let _watchdog = support::watchdog();
    let (socket, addr) = bound();
    let socket = Arc::new(socket);
    let (sender, _) = bound();
    for round in 0..100_usize / support::slowdown() as usize {
        let victim = {
            let socket = socket.clone();
            spawn(move || socket.recv(&mut [0; 256]))
        };
        let survivor = {
            let socket = socket.clone();
            spawn(move || socket.recv(&mut [0; 256]).unwrap())
        };
        yield_now();
        assert!(timeout(Duration::from_micros(50), || socket.recv(&mut [0])).is_err());
        let killed = round % 2 == 0;
        if killed {
            victim.kill().unwrap();
        }
        sender.send_to(&vec![0; round], addr).unwrap();
        if !killed {
            sender.send_to(&vec![0; round], addr).unwrap();
            assert_eq!(victim.join().unwrap().unwrap(), round);
        } else {
            assert!(victim.join().unwrap_err().is_killed());
        }
        assert_eq!(survivor.join().unwrap(), round);
    }
}

#[test]
fn several_threads_use_one_socket() {
    let _watchdog = support::watchdog();
    let count = 400 / support::slowdown() as usize;
    let (server, addr) = bound();
    let server = Arc::new(server);
    let hubs = [(); 3].map(|()| {
        let server = server.clone();
        thread::spawn(move || {
            let greenlets = [(); 3].map(|()| {
                let server = server.clone();
                spawn(move || {
                    let mut buf = [0; 16];
                    let mut served = 0;
                    while let Ok((len, peer)) = server.recv_from(&mut buf) {
                        server.send_to(&buf[..len], peer).unwrap();
                        served += 1;
                    }
                    served
                })
            });
            greenlets
                .map(|greenlet| greenlet.join().unwrap())
                .iter()
                .sum::<usize>()
        })
    });
    // As many requests under way as fit any receive buffer, so that none is dropped.
    let clients = (0..8_u8).map(|n| {
        spawn(move || {
            let (client, _) = bound();
            client.connect(addr).unwrap();
            for round in 0..count / 8 {
                let request = [n, round as u8];
                client.send(&request).unwrap();
                let mut answer = [0; 16];
                assert_eq!(client.recv(&mut answer).unwrap(), 2);
                assert_eq!(answer[..2], request);
            }
        })
    });
    for client in Vec::from_iter(clients) {
        client.join().unwrap();
    }
    server.close();
    let served: usize = hubs.map(|hub| hub.join().unwrap()).iter().sum();
    assert_eq!(served, count / 8 * 8);
}

/// Receives and sends in its destructor.
struct Farewell(UdpSocket, mpsc::Sender<usize>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.send(b"bye").unwrap();
        let len = self.0.recv(&mut [0; 16]).unwrap();
        self.1.send(len).unwrap();
    }
}

#[test]
fn nothing_suspends_while_unwinding() {
    let _watchdog = support::watchdog();
    let ((ours, our_addr), (theirs, addr)) = (bound(), bound());
    ours.connect(addr).unwrap();
    theirs.connect(our_addr).unwrap();
    let peer = thread::spawn(move || {
        assert_eq!(theirs.recv(&mut [0; 16]).unwrap(), 3);
        thread::sleep(LIMIT); // the other side waits meanwhile
        theirs.send(b"farewell").unwrap();
    });
    let (send, received) = mpsc::channel();
    let farewell = Farewell(ours, send);
    let killed = spawn(move || {
        let _farewell = farewell;
        sleep(Duration::from_secs(1000));
    });
    let others = spawn(|| rustlet::stats().switches);
    yield_now();
    let before = others.join().unwrap();
    killed.kill().unwrap();
    assert!(killed.join().unwrap_err().is_killed());
    assert_eq!(received.recv().unwrap(), 8);
    let after = rustlet::stats().switches;
    assert!(after - before < 10, "the thread blocked, as it should");
    peer.join().unwrap();
}

/// A full send buffer: who sends waits, and goes on.
#[test]
fn floods_are_sent_whole() {
    let _watchdog = support::watchdog();
    let ((ours, our_addr), (theirs, addr)) = (bound(), bound());
    rustix::net::sockopt::set_socket_send_buffer_size(&ours, 4096).unwrap();
    ours.connect(addr).unwrap();
    theirs.connect(our_addr).unwrap();
    let count = 2_000 / support::slowdown();
    for _ in 0..count {
        assert_eq!(ours.send(&[1; 1000]).unwrap(), 1000);
    }
    // Loopback drops what the receiver has no room for; what is there is whole.
    theirs.set_nonblocking(true).unwrap();
    let mut received = 0;
    while let Ok(len) = theirs.recv(&mut [0; 2000]) {
        assert_eq!(len, 1000);
        received += 1;
    }
    assert!(received > 0);
}

#[test]
fn sockets_are_dropped_with_nobody_waiting() {
    let _watchdog = support::watchdog();
    // Registered here, dropped on another thread; its number is used again, and has no past.
    for _ in 0..200 / support::slowdown() {
        let (socket, _) = bound();
        socket
            .set_read_timeout(Some(Duration::from_micros(10)))
            .unwrap();
        assert!(socket.recv(&mut [0]).is_err());
        let (next, addr) = bound();
        thread::spawn(move || drop(socket)).join().unwrap();
        let receiver = spawn(move || next.recv(&mut [0; 4]).unwrap());
        yield_now();
        assert!(!receiver.is_finished());
        bound().0.send_to(b"x", addr).unwrap();
        assert_eq!(receiver.join().unwrap(), 1);
    }
}
