//! Greenlets that wait for Unix streams and listeners: closed under them, out of time, killed, on several
//! threads, and not at all while unwinding.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustlet::net::{UnixListener, UnixStream};
use rustlet::{sleep, spawn, yield_now};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_millis(20);

fn listener() -> (TempDir, PathBuf, UnixListener) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    (dir, path, listener)
}

/// What a greenlet inside `wait` gets when `close` is called: on the same thread, and on another.
fn woken<S: Send + Sync + 'static, T: Send + 'static>(
    socket: Arc<S>,
    wait: fn(&S) -> T,
    close: fn(&S),
) -> [T; 2] {
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
fn close_wakes_readers_and_writers() {
    let _watchdog = support::watchdog();
    for _ in 0..20 / support::slowdown().min(10) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let ours = Arc::new(ours);
        let results = woken(
            ours.clone(),
            |mut stream| matches!(stream.read(&mut [0]), Ok(0) | Err(_)),
            UnixStream::close,
        );
        assert_eq!(results, [true, true]);
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0, "the peer sees the end");
        assert!((&*ours).read(&mut [0]).is_err(), "later operations fail");
        assert!((&*ours).write(&[0]).is_err());
        assert!(ours.wait_readable().is_err() && ours.wait_writable().is_err());
        ours.close(); // again, harmlessly

        let (ours, _theirs) = UnixStream::pair().unwrap();
        let results = woken(
            Arc::new(ours),
            |mut stream| stream.write_all(&vec![0; 16 << 20]).is_err(),
            UnixStream::close,
        );
        assert_eq!(results, [true, true]);
    }
}

#[test]
fn close_wakes_acceptors_also_those_of_clones() {
    let _watchdog = support::watchdog();
    for _ in 0..20 / support::slowdown().min(10) {
        let (_dir, path, listener) = listener();
        let clone = listener.try_clone().unwrap();
        let listener = Arc::new(listener);
        let of_clone = spawn(move || [(); 2].map(|()| clone.accept().unwrap_err().raw_os_error()));
        let results = woken(
            listener.clone(),
            |listener| listener.accept().unwrap_err().raw_os_error(),
            UnixListener::close,
        );
        assert_eq!(results, [Some(libc::EBADF); 2]);
        assert_eq!(of_clone.join().unwrap(), [Some(libc::EINVAL); 2]);
        assert!(listener.accept().is_err());
        let error = UnixStream::connect(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}

#[test]
fn close_ends_those_who_wait_in_the_backlog() {
    let _watchdog = support::watchdog();
    let (_dir, path, listener) = listener();
    let clients = [(); 5].map(|()| UnixStream::connect(&path).unwrap());
    listener.close();
    for client in &clients {
        // The end, or a reset; but not a wait.
        assert!(matches!((&*client).read(&mut [0]), Ok(0) | Err(_)));
    }
}

#[test]
fn a_peer_that_goes_is_noticed() {
    let _watchdog = support::watchdog();
    for unread in [false, true] {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let ours = Arc::new(ours);
        if unread {
            (&*ours).write_all(b"nobody reads this").unwrap();
        }
        let reader = {
            let ours = ours.clone();
            spawn(move || (&*ours).read(&mut [0; 8]).map_err(|error| error.kind()))
        };
        let writer = spawn(move || (&*ours).write_all(&vec![0; 16 << 20]).unwrap_err().kind());
        yield_now();
        drop(theirs);
        // The kernel says to one of the two, first come first served, that something was lost.
        let (read, written) = (reader.join().unwrap(), writer.join().unwrap());
        assert!(
            matches!(read, Ok(0) | Err(ErrorKind::ConnectionReset)),
            "{read:?}"
        );
        assert!(
            matches!(written, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset),
            "{written:?}"
        );
    }
}

#[test]
fn shutting_down_ones_own_side_wakes_those_who_wait_on_it() {
    let _watchdog = support::watchdog();
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let ours = Arc::new(ours);
    let (reading, writing) = (ours.clone(), ours.clone());
    let reader = spawn(move || (&*reading).read(&mut [0]).unwrap());
    yield_now();
    ours.shutdown(Shutdown::Read).unwrap();
    assert_eq!(reader.join().unwrap(), 0);
    let writer = spawn(move || {
        (&*writing)
            .write_all(&vec![0; 16 << 20])
            .unwrap_err()
            .kind()
    });
    yield_now();
    assert!(!writer.is_finished());
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
}

#[test]
fn what_runs_out_of_time_ends_and_leaves_nothing_behind() {
    let _watchdog = support::watchdog();
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(LIMIT)).unwrap();
    ours.set_write_timeout(Some(LIMIT)).unwrap();
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(
            ours.read(&mut [0]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        assert!(start.elapsed() >= LIMIT);
        assert!(ours.peek(&mut [0]).is_err());
        assert!(ours.wait_readable().is_err());
    }
    let block = vec![0; 1 << 20];
    let start = Instant::now();
    let mut sent = 0;
    let error = loop {
        match ours.write(&block) {
            Ok(written) => sent += written,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= LIMIT);
    ours.set_write_timeout(None).unwrap();
    ours.set_read_timeout(None).unwrap();
    let reader = spawn(move || {
        let mut all = Vec::new();
        (&theirs).read_to_end(&mut all).unwrap();
        all.len()
    });
    ours.write_all(b"end").unwrap();
    drop(ours);
    assert_eq!(reader.join().unwrap(), sent + 3);
}

#[test]
fn who_is_killed_leaves_it_to_the_others() {
    let _watchdog = support::watchdog();
    let (_dir, path, listener) = listener();
    let listener = Arc::new(listener);
    let acceptors = Vec::from_iter((0..10).map(|_| {
        let listener = listener.clone();
        spawn(move || listener.accept().unwrap())
    }));
    yield_now();
    acceptors[3].kill().unwrap();
    let clients = Vec::from_iter((0..9).map(|_| UnixStream::connect(&path).unwrap()));
    let accepted = acceptors.into_iter().filter_map(|a| a.join().ok());
    assert_eq!(accepted.count(), clients.len());

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = Arc::new(ours);
    let readers = [(); 3].map(|()| {
        let ours = ours.clone();
        spawn(move || (&*ours).read(&mut [0]))
    });
    yield_now();
    theirs.write_all(b"x").unwrap();
    readers[0].kill().unwrap(); // the byte was for this one
    let [killed, second, third] = readers;
    assert!(killed.join().is_err());
    theirs.write_all(b"y").unwrap();
    assert_eq!(second.join().unwrap().unwrap(), 1);
    assert_eq!(third.join().unwrap().unwrap(), 1);
}

/// A full backlog: connecting waits until the server accepts, and can be killed meanwhile.
#[test]
fn connecting_waits_for_room_in_the_backlog() {
    let _watchdog = support::watchdog();
    let (_dir, path, listener) = listener();
    rustix::net::listen(&listener, 0).unwrap();
    let first = UnixStream::connect(&path).unwrap();
    let clients = [(); 3].map(|()| {
        let path = path.clone();
        spawn(move || UnixStream::connect(path))
    });
    sleep(LIMIT);
    assert!(clients.iter().all(|client| !client.is_finished()));
    clients[0].kill().unwrap();
    let [killed, second, third] = clients;
    assert!(killed.join().unwrap_err().is_killed());
    let streams = [(); 3].map(|()| listener.accept().unwrap());
    second.join().unwrap().unwrap();
    third.join().unwrap().unwrap();
    // A listener that goes ends the wait, too.
    let _fills = UnixStream::connect(&path).unwrap();
    let late = spawn(move || UnixStream::connect(path).unwrap_err().kind());
    sleep(LIMIT);
    drop(listener);
    assert_eq!(late.join().unwrap(), ErrorKind::ConnectionRefused);
    drop((first, streams));
}

#[test]
fn a_stream_moves_from_hub_to_hub() {
    let _watchdog = support::watchdog();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    for n in 0..20 {
        let mut peer = theirs;
        let writer = thread::spawn(move || {
            peer.write_all(&[n]).unwrap();
            peer.read_exact(&mut [0]).unwrap();
            peer
        });
        let mut byte = [0];
        ours.read_exact(&mut byte).unwrap();
        assert_eq!(byte, [n]);
        ours = thread::spawn(move || {
            ours.set_read_timeout(Some(Duration::from_micros(50)))
                .unwrap();
            assert!((&ours).read(&mut [0]).is_err());
            ours.set_read_timeout(None).unwrap();
            ours.write_all(b"x").unwrap();
            ours
        })
        .join()
        .unwrap();
        theirs = writer.join().unwrap();
    }
}

#[test]
fn hubs_share_a_listener() {
    let _watchdog = support::watchdog();
    let count = 200 / support::slowdown() as usize;
    let (_dir, path, listener) = listener();
    let listener = Arc::new(listener);
    let hubs = [(); 3].map(|()| {
        let listener = listener.clone();
        thread::spawn(move || {
            let mut served = 0;
            while let Ok((mut stream, _)) = listener.accept() {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                stream.write_all(&byte).unwrap();
                served += 1;
            }
            served
        })
    });
    let clients = Vec::from_iter((0..count).map(|_| {
        let path = path.clone();
        spawn(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(b"x").unwrap();
            stream.read_exact(&mut [0]).unwrap();
        })
    }));
    for client in clients {
        client.join().unwrap();
    }
    listener.close();
    let served: usize = hubs.map(|hub| hub.join().unwrap()).iter().sum();
    assert_eq!(served, count);
}

/// Says goodbye, and waits for the answer, in its destructor.
struct Farewell(UnixStream, mpsc::Sender<u8>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let mut byte = [0];
        self.0.write_all(b"b").unwrap();
        self.0.read_exact(&mut byte).unwrap();
        self.1.send(byte[0]).unwrap();
    }
}

#[test]
fn nothing_suspends_while_unwinding() {
    let _watchdog = support::watchdog();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let peer = thread::spawn(move || {
        theirs.read_exact(&mut [0]).unwrap();
        thread::sleep(LIMIT); // the other side waits meanwhile
        theirs.write_all(b"f").unwrap();
    });
    let (send, received) = mpsc::channel();
    let farewell = Farewell(ours, send);
    let panics = spawn(move || {
        let _farewell = farewell;
        std::panic::resume_unwind(Box::new("on purpose"));
    });
    let before = rustlet::stats().switches;
    assert!(panics.join().is_err());
    assert_eq!(received.recv().unwrap(), b'f');
    let after = rustlet::stats().switches;
    assert!(after - before < 10, "the thread blocked, as it should");
    peer.join().unwrap();
}

/// Signals end system calls, and nothing else.
#[test]
fn signals_do_not_disturb() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let _watchdog = support::watchdog();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let seen = done.clone();
    let (send, receive) = mpsc::channel();
    let reader = thread::spawn(move || {
        send.send(signals::this_thread()).unwrap();
        let total = std::io::copy(&mut ours, &mut std::io::sink()).unwrap();
        seen.store(true, Ordering::SeqCst);
        // Until the other thread knows that this one ends, which must not get signals then.
        while seen.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        total
    });
    let target = receive.recv().unwrap();
    let writer = thread::spawn(move || {
        while signals::count() == 0 {
            thread::yield_now();
        }
        for _ in 0..100 {
            theirs.write_all(b"some bytes").unwrap();
            thread::yield_now();
        }
    });
    while !done.load(Ordering::SeqCst) {
        signals::poke(target);
        thread::yield_now();
    }
    done.store(false, Ordering::SeqCst);
    writer.join().unwrap();
    assert_eq!(reader.join().unwrap(), 1000);
    assert!(signals::count() > 0, "no signal arrived");
}

mod signals {
    #![allow(unsafe_code)] // A handler without SA_RESTART is libc's to install.

    use std::sync::Once;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static COUNT: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn handler(_: libc::c_int) {
        COUNT.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn this_thread() -> u64 {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(|| {
            // SAFETY: the handler adds to an atomic, and all of `action` but it is zero, as it may be.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handler as *const () as usize;
                assert_eq!(
                    libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()),
                    0
                );
            }
        });
        // SAFETY: it has no conditions.
        unsafe { libc::pthread_self() as u64 }
    }

    pub(super) fn poke(thread: u64) {
        // SAFETY: the caller sees to it that the thread lives.
        unsafe { libc::pthread_kill(thread as libc::pthread_t, libc::SIGUSR1) };
    }

    pub(super) fn count() -> usize {
        COUNT.load(Ordering::SeqCst)
    }
}
