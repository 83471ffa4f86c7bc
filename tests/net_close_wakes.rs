//! `close` wakes whoever waits for the socket, on every hub; and a descriptor's number that is used
//! again brings nothing of its former life with it.

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{sleep, spawn, spawn_local, yield_now};

/// What a greenlet inside `wait` gets when `close` is called, here or on another thread.
fn woken<S: Send + Sync + 'static, T: Send + 'static>(
    socket: Arc<S>,
    wait: fn(&S) -> T,
    close: fn(&S),
) -> [T; 2] {
    // On the closing thread's own hub, and on another one's; both wait.
    let local = {
        let socket = socket.clone();
        spawn(move || wait(&socket))
    };
    let (send, ready) = mpsc::channel();
    let remote = {
        let socket = socket.clone();
        thread::spawn(move || {
            let waiter = spawn(move || wait(&socket));
            yield_now();
            send.send(()).unwrap();
            waiter.join().unwrap()
        })
    };
    yield_now();
    ready.recv().unwrap();
    sleep(Duration::from_millis(2));
    assert!(!local.is_finished());
    close(&socket);
    [local.join().unwrap(), remote.join().unwrap()]
}

#[test]
fn close_wakes_readers() {
    let _watchdog = support::watchdog();
    for _ in 0..50 / support::slowdown() {
        let (ours, mut theirs) = support::tcp_pair::<TcpStream>();
        let ours = Arc::new(ours);
        let results = woken(
            ours.clone(),
            |mut stream| matches!(stream.read(&mut [0]), Ok(0) | Err(_)),
            TcpStream::close,
        );
        assert_eq!(results, [true, true]);
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the peer sees the end");
        assert!((&*ours).read(&mut [0]).is_err(), "later operations fail");
        assert!((&*ours).write(&[0]).is_err());
        ours.close(); // again, harmlessly
    }
}

#[test]
fn close_wakes_writers() {
    let _watchdog = support::watchdog();
    for _ in 0..10 / support::slowdown() {
        let (ours, _theirs) = support::tcp_pair::<TcpStream>();
        let results = woken(
            Arc::new(ours),
            |mut stream| stream.write_all(&vec![0; 64 << 20]).is_err(),
            TcpStream::close,
        );
        assert_eq!(results, [true, true]);
    }
}

#[test]
fn close_wakes_acceptors() {
    let _watchdog = support::watchdog();
    for _ in 0..50 / support::slowdown() {
        // An address of its own: no other test is given the port that the close gives back.
        let listener = Arc::new(TcpListener::bind("127.0.0.2:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let results = woken(
            listener.clone(),
            |listener| listener.accept().unwrap_err().raw_os_error(),
            TcpListener::close,
        );
        // Also of the other hub, which may have seen the end of listening by itself.
        assert_eq!(results, [Some(libc::EBADF); 2]);
        let error = TcpStream::connect(addr).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(listener.accept().is_err());
    }
}

#[test]
fn close_ends_a_servers_loop() {
    let _watchdog = support::watchdog();
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let addr = listener.local_addr().unwrap();
    let server = {
        let listener = listener.clone();
        spawn(move || listener.incoming().map_while(Result::ok).count())
    };
    for _ in 0..3 {
        // The loop drops what it has accepted.
        let mut stream = TcpStream::connect(addr).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
    listener.close();
    assert_eq!(server.join().unwrap(), 3);
}

#[test]
fn closing_a_clone_ends_the_connection_for_all() {
    let _watchdog = support::watchdog();
    let (ours, _theirs) = support::tcp_pair::<TcpStream>();
    let clone = ours.try_clone().unwrap();
    let reader = spawn(move || matches!((&ours).read(&mut [0]), Ok(0) | Err(_)));
    yield_now();
    clone.close();
    assert!(reader.join().unwrap());
}

#[test]
fn dropping_a_clone_changes_nothing_for_the_other() {
    let _watchdog = support::watchdog();
    let (ours, mut theirs) = support::tcp_pair::<TcpStream>();
    let clone = ours.try_clone().unwrap();
    // Both are registered, and the dropped one's number is free for others.
    clone
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    assert!((&clone).read(&mut [0]).is_err());
    ours.set_read_timeout(None).unwrap();
    let reader = spawn(move || (&ours).read_exact(&mut [0]).unwrap());
    yield_now();
    drop(clone);
    yield_now();
    assert!(!reader.is_finished());
    theirs.write_all(b"x").unwrap();
    reader.join().unwrap();
}

#[test]
fn a_number_used_again_has_no_past() {
    let _watchdog = support::watchdog();
    let mut last = None;
    let mut reused = 0;
    for round in 0..2_000 / support::slowdown() {
        let (ours, theirs) = support::tcp_pair::<TcpStream>();
        let fd = ours.as_raw_fd();
        reused += usize::from(last.replace(fd) == Some(fd));
        let duplicate = rustix::io::dup(&ours).unwrap(); // keeps the old file, and its events, alive
        let reader = spawn(move || (&ours).read(&mut [0; 8]).map_err(|error| error.kind()));
        yield_now();
        // Its life ends in different ways, with news for it still on the way.
        match round % 4 {
            0 => reader.kill().unwrap(),
            1 => {
                (&theirs).write_all(b"too late").unwrap();
                reader.kill().unwrap();
            }
            2 => {
                (&theirs).write_all(b"in time").unwrap();
                assert_eq!(reader.join().unwrap(), Ok(7));
            }
            _ => {
                drop(theirs);
                assert_eq!(reader.join().unwrap(), Ok(0));
            }
        }
        // A silent socket, likely with that number: nothing may wake its reader.
        let (silent, mut speaks) = support::tcp_pair::<TcpStream>();
        silent
            .set_read_timeout(Some(Duration::from_micros(100)))
            .unwrap();
        let timed_out = Rc::new(Cell::new(false));
        let done = timed_out.clone();
        let quiet = spawn_local(move || {
            let early = (&silent).read(&mut [0; 8]).map_err(|error| error.kind());
            done.set(true);
            silent.set_read_timeout(None).unwrap();
            (early, (&silent).read(&mut [0; 8]).unwrap())
        });
        while !timed_out.get() {
            sleep(Duration::from_micros(50));
        }
        drop(duplicate);
        speaks.write_all(b"x").unwrap();
        let results = quiet.join().unwrap();
        assert_eq!(results, (Err(ErrorKind::WouldBlock), 1));
    }
    assert!(
        reused > 0,
        "no number was used again; this test has tested nothing"
    );
}

#[test]
fn sockets_are_dropped_on_other_threads_while_their_home_goes_on() {
    let _watchdog = support::watchdog();
    let (send, receive) = mpsc::channel::<TcpStream>();
    let dropper = thread::spawn(move || receive.into_iter().count());
    let count = 1_000 / support::slowdown() as usize;
    for _ in 0..count {
        let (ours, theirs) = support::tcp_pair::<TcpStream>();
        ours.set_read_timeout(Some(Duration::from_micros(1)))
            .unwrap();
        let _ = (&ours).read(&mut [0]); // registers it here
        send.send(ours).unwrap();
        let reader = spawn(move || (&theirs).read(&mut [0]).unwrap());
        // A bystander that may well get the slot of the one that is being dropped.
        let (silent, mut speaks) = support::tcp_pair::<TcpStream>();
        let bystander = spawn(move || (&silent).read(&mut [0]).map_err(|error| error.kind()));
        // The end of the stream arrives whenever the other thread drops its side.
        assert_eq!(reader.join().unwrap(), 0);
        speaks.write_all(b"x").unwrap();
        assert_eq!(bystander.join().unwrap(), Ok(1));
    }
    drop(send);
    assert_eq!(dropper.join().unwrap(), count);
}

/// One thread closes at the moment in which another begins to wait.
#[test]
fn close_races_with_the_first_wait() {
    let _watchdog = support::watchdog();
    for round in 0..2_000_u32 / support::slowdown() {
        let (ours, _theirs) = support::tcp_pair::<TcpStream>();
        let (other, mut speaks) = support::tcp_pair::<TcpStream>();
        let ours = Arc::new(ours);
        let closing = ours.clone();
        let closer = thread::spawn(move || {
            for _ in 0..round % 64 * 8 {
                std::hint::spin_loop();
            }
            closing.close();
        });
        // A bystander, registered before: a close that goes astray would hit it.
        let bystander = spawn(move || (&other).read(&mut [0]).map_err(|error| error.kind()));
        let reader = spawn(move || matches!((&*ours).read(&mut [0]), Ok(0) | Err(_)));
        assert!(reader.join().unwrap());
        speaks.write_all(b"x").unwrap();
        assert_eq!(bystander.join().unwrap(), Ok(1));
        closer.join().unwrap();
    }
}
