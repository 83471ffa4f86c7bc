//! Kills: a greenlet is unwound from wherever it waits, its destructors run, what has not started
//! never runs, catching does not help, and nothing suspends while it unwinds.

mod support;

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::panic::catch_unwind;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use rustlet::net::{TcpListener, TcpStream, ToSocketAddrs};
use rustlet::{Greenlet, Killed, sleep, spawn, spawn_later, spawn_local, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);

/// Kills a greenlet that is inside `wait`, and checks that it was unwound from there.
#[track_caller]
fn kill_inside(wait: impl FnOnce() + 'static) {
    let (before, drops, after) = (
        Rc::new(Cell::new(false)),
        Counter::default(),
        Counter::default(),
    );
    let (entered, guard, passed) = (before.clone(), drops.on_drop(), after.clone());
    let greenlet = spawn_local(move || {
        let _guard = guard;
        entered.set(true);
        wait();
        passed.add();
    });
    yield_now();
    assert!(before.get(), "it is inside");
    assert_eq!(drops.get(), 0, "and waits");
    greenlet.kill().unwrap();
    assert!(greenlet.is_finished());
    assert_eq!(drops.get(), 1, "its destructors ran");
    assert_eq!(after.get(), 0, "it did not go on");
    let error = greenlet.join().unwrap_err();
    assert!(error.is_killed() && !error.is_panic(), "{error}");
    assert_eq!(rustlet::stats().live, 0);
}

#[test]
fn unwinds_from_every_kind_of_wait() {
    let _watchdog = support::watchdog();
    kill_inside(|| rustlet::park().unwrap());
    kill_inside(|| rustlet::park_timeout(HOUR));
    kill_inside(|| sleep(HOUR));
    kill_inside(|| sleep(Duration::MAX));
    kill_inside(|| rustlet::sleep_until(Instant::now() + HOUR));
    kill_inside(|| {
        loop {
            yield_now();
        }
    });
    kill_inside(|| {
        let _ = rustlet::timeout(HOUR, || sleep(HOUR));
    });

    let (mut silent, _peer) = support::tcp_pair::<TcpStream>();
    kill_inside(move || drop(silent.read(&mut [0; 8])));
    let (silent, _peer) = support::tcp_pair::<TcpStream>();
    kill_inside(move || drop(silent.peek(&mut [0; 8])));
    let (mut stuffed, _peer) = support::tcp_pair::<TcpStream>();
    kill_inside(move || drop(stuffed.write_all(&vec![0; 64 << 20])));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    kill_inside(move || drop(listener.accept()));
    let (full, _queued) = support::full_listener();
    let addr = full.local_addr().unwrap();
    kill_inside(move || drop(TcpStream::connect(addr)));
}

#[test]
fn unwinds_from_a_join_and_leaves_its_target_alone() {
    let _watchdog = support::watchdog();
    let target = spawn(|| {
        rustlet::park().unwrap();
        "alive"
    });
    let handle = target.handle();
    let done = Rc::new(Cell::new(None));
    let out = done.clone();
    let joiner = spawn_local(move || out.set(Some(target.join().unwrap())));
    yield_now();
    joiner.kill().unwrap();
    assert!(!handle.is_finished());
    handle.unpark();
    yield_now();
    assert!(handle.is_finished());
    assert_eq!(done.take(), None);
}

#[test]
fn unwinds_from_the_resolver() {
    let _watchdog = support::watchdog();
    // More names than there are resolver threads. Some answers come before the kill, most while
    // their greenlet dies or afterwards; none may harm anybody.
    let mut killed = 0;
    // On a slow machine all the answers of a round may come before its kills.
    for round in 0..20 {
        let (drops, count) = (Counter::default(), 50);
        let greenlets = Vec::from_iter((0..count).map(|_| {
            let guard = drops.on_drop();
            spawn(move || {
                let _guard = guard;
                ("localhost", 1).to_socket_addrs().unwrap().count()
            })
        }));
        yield_now();
        for greenlet in greenlets {
            greenlet.kill_nowait();
            match greenlet.join() {
                Ok(addresses) => assert!(addresses > 0),
                Err(error) => killed += usize::from(error.is_killed()),
            }
        }
        assert_eq!(drops.get(), count, "round {round}");
        if killed > 0 {
            break;
        }
    }
    assert!(killed > 0, "none was killed while it waited");
    assert!(("localhost", 1).to_socket_addrs().is_ok());
}

#[test]
fn what_has_not_started_never_runs() {
    let _watchdog = support::watchdog();
    let (drops, runs) = (Counter::default(), Counter::default());
    let (guard, ran) = (drops.on_drop(), runs.clone());
    let greenlet = spawn(move || {
        let _guard = guard;
        ran.add();
    });
    greenlet.kill_nowait();
    assert!(!greenlet.is_finished(), "kill_nowait does not run anything");
    assert!(greenlet.join().unwrap_err().is_killed());
    assert_eq!((drops.get(), runs.get()), (1, 0));
}

#[test]
fn a_delayed_greenlet_is_killed_before_its_time() {
    let _watchdog = support::watchdog();
    let (drops, runs) = (Counter::default(), Counter::default());
    let (guard, ran) = (drops.on_drop(), runs.clone());
    let greenlet = spawn_later(HOUR, move || {
        let _guard = guard;
        ran.add();
    });
    greenlet.kill().unwrap();
    assert!(greenlet.join().unwrap_err().is_killed());
    assert_eq!((drops.get(), runs.get()), (1, 0));
    // Started, killed, and its alarm long gone.
    let greenlet = spawn_later(Duration::from_millis(1), || sleep(HOUR));
    sleep(Duration::from_millis(5));
    greenlet.kill().unwrap();
    assert!(greenlet.join().unwrap_err().is_killed());
}

#[test]
fn what_has_ended_is_left_as_it_is() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| 5);
    yield_now();
    greenlet.kill().unwrap();
    greenlet.kill_nowait();
    assert_eq!(greenlet.join().unwrap(), 5);
}

#[test]
fn a_greenlet_kills_itself_on_the_spot() {
    let _watchdog = support::watchdog();
    let drops = Counter::default();
    let guard = drops.on_drop();
    let greenlet = spawn(move || {
        let _guard = guard;
        rustlet::current().kill();
        unreachable!("unwound above");
    });
    assert!(greenlet.join().unwrap_err().is_killed());
    assert_eq!(drops.get(), 1);

    let own = Rc::new(RefCell::new(None::<Greenlet<()>>));
    let also = own.clone();
    *own.borrow_mut() = Some(spawn_local(move || {
        let me = also.borrow_mut().take().unwrap();
        let _ = me.kill();
        unreachable!("unwound above");
    }));
    yield_now();
    assert_eq!(rustlet::stats().live, 0);
}

#[test]
fn the_threads_own_code_cannot_be_killed() {
    let _watchdog = support::watchdog();
    let main = rustlet::current();
    main.kill();
    spawn_local(move || main.kill());
    sleep(Duration::from_millis(1));
}

#[test]
fn catching_a_kill_only_delays_it() {
    let _watchdog = support::watchdog();
    let greenlet = spawn(|| {
        let mut caught = 0;
        for wait in [
            || sleep(HOUR),
            || rustlet::park().unwrap(),
            || yield_now(),
            || drop(TcpListener::bind("127.0.0.1:0").unwrap().accept()),
        ] {
            let payload = catch_unwind(wait).expect_err("every suspension unwinds");
            assert!(payload.is::<Killed>());
            caught += 1;
        }
        caught
    });
    yield_now();
    greenlet.kill().unwrap();
    assert_eq!(greenlet.join().unwrap(), 4, "it ended in its own way");
}

#[test]
fn a_loop_that_catches_does_not_hang_the_thread() {
    let _watchdog = support::watchdog();
    for wait in [|| sleep(HOUR), || rustlet::park().unwrap(), || yield_now()] {
        let stop = Rc::new(Cell::new(false));
        let (stopped, rounds) = (stop.clone(), Counter::default());
        let counted = rounds.clone();
        let stubborn = spawn_local(move || {
            while !stopped.get() {
                let _ = catch_unwind(wait);
                counted.add();
            }
        });
        yield_now();
        stubborn.kill_nowait();
        for _ in 0..1000 {
            yield_now();
        }
        sleep(Duration::from_millis(2));
        assert_eq!(spawn(|| 1).join().unwrap(), 1);
        assert!(rounds.get() > 100, "it was resumed and caught again");
        stop.set(true);
        stubborn.join().unwrap();
    }
}

#[test]
fn a_kill_comes_from_another_thread() {
    let _watchdog = support::watchdog();
    let drops = Counter::default();
    let waits: [fn(); 3] = [
        || sleep(HOUR),
        || rustlet::park().unwrap(),
        || loop {
            yield_now();
        },
    ];
    for (turn, wait) in waits.into_iter().enumerate() {
        let guard = drops.on_drop();
        let greenlet = spawn(move || {
            let _guard = guard;
            wait();
        });
        yield_now();
        let handle = greenlet.handle();
        let killer = thread::spawn(move || handle.kill());
        assert!(greenlet.join().unwrap_err().is_killed());
        assert_eq!(drops.get(), turn + 1);
        killer.join().unwrap();
    }

    // Before it has started; the other thread waits until it has ended.
    let guard = drops.on_drop();
    let unstarted = spawn_later(HOUR, move || drop(guard));
    let killer = thread::spawn(move || {
        unstarted.kill().unwrap();
        assert!(unstarted.join().unwrap_err().is_killed());
    });
    while !killer.is_finished() {
        sleep(Duration::from_millis(1));
    }
    killer.join().unwrap();
    assert_eq!(drops.get(), 4);
}

/// A destructor that does I/O, sleeps, joins and yields; reports whether anybody else ran.
struct Farewell {
    stream: TcpStream,
    others: Rc<Cell<usize>>,
    report: Rc<RefCell<Option<(usize, String)>>>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        assert!(thread::panicking());
        let before = self.others.get();
        self.stream.write_all(b"bye?").unwrap();
        let mut answer = [0; 4];
        self.stream.read_exact(&mut answer).unwrap();
        let start = Instant::now();
        sleep(Duration::from_millis(10));
        assert!(start.elapsed() >= Duration::from_millis(10));
        yield_now();
        let _ = rustlet::park();
        let error = spawn(|| ()).join().unwrap_err().to_string();
        assert_eq!(&answer, b"bye!");
        *self.report.borrow_mut() = Some((self.others.get() - before, error));
    }
}

#[test]
fn nothing_suspends_while_it_unwinds_but_blocks() {
    let _watchdog = support::watchdog();
    for panics in [false, true] {
        let (ours, theirs) = support::tcp_pair::<std::net::TcpStream>();
        let peer = thread::spawn(move || {
            let mut question = [0; 4];
            (&theirs).read_exact(&mut question).unwrap();
            thread::sleep(Duration::from_millis(10)); // so that the reader must wait
            (&theirs).write_all(b"bye!").unwrap();
            question
        });
        let (others, report) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(None)));
        let counter = others.clone();
        let spinner = spawn_local(move || {
            loop {
                counter.set(counter.get() + 1);
                yield_now();
            }
        });
        let farewell = Farewell {
            stream: ours.into(),
            others: others.clone(),
            report: report.clone(),
        };
        let target = spawn_local(move || {
            let _farewell = farewell;
            yield_now();
            assert!(!panics, "on purpose");
            sleep(HOUR);
        });
        for _ in 0..3 {
            yield_now();
        }
        target.kill().unwrap();
        assert!(others.get() > 2);
        let (ran, error) = report.borrow_mut().take().expect("the destructor finished");
        assert_eq!(ran, 0, "nobody ran while the thread was blocked");
        assert!(
            error.contains("cannot wait because it is unwinding"),
            "{error}"
        );
        assert_eq!(&peer.join().unwrap(), b"bye?");
        spinner.kill().unwrap();
    }
}

#[test]
fn a_destructor_may_kill_and_spawn() {
    let _watchdog = support::watchdog();
    struct Last(Greenlet<()>, Counter);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.kill_nowait();
            let ran = self.1.clone();
            spawn(move || ran.add());
        }
    }
    let (drops, runs) = (Counter::default(), Counter::default());
    let guard = drops.on_drop();
    let other = spawn(move || {
        let _guard = guard;
        sleep(HOUR);
    });
    let last = Last(other, runs.clone());
    let first = spawn_local(move || {
        let _last = last;
        sleep(HOUR);
    });
    yield_now();
    first.kill().unwrap();
    yield_now();
    assert_eq!((drops.get(), runs.get()), (1, 1));
}
