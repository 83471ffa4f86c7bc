//! Ten thousand signals, and many who listen: on greenlets of several hubs, and on plain threads. None is missed, each
//! listener counts all.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustlet::signal::{SignalKind, Signals, signal};
use rustlet::spawn;

const SIGNALS: u64 = 10_000;

/// Listens until it has heard of all, with others beside it.
fn listen(signals: &Signals) -> u64 {
    let mut heard = 0;
    let mut times = 0;
    for count in signals {
        heard += count.unwrap();
        times += 1;
        assert!(heard <= SIGNALS, "{heard}");
        if heard == SIGNALS {
            break;
        }
    }
    assert_eq!(signals.recv_timeout(Duration::ZERO).unwrap(), None);
    times
}

/// Signals that the raisers of the first test have taken on.
static SENT: AtomicU64 = AtomicU64::new(0);

#[test]
fn nobody_misses_any() {
    let _watchdog = support::watchdog_of(Duration::from_secs(120));
    let kind = SignalKind::user_defined1();
    let listeners = || [(); 3].map(|()| signal(kind).unwrap());
    let mut threads = Vec::new();
    for _ in 0..2 {
        let of_a_hub = listeners();
        threads.push(thread::spawn(move || {
            let greenlets: Vec<_> = of_a_hub
                .into_iter()
                .map(|signals| spawn(move || listen(&signals)))
                .collect();
            for greenlet in greenlets {
                assert!(greenlet.join().unwrap() > 0);
            }
        }));
    }
    for signals in listeners() {
        threads.push(thread::spawn(move || assert!(listen(&signals) > 0)));
    }
    let here: Vec<_> = listeners()
        .into_iter()
        .map(|signals| spawn(move || listen(&signals)))
        .collect();
    // Each is delivered to the thread that raises it, before `raise` returns: none of them falls together with another.
    let raisers: Vec<_> = (0..2)
        .map(|_| {
            thread::spawn(move || {
                while SENT.fetch_add(1, Ordering::Relaxed) < SIGNALS {
                    raise(kind);
                }
            })
        })
        .collect();
    for greenlet in here {
        assert!(greenlet.join().unwrap() > 0);
    }
    for thread in threads.into_iter().chain(raisers) {
        thread.join().unwrap();
    }
}

/// To the calling thread.
#[allow(unsafe_code)]
fn raise(kind: SignalKind) {
    // SAFETY: sends a signal that is handled.
    assert_eq!(unsafe { libc::raise(kind.as_raw_value()) }, 0);
}

/// In the midst of system calls, switches and other threads' wake-ups.
#[test]
fn what_runs_is_not_disturbed() {
    use std::io::{Read, Write};

    let _watchdog = support::watchdog_of(Duration::from_secs(120));
    let kind = SignalKind::user_defined2();
    let signals = signal(kind).unwrap();
    let (mut ours, mut theirs) = support::tcp_pair::<rustlet::net::TcpStream>();
    let rounds = 2_000 / u64::from(support::slowdown()).min(20);
    let echo = spawn(move || {
        let mut buffer = [0; 64];
        while theirs.read_exact(&mut buffer).is_ok() {
            theirs.write_all(&buffer).unwrap();
        }
    });
    let me = thread::spawn({
        let to = rustix::thread::gettid();
        move || {
            for _ in 0..rounds {
                let signal = rustix::process::Signal::USR2;
                #[allow(unsafe_code)]
                // SAFETY: sends a signal that is handled, to a thread of this process.
                let sent = unsafe {
                    libc::syscall(
                        libc::SYS_tgkill,
                        std::process::id(),
                        to.as_raw_nonzero().get(),
                        signal.as_raw(),
                    )
                };
                assert_eq!(sent, 0);
                thread::yield_now();
            }
        }
    });
    for n in 0..rounds {
        let bytes = [n as u8; 64];
        ours.write_all(&bytes).unwrap();
        let mut echo = [0; 64];
        ours.read_exact(&mut echo).unwrap();
        assert_eq!(echo, bytes);
    }
    me.join().unwrap();
    drop(ours);
    echo.join().unwrap();
    // Those that the kernel held together count once.
    let heard = signals.recv().unwrap();
    assert!(0 < heard && heard <= rounds);
}
