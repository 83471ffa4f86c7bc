//! `inspect::watch_stalls`: who keeps a thread is found, named, and told once; who does not is left alone.
//!
//! There is one watch in a process, and its hook hears of all threads: each test runs in a child process.

mod support;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rustlet::inspect::{self, Stall, StallWatch};
use rustlet::{Builder, Runtime, spawn, spawn_on, yield_now};

/// Short, so that tests are; emulated processors are slow and share real ones.
fn limit() -> Duration {
    Duration::from_millis(100) * support::slowdown()
}

/// Runs `test` in a process of its own.
fn alone(name: &str, test: impl FnOnce()) {
    if support::is_child() {
        return test();
    }
    let outcome = support::child(name).run();
    outcome.assert_passed();
    // What it has noted.
    print!("{}", outcome.stderr);
}

/// A watch whose hook sends.
fn watch(limit: Duration) -> (StallWatch, mpsc::Receiver<Stall>) {
    let (told, heard) = mpsc::channel();
    let told = Mutex::new(told);
    inspect::set_stall_hook(Some(Box::new(move |stall| {
        let _ = told.lock().unwrap().send(stall.clone());
    })));
    (inspect::watch_stalls(limit).unwrap(), heard)
}

/// Waits for the next stall that is `wanted`, on the OS thread: who calls this is stuck. Others may come first, as a thread that does not
/// get a processor is stuck as well.
fn next(heard: &mpsc::Receiver<Stall>, wanted: impl Fn(&Stall) -> bool) -> Stall {
    loop {
        let stall = heard
            .recv_timeout(Duration::from_secs(50) * support::slowdown())
            .expect("a stall is told of");
        if wanted(&stall) {
            return stall;
        }
        eprintln!("not looked for: {stall}");
    }
}

fn any(_: &Stall) -> bool {
    true
}

/// Computes until `over`.
#[inline(never)]
fn the_culprit(over: impl Fn() -> bool) -> usize {
    let mut rounds = 0;
    while !over() {
        rounds = std::hint::black_box(rounds + 1);
        // The processor is shared with the watchdog.
        thread::yield_now();
    }
    rounds
}

#[inline(never)]
fn the_sleeper(over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_secs(1));
    }
    std::hint::black_box(over);
}

/// The backtrace has `function`.
#[track_caller]
fn assert_in_backtrace(stall: &Stall, function: &str) {
    let mut names = stall
        .backtrace()
        .iter()
        .filter_map(|frame| frame.function());
    let found = names.any(|name| name.contains(function));
    if !found && support::emulated() {
        // The emulator's signal frames may be none that the unwinder knows.
        eprintln!("not checked under the emulator: {function} in\n{stall}");
        return;
    }
    assert!(found, "no {function} in\n{stall}");
    assert!(stall.to_string().contains(function));
}

#[test]
fn a_greenlet_that_computes_is_named() {
    alone("a_greenlet_that_computes_is_named", || {
        let (_watch, heard) = watch(limit());
        let over = Arc::new(AtomicBool::new(false));
        let (tell, told) = mpsc::channel();
        let judge = thread::spawn({
            let over = over.clone();
            move || {
                let stall = next(&heard, |stall| stall.name() == Some("greedy"));
                let lasting = inspect::stalls();
                over.store(true, Ordering::SeqCst);
                tell.send((stall, lasting)).unwrap();
            }
        });
        let others: Vec<_> = (0..3).map(|_| spawn(yield_now)).collect();
        let line = line!() + 1;
        let greedy = Builder::new().name("greedy").spawn({
            let over = over.clone();
            move || the_culprit(|| over.load(Ordering::SeqCst))
        });
        greedy.unwrap().join().unwrap();
        judge.join().unwrap();
        let (stall, lasting) = told.recv().unwrap();

        assert_eq!(stall.name(), Some("greedy"));
        assert!(stall.id().is_some_and(|id| id > 0));
        let place = stall.spawned_at().unwrap();
        assert_eq!((place.file(), place.line()), (file!(), line));
        assert_eq!(stall.held_up(), 3);
        assert_eq!(stall.worker(), None);
        assert_eq!(stall.thread_name(), thread::current().name());
        assert_eq!(
            stall.thread_id(),
            rustix::thread::gettid().as_raw_nonzero().get() as u32
        );
        assert!(stall.lasted() >= limit());
        assert_in_backtrace(&stall, "the_culprit");
        assert!(stall.to_string().contains("greenlet 'greedy'"), "{stall}");
        assert_eq!(stall.note(), None, "{stall}");

        assert_eq!(lasting.len(), 1);
        assert_eq!(lasting[0].id(), stall.id());
        assert!(lasting[0].lasted() >= stall.lasted());
        // It has let go, and nobody needs to notice that first.
        assert!(inspect::stalls().is_empty());
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn a_greenlet_that_blocks_a_worker_is_named() {
    alone("a_greenlet_that_blocks_a_worker_is_named", || {
        let (_watch, heard) = watch(limit());
        let runtime = Runtime::builder().workers(2).name("crew").build().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let sleeper = runtime.run({
            let over = over.clone();
            move || spawn_on(1, move || the_sleeper(&over))
        });
        let stall = next(&heard, |stall| stall.id() == Some(sleeper.id()));
        assert_eq!(
            (stall.worker(), stall.thread_name()),
            (Some(1), Some("crew-1"))
        );
        assert_in_backtrace(&stall, "the_sleeper");
        over.store(true, Ordering::SeqCst);
        sleeper.join().unwrap();
        // Its end is told before its worker has gone on: that has, when this begins.
        runtime.handle().spawn_on(1, || ()).join().unwrap();
        let lasting = inspect::stalls();
        let same = lasting.iter().find(|lasting| lasting.worker() == Some(1));
        assert!(same.is_none(), "{}", same.unwrap());
    });
}

#[test]
fn a_threads_own_code_keeps_its_greenlets_too() {
    alone("a_threads_own_code_keeps_its_greenlets_too", || {
        let (_watch, heard) = watch(limit());
        let waiting = spawn(yield_now);
        let stall = next(&heard, any);
        assert_eq!((stall.id(), stall.held_up()), (Some(0), 1));
        assert_eq!(stall.spawned_at(), None);
        assert_in_backtrace(&stall, "a_threads_own_code_keeps_its_greenlets_too");
        assert!(
            stall.to_string().contains("the thread's own code"),
            "{stall}"
        );
        waiting.join().unwrap();
        assert!(inspect::stalls().is_empty());
    });
}

/// Nothing is told of hubs that sleep, that have no greenlets, or whose greenlets let go, one by one or in a long
/// queue; and what is told at last shows that the watch was on.
#[test]
fn who_sleeps_or_yields_is_not_stuck() {
    alone("who_sleeps_or_yields_is_not_stuck", || {
        // Longer than a shared machine keeps a thread from running.
        let limit = Duration::from_secs(if support::slowdown() > 1 { 8 } else { 2 });
        let (_watch, heard) = watch(limit);
        let (over, ready) = (Arc::new(AtomicBool::new(false)), AtomicUsize::new(0));
        let parked = Runtime::builder().workers(2).build().unwrap();
        thread::scope(|scope| {
            // A hub that sleeps, with greenlets.
            parked.run(|| (0..10).for_each(|_| drop(spawn(|| rustlet::sleep(Duration::MAX)))));
            // Code that has no greenlets.
            scope.spawn(|| {
                spawn(yield_now).join().unwrap();
                ready.fetch_add(1, Ordering::SeqCst);
                the_culprit(|| over.load(Ordering::SeqCst));
            });
            // Greenlets that yield all the time; a turn of these takes twice the limit.
            scope.spawn(|| {
                let greenlets: Vec<_> = (0..2000)
                    .map(|_| {
                        let over = over.clone();
                        spawn(move || {
                            while !over.load(Ordering::SeqCst) {
                                thread::sleep(limit / 1000);
                                yield_now();
                            }
                        })
                    })
                    .collect();
                ready.fetch_add(1, Ordering::SeqCst);
                greenlets
                    .into_iter()
                    .for_each(|greenlet| greenlet.join().unwrap());
            });
            let early = heard.recv_timeout(limit * 3);
            let lasting = inspect::stalls();
            // Whatever it was, this is to end.
            over.store(true, Ordering::SeqCst);
            assert!(early.is_err(), "{}", early.unwrap());
            assert!(lasting.is_empty(), "{}", lasting[0]);
            assert_eq!(ready.load(Ordering::SeqCst), 2);
        });
        let greenlet = spawn(yield_now);
        next(&heard, any);
        greenlet.join().unwrap();
    });
}

#[test]
fn each_stall_is_told_of_once() {
    alone("each_stall_is_told_of_once", || {
        let (_watch, heard) = watch(limit());
        for round in 0..3 {
            let greenlet = spawn(move || round);
            next(&heard, any);
            // It goes on, and is not told of again.
            let again = heard.recv_timeout(limit() * 5);
            assert!(again.is_err(), "{}", again.unwrap());
            assert_eq!(inspect::stalls().len(), 1);
            assert_eq!(greenlet.join().unwrap(), round);
        }
    });
}

#[test]
fn a_deep_stack_is_cut_and_says_so() {
    #[inline(never)]
    fn dig(depth: usize, bottom: &dyn Fn()) -> usize {
        match depth {
            0 => bottom(),
            _ => {
                return std::hint::black_box(dig(depth - 1, bottom)) + 1;
            }
        }
        depth
    }
    alone("a_deep_stack_is_cut_and_says_so", || {
        let (_watch, heard) = watch(limit());
        let deep = Builder::new().stack_size(1 << 20).spawn(move || {
            let found = Mutex::new(None);
            dig(1000, &|| *found.lock().unwrap() = Some(next(&heard, any)));
            found.into_inner().unwrap().unwrap()
        });
        let stall = deep.unwrap().join().unwrap();
        assert_in_backtrace(&stall, "dig");
        if stall.backtrace().len() > 10 {
            assert!(stall.note().unwrap().contains("cut"), "{stall}");
            assert!(stall.to_string().contains("cut"), "{stall}");
        }
    });
}

/// A system call of the culprit's that the signal has interrupted goes on, and its errno is left alone.
#[test]
fn an_interrupted_system_call_goes_on() {
    alone("an_interrupted_system_call_goes_on", || {
        let (_watch, heard) = watch(limit());
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let teller = thread::spawn(move || {
            let stall = next(&heard, any);
            writer.write_all(b"x").unwrap();
            stall
        });
        let read = spawn(move || {
            let mut byte = [0];
            // Not `read_exact`, which would try again.
            reader.read(&mut byte).map(|count| (count, byte))
        });
        assert_eq!(read.join().unwrap().unwrap(), (1, *b"x"));
        let stall = teller.join().unwrap();
        assert!(!stall.backtrace().is_empty(), "{stall}");
    });
}

#[test]
fn a_watch_that_is_dropped_is_gone() {
    alone("a_watch_that_is_dropped_is_gone", || {
        let before = support::thread_count();
        for _ in 0..3 {
            let (watch, heard) = watch(limit());
            let second = inspect::watch_stalls(limit()).unwrap_err();
            assert_eq!(second.kind(), std::io::ErrorKind::AlreadyExists);
            let greenlet = spawn(yield_now);
            next(&heard, any);
            assert_eq!(inspect::stalls().len(), 1);
            drop(watch);
            support::threads_settle(before, "after the watch");
            assert!(inspect::stalls().is_empty());
            greenlet.join().unwrap();
        }
        // Without a watch nothing is told.
        inspect::set_stall_hook(None);
    });
}

/// A hook may end the watch, and may panic.
#[test]
fn a_hook_may_end_the_watch_and_panic() {
    alone("a_hook_may_end_the_watch_and_panic", || {
        let kept = Arc::new(Mutex::new(None));
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        inspect::set_stall_hook(Some(Box::new({
            let kept = kept.clone();
            move |_| {
                drop(kept.lock().unwrap().take().map(|watch: StallWatch| watch));
                tell.lock().unwrap().send(()).unwrap();
                panic!("in the hook");
            }
        })));
        *kept.lock().unwrap() = Some(inspect::watch_stalls(limit()).unwrap());
        let greenlet = spawn(yield_now);
        let limit = Duration::from_secs(50) * support::slowdown();
        told.recv_timeout(limit).unwrap();
        assert!(inspect::stalls().is_empty());
        greenlet.join().unwrap();
        let again = inspect::watch_stalls(Duration::from_secs(1));
        assert!(again.is_ok(), "{again:?}");
    });
}
