//! The end of a thread: its greenlets are killed, what refuses is abandoned, and the process is as
//! it was.

mod support;

use std::panic::catch_unwind;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustlet::net::{TcpListener, TcpStream};
use rustlet::{Greenlet, sleep, spawn, spawn_later, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn greenlets_of_an_ended_thread_are_killed() {
    let _watchdog = support::watchdog();
    let (drops, passed) = (Counter::default(), Counter::default());
    let (counted, went_on) = (drops.clone(), passed.clone());
    thread::spawn(move || {
        let waits: [fn(); 6] = [
            || sleep(HOUR),
            || rustlet::park().unwrap(),
            || loop {
                yield_now();
            },
            || drop(TcpListener::bind("127.0.0.1:0").unwrap().accept()),
            || drop(spawn(|| sleep(HOUR)).join()),
            || {
                let _ = rustlet::timeout(HOUR, || sleep(HOUR));
            },
        ];
        let spawn_one = |wait: fn()| {
            let (guard, went_on) = (counted.on_drop(), went_on.clone());
            spawn(move || {
                let _guard = guard;
                wait();
                went_on.add();
            });
        };
        waits.into_iter().for_each(spawn_one);
        yield_now();
        waits.into_iter().for_each(spawn_one); // these never start
        let guard = counted.on_drop();
        spawn_later(HOUR, move || drop(guard));
    })
    .join()
    .unwrap();
    assert_eq!(drops.get(), 13);
    assert_eq!(passed.get(), 0);
}

#[test]
fn their_destructors_may_use_the_library() {
    struct Busy(Option<TcpStream>, Counter);
    impl Drop for Busy {
        fn drop(&mut self) {
            sleep(Duration::from_millis(1));
            spawn(|| ());
            drop(self.0.take());
            self.1.add();
        }
    }
    let _watchdog = support::watchdog();
    let ended = Counter::default();
    let also = ended.clone();
    thread::spawn(move || {
        let (ours, _theirs) = support::tcp_pair::<TcpStream>();
        let busy = Busy(Some(ours), also);
        spawn(move || {
            let _busy = busy;
            sleep(HOUR);
        });
        yield_now();
    })
    .join()
    .unwrap();
    assert_eq!(ended.get(), 1);
}

#[test]
fn what_refuses_to_die_is_abandoned() {
    let _watchdog = support::watchdog();
    let (rounds, drops) = (Counter::default(), Counter::default());
    let (counted, guard) = (rounds.clone(), drops.on_drop());
    let (send, receive) = mpsc::channel::<Greenlet<()>>();
    let owner = thread::spawn(move || {
        let stubborn = spawn(move || {
            let _guard = guard;
            loop {
                let _ = catch_unwind(|| sleep(HOUR));
                counted.add();
            }
        });
        yield_now();
        send.send(stubborn).unwrap();
        // The other thread waits for it when this one ends.
        thread::sleep(Duration::from_millis(20));
    });
    let stubborn = receive.recv().unwrap();
    let error = stubborn.join().unwrap_err();
    assert!(!error.is_killed() && !error.is_panic());
    let text = error.to_string();
    assert!(
        text.ends_with("did not end before its thread did"),
        "{text}"
    );
    owner.join().unwrap();
    assert!(
        (10..1000).contains(&rounds.get()),
        "{} rounds",
        rounds.get()
    );
    assert_eq!(drops.get(), 0, "its stack is left alone");
}

#[test]
fn a_panicking_thread_ends_its_greenlets_too() {
    let _watchdog = support::watchdog();
    let drops = Counter::default();
    let guard = drops.on_drop();
    let ended = thread::spawn(move || {
        spawn(move || {
            let _guard = guard;
            sleep(HOUR);
        });
        yield_now();
        panic!("the thread's own panic, on purpose");
    })
    .join();
    assert!(ended.is_err());
    assert_eq!(drops.get(), 1);
}

#[test]
fn exiting_the_process_from_a_greenlet_works() {
    if support::is_child() {
        spawn(|| sleep(HOUR));
        spawn(|| {
            yield_now();
            std::process::exit(3);
        });
        loop {
            yield_now();
        }
    }
    let outcome = support::child("exiting_the_process_from_a_greenlet_works").run();
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
}

/// A thread with a bit of everything, left as it is.
fn a_life() {
    thread::spawn(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        spawn(move || {
            let peers = Vec::from_iter((0..3).map(|_| listener.accept().unwrap()));
            sleep(HOUR);
            drop(peers);
        });
        for _ in 0..3 {
            spawn(move || {
                let stream = TcpStream::connect(addr).unwrap();
                let _ = rustlet::timeout(HOUR, || stream.peek(&mut [0]));
            });
        }
        for _ in 0..10 {
            spawn(|| sleep(HOUR));
        }
        spawn_later(HOUR, || ());
        sleep(Duration::from_millis(1));
    })
    .join()
    .unwrap();
}

#[test]
fn two_hundred_threads_leave_nothing_behind() {
    let _watchdog = support::watchdog();
    if !support::is_child() {
        return support::child("two_hundred_threads_leave_nothing_behind")
            .run()
            .assert_passed();
    }
    let threads = support::thread_count();
    for _ in 0..5 {
        a_life();
    }
    support::threads_settle(threads, "after the first ones");
    let (fds, maps) = (support::open_fds(), support::vma_count());
    let start = Instant::now();
    for _ in 0..200 / support::slowdown() {
        a_life();
    }
    println!("{:?} for 200 threads", start.elapsed());
    assert_eq!(support::open_fds(), fds, "descriptors");
    support::threads_settle(threads, "after 200 of them");
    let now = support::vma_count();
    // The allocator may map an arena or two; each leaked stack region or alternate stack would be one
    // for each thread.
    assert!(now <= maps + 10, "{maps} mappings before, {now} after");
}
