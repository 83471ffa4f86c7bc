//! Kills, limits, links, and waits that cannot end.

use std::hint::black_box;
use std::io::Read;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustlet::inspect;
use rustlet::net::TcpStream;
use rustlet::sync::Mutex;
use rustlet::{sleep, spawn, spawn_local, timeout, with_timeout, yield_now};

use super::{HOUR, SHORT};
use crate::support::{self, Counter};

/// As gevent, except that a kill is an error in join, not a success, and that it cannot be swallowed.
#[test]
fn b06_kill_unwinds_at_the_suspension_and_waits() {
    let _watchdog = support::watchdog();
    let drops = Counter::default();
    let guard = drops.on_drop();
    let target = spawn(move || {
        let _guard = guard;
        for _ in 0..2 {
            let _ = catch_unwind(|| sleep(HOUR));
        }
        sleep(HOUR);
    });
    yield_now();
    target.kill_nowait();
    assert_eq!(drops.get(), 0, "nothing happens before the caller yields");
    target.kill().unwrap();
    assert_eq!(drops.get(), 1);
    assert!(target.join().unwrap_err().is_killed());

    let unstarted = spawn(|| unreachable!("killed before its start"));
    unstarted.kill().unwrap();
    assert!(unstarted.join().unwrap_err().is_killed());
}

#[test]
fn b07_timeout_stops_at_its_own_frame_and_cannot_be_swallowed() {
    let _watchdog = support::watchdog();
    let (mut silent, _peer) = support::tcp_pair::<TcpStream>();
    let outer = timeout(SHORT, || {
        timeout(HOUR, || {
            // Whatever error comes, the loop tries again.
            while silent.read(&mut [0]).is_err() {}
        })
    });
    assert!(outer.is_err(), "the outer one, through the inner one");

    let outer = timeout(HOUR, || timeout(SHORT, || sleep(HOUR)));
    assert_eq!(outer.map(|inner| inner.is_err()), Ok(true));
}

#[test]
fn b08_timeout_does_not_stop_computations() {
    let _watchdog = support::watchdog();
    let start = Instant::now();
    let value = timeout(SHORT, || {
        while start.elapsed() < 3 * SHORT {
            black_box(());
        }
        "done"
    });
    assert_eq!(value, Ok("done"));
}

/// gevent's LoopExit, as an error or a panic of the call that blocks.
#[test]
fn b13_a_deadlock_is_told_to_the_threads_own_code() {
    let _watchdog = support::watchdog();
    let stuck = spawn(|| sleep(Duration::MAX));
    let error = stuck.join().unwrap_err();
    assert!(error.is_deadlock(), "{error}");

    let payload = catch_unwind(|| sleep(Duration::MAX)).unwrap_err();
    let text = payload.downcast::<String>().unwrap();
    assert!(text.contains("deadlock"), "{text}");

    // gevent says nothing of a ring of waits while a timer lives.
    let locks = Rc::new([Mutex::new(()), Mutex::new(())]);
    let ring = [(0, 1), (1, 0)].map(|(mine, other)| {
        let locks = locks.clone();
        spawn_local(move || {
            let _mine = locks[mine].lock().unwrap();
            yield_now();
            drop(locks[other].lock());
        })
    });
    let timer = rustlet::spawn(|| sleep(HOUR));
    yield_now();
    yield_now();
    let is_member = |id| ring.iter().any(|greenlet| greenlet.id() == id);
    let found = inspect::deadlocks();
    assert!(
        found
            .iter()
            .any(|cycle| cycle.members().iter().all(|member| is_member(member.id())))
    );
    for greenlet in &ring {
        greenlet.kill().unwrap();
    }
    timer.kill().unwrap();
}

#[test]
fn s01_links_fire_in_order_even_if_added_late() {
    let _watchdog = support::watchdog();
    let (told, order) = mpsc::channel();
    let greenlet = spawn(|| 1);
    let link = |name: &'static str| {
        let told = told.clone();
        greenlet.link(move |ended| {
            assert!(ended.is_successful());
            told.send(name).unwrap();
        });
    };
    link("first");
    link("second");
    greenlet.wait().unwrap();
    link("late");
    yield_now();
    assert_eq!(
        order.try_iter().collect::<Vec<_>>(),
        ["first", "second", "late"]
    );

    // A kill is no value: gevent calls it a success.
    let victim = spawn(|| sleep(HOUR));
    let (of_value, of_error) = (Counter::default(), Counter::default());
    let (value, error) = (of_value.clone(), of_error.clone());
    victim.link_value(move |_| assert_eq!(value.add(), 0));
    victim.link_error(move |_| assert_eq!(error.add(), 0));
    victim.kill().unwrap();
    assert_eq!((of_value.get(), of_error.get()), (0, 1));
}

#[test]
fn s06_with_timeout_gives_the_default() {
    let _watchdog = support::watchdog();
    assert_eq!(
        with_timeout(SHORT, "late", || {
            sleep(HOUR);
            "slept"
        }),
        "late"
    );
    assert_eq!(with_timeout(HOUR, "late", || "in time"), "in time");
}
