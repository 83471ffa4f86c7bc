//! Few descriptors: all that opens one says so, all else goes on, and a hub that begins now begins.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::net::{TcpListener, UdpSocket};
use rustlet::os::unix::net::UnixStream;
use rustlet::process::Command;
use rustlet::signal::{SignalKind, signal};
use rustlet::{park, sleep, spawn};

use super::stacks::on_a_thread;
use crate::workload::{Context, Failure, ensure};
use crate::workloads::net::shortage::Shortage;

/// What stays open while it is kept.
type Open = Box<dyn Send>;

/// Something that takes a descriptor or more, and what it is called.
type Opener = (&'static str, fn() -> io::Result<Open>);

const OPENERS: [Opener; 8] = [
    ("UnixStream::pair", || Ok(Box::new(UnixStream::pair()?))),
    ("TcpListener::bind", || {
        Ok(Box::new(TcpListener::bind("127.0.0.1:0")?))
    }),
    ("UdpSocket::bind", || {
        Ok(Box::new(UdpSocket::bind("127.0.0.1:0")?))
    }),
    ("pipe", || Ok(Box::new(rustlet::io::pipe()?))),
    ("fs::File::open", || {
        Ok(Box::new(rustlet::fs::File::open("/dev/null")?))
    }),
    ("std's File::open", || {
        Ok(Box::new(File::open("/dev/null")?))
    }),
    ("signal", || {
        Ok(Box::new(signal(SignalKind::user_defined1())?))
    }),
    ("Command::output", || {
        Ok(Box::new(Command::new("true").output()?))
    }),
];

pub(super) fn few(context: &Context, rng: &mut Rng) -> Result<(), Failure> {
    // A thread of the pool for files, and the handler's bell, are there before.
    for (what, open) in OPENERS {
        open().map_err(|error| Failure(format!("{what}, with descriptors enough: {error}")))?;
    }
    let (context, mut rng) = (*context, rng.fork());
    on_a_thread(move || {
        let life = Life::begin(&context, rng.fork())?;
        let shortage = Shortage::begin(rng.usize(..12))?;
        let outcome = until_none_is_left(&context, &mut rng).and_then(|kept| {
            a_new_hub()?;
            life.goes_on(&context)?;
            Ok(kept)
        });
        drop(shortage);
        drop(outcome?);
        for (what, open) in OPENERS {
            open()
                .map_err(|error| Failure(format!("{what}, when there are more again: {error}")))?;
        }
        life.end()
    })
}

/// Opens this and that until each has been refused.
fn until_none_is_left(context: &Context, rng: &mut Rng) -> Result<Vec<Open>, Failure> {
    let mut kept = Vec::new();
    let mut refused = [false; OPENERS.len()];
    while refused.contains(&false) {
        let nth = rng.usize(..OPENERS.len());
        let (what, open) = OPENERS[nth];
        match open() {
            Ok(open) => kept.push(open),
            Err(error) => {
                ensure!(
                    Shortage::is_it(&error),
                    "{what} without descriptors: {error} ({error:?})"
                );
                refused[nth] = true;
            }
        }
        context.count(1);
        if kept.len() > 1000 {
            return Err(Failure("the limit of descriptors does not hold".to_owned()));
        }
    }
    Ok(kept)
}

/// A hub that finds no descriptor for its epoll instance runs greenlets, timers and what other threads wake.
fn a_new_hub() -> Result<(), Failure> {
    on_a_thread(|| {
        let (time, begun) = (Duration::from_millis(1), Instant::now());
        let sleeper = spawn(move || sleep(time));
        let parked = spawn(park);
        let handle = parked.handle();
        let waker = std::thread::spawn(move || {
            while !handle.is_started() {
                std::thread::yield_now();
            }
            handle.unpark();
        });
        sleeper.join()?;
        let took = begun.elapsed();
        ensure!(took >= time, "a sleep of {time:?} took {took:?}");
        parked.join()??;
        waker.join().expect("it does not panic");
        Ok(())
    })
}

/// Greenlets that have what they need: an echo over a socket, and timers.
struct Life {
    over: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    all: Vec<rustlet::Greenlet<Result<(), Failure>>>,
}

impl Life {
    fn begin(context: &Context, mut rng: Rng) -> Result<Life, Failure> {
        let (over, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (mut here, mut there) = UnixStream::pair()?;
        let echo = spawn(move || {
            let mut buf = [0; 64];
            while there.read_exact(&mut buf).is_ok() {
                there.write_all(&buf)?;
            }
            Ok(())
        });
        let (is_over, count, context) = (over.clone(), done.clone(), *context);
        let talk = spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let sent = [rng.u8(..); 64];
                let mut got = [0; 64];
                here.write_all(&sent)?;
                here.read_exact(&mut got)?;
                ensure!(sent == got, "{:#04x} came back as {got:02x?}", sent[0]);
                count.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_micros(rng.u64(..200)));
                context.delay(&mut rng);
            }
            Ok(())
        });
        let life = Life {
            over,
            done,
            all: vec![echo, talk],
        };
        // Its thread has what it needs to wait for sockets.
        life.goes_on(&context)?;
        Ok(life)
    }

    fn goes_on(&self, context: &Context) -> Result<(), Failure> {
        let before = self.done.load(Ordering::Relaxed);
        let patience = Instant::now() + Duration::from_secs(20) * context.slowdown;
        while self.done.load(Ordering::Relaxed) < before + 3 {
            ensure!(
                Instant::now() < patience,
                "an echo over a socket that is open stands still"
            );
            sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        self.over.store(true, Ordering::Relaxed);
        for greenlet in self.all.into_iter().rev() {
            greenlet.join()??;
        }
        Ok(())
    }
}
