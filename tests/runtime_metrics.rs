//! Each number of a runtime's metrics, where it is known what it has to be.

mod support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustlet::net::{TcpListener, TcpStream};
use rustlet::sync::Event;
use rustlet::{Runtime, RuntimeMetrics, WorkerMetrics, sleep, spawn, spawn_on, yield_now};
use support::watchdog;

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// The metrics, as soon as they are as `wanted`: an end is told before it is counted.
fn settled(runtime: &Runtime, wanted: impl Fn(&RuntimeMetrics) -> bool) -> RuntimeMetrics {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let metrics = runtime.metrics();
        if wanted(&metrics) {
            return metrics;
        }
        assert!(Instant::now() < end, "{metrics:#?}");
        std::thread::yield_now();
    }
}

fn total(metrics: &RuntimeMetrics, number: fn(&WorkerMetrics) -> u64) -> u64 {
    metrics.workers.iter().map(number).sum()
}

#[test]
fn spawned_finished_live_and_stacks() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let go = Arc::new(Event::new());
    let all: Vec<_> = (0..100)
        .map(|n| {
            let go = go.clone();
            runtime.handle().spawn_on(n % 2, move || go.wait())
        })
        .collect();
    settled(&runtime, |metrics| metrics.stacks_live == 100);
    // Once more: the parts of one look are not of one moment.
    let metrics = runtime.metrics();
    assert_eq!((metrics.live, metrics.futures), (100, 0));
    assert_eq!(metrics.workers.len(), 2);
    for worker in &metrics.workers {
        assert_eq!(
            (worker.live, worker.stacks_live, worker.finished),
            (50, 50, 0)
        );
        assert_eq!(worker.spawned, 0, "by code of this worker");
    }
    let metrics = settled(&runtime, |metrics| {
        metrics.workers.iter().all(|worker| worker.parked == 50)
    });
    assert_eq!(metrics.stacks_pooled, 0);
    // Each stack has touched a page at least.
    let page = rustix::param::page_size();
    if !support::emulated() {
        let resident = runtime.resident_stack_bytes();
        assert!(
            (100 * page..100 * 64 * 1024).contains(&resident),
            "{resident}"
        );
    }
    go.set();
    all.into_iter()
        .for_each(|greenlet| greenlet.join().unwrap());
    settled(&runtime, |metrics| {
        metrics.live == 0 && metrics.stacks_live == 0
    });
    let metrics = runtime.metrics();
    assert_eq!(metrics.stacks_pooled, 100);
    assert_eq!(total(&metrics, |worker| worker.finished), 100);
    // Pooled stacks are used again.
    runtime.run(|| spawn_on(0, || ()).join().unwrap());
    settled(&runtime, |metrics| {
        metrics.stacks_live == 0 && metrics.stacks_pooled <= 101
    });
}

#[test]
fn spawns_count_where_they_are_made_and_thefts_where_they_end() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let by = runtime
        .handle()
        .spawn_on(0, || {
            let (tell, told) = mpsc::channel();
            for _ in 0..10 {
                let tell = tell.clone();
                drop(spawn(move || tell.send(rustlet::worker_index()).unwrap()));
            }
            // Blocks the thread: the other worker takes all ten.
            Vec::from_iter((0..10).map(|_| told.recv_timeout(Duration::from_secs(30)).unwrap()))
        })
        .join()
        .unwrap();
    assert_eq!(by, [Some(1); 10]);
    let metrics = settled(&runtime, |metrics| {
        total(metrics, |worker| worker.finished) == 11
    });
    assert_eq!(
        (metrics.workers[0].spawned, metrics.workers[1].spawned),
        (10, 0)
    );
    assert_eq!(
        (metrics.workers[0].finished, metrics.workers[1].finished),
        (1, 10)
    );
    assert_eq!(
        (metrics.workers[0].stolen, metrics.workers[1].stolen),
        (0, 10)
    );
    assert_eq!(metrics.live, 0);
}

#[test]
fn switches_are_first_runs_and_resumptions() {
    let _watchdog = watchdog();
    let runtime = runtime(1);
    let before = runtime.metrics().workers[0].switches;
    runtime.run(|| (0..1000).for_each(|_| yield_now()));
    let metrics = settled(&runtime, |metrics| metrics.workers[0].finished == 1);
    // They are added up at the end of a turn.
    let wanted = |metrics: &RuntimeMetrics| metrics.workers[0].switches - before >= 1001;
    let after = settled(&runtime, wanted).workers[0].switches;
    // The worker's own code may have been returned to.
    assert!(after - before <= 1001 + 10, "{before} to {after}");
    assert!(metrics.workers[0].switches <= after);
}

#[test]
fn timers_count_when_they_come_due_and_not_when_they_are_taken_back() {
    let _watchdog = watchdog();
    // A sleep whose time is over before it has begun to wait needs no timer: hence not too short.
    const LONG_ENOUGH: Duration = Duration::from_millis(500);
    let runtime = runtime(1);
    let before = runtime.metrics().workers[0].timers_fired;
    runtime.run(|| {
        let sleepers: Vec<_> = (0..25).map(|_| spawn(|| sleep(LONG_ENOUGH))).collect();
        sleepers
            .into_iter()
            .for_each(|greenlet| greenlet.join().unwrap());
        rustlet::spawn_later(LONG_ENOUGH, || ()).join().unwrap();
        rustlet::block_on(rustlet::Sleep::new(LONG_ENOUGH));
        // Not due.
        let long = spawn(|| sleep(Duration::from_secs(3600)));
        yield_now();
        long.kill().unwrap();
        rustlet::timeout(Duration::from_secs(3600), || ()).unwrap();
    });
    assert_eq!(runtime.metrics().workers[0].timers_fired - before, 27);
}

#[test]
fn events_and_polls_count_what_sockets_do() {
    let _watchdog = watchdog();
    let runtime = runtime(1);
    let counts = |runtime: &Runtime| {
        let metrics = runtime.metrics();
        (metrics.workers[0].io_events, metrics.workers[0].polls)
    };
    runtime.run(|| ());
    let before = counts(&runtime);
    assert_eq!(before.0, 0, "the bell is no event of a descriptor");
    const ROUNDS: u64 = 50;
    let peer = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = peer.local_addr().unwrap();
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = peer.accept().unwrap();
        let mut byte = [0];
        for _ in 0..ROUNDS {
            stream.read_exact(&mut byte).unwrap();
            // When the other side waits, so that each byte is an event.
            std::thread::sleep(Duration::from_millis(2));
            stream.write_all(&byte).unwrap();
        }
    });
    runtime.run(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        let mut byte = [0];
        for _ in 0..ROUNDS {
            stream.write_all(&[1]).unwrap();
            stream.read_exact(&mut byte).unwrap();
        }
    });
    echo.join().unwrap();
    let after = counts(&runtime);
    let (events, polls) = (after.0 - before.0, after.1 - before.1);
    // An event a byte, or fewer if this side was late; one or two for the connection itself.
    assert!(
        (ROUNDS / 2..=ROUNDS + 5).contains(&events),
        "{events} events"
    );
    assert!(polls >= events, "{polls} polls, {events} events");
    // The listener type counts as well.
    runtime.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let accepts = spawn(move || listener.accept().map(drop));
        yield_now();
        drop(TcpStream::connect(addr).unwrap());
        accepts.join().unwrap().unwrap();
    });
    assert!(counts(&runtime).0 > after.0);
}

#[test]
fn wakes_through_the_inbox_are_counted() {
    let _watchdog = watchdog();
    let runtime = runtime(1);
    let (begin, began) = mpsc::channel();
    let set = Arc::new(Event::new());
    let wait = set.clone();
    let waiter = runtime.spawn(move || {
        begin.send(()).unwrap();
        wait.wait();
    });
    began.recv().unwrap();
    // It ran then; once its worker has slept since, it waits. (A nanosecond more or less is rounding.)
    let idle = runtime.metrics().workers[0].idle + Duration::from_millis(1);
    settled(&runtime, |metrics| metrics.workers[0].idle > idle);
    let before = runtime.metrics().workers[0].inbox_wakes;
    set.set();
    waiter.join().unwrap();
    assert_eq!(runtime.metrics().workers[0].inbox_wakes - before, 1);
}

#[test]
fn time_is_idle_or_busy() {
    let _watchdog = watchdog();
    let began = Instant::now();
    let runtime = runtime(1);
    const SPELL: Duration = Duration::from_millis(150);
    // Asleep: counted while it sleeps, not only afterwards.
    settled(&runtime, |metrics| metrics.workers[0].idle >= SPELL);
    let before = runtime.metrics().workers[0];
    // Longer than its beginning, which on a machine that is busy may have been long.
    let spell = SPELL.max(before.longest_run * 2);
    runtime.run(move || {
        let end = Instant::now() + spell;
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    });
    // Looked at after the next switch.
    let after = settled(&runtime, |metrics| {
        metrics.workers[0].longest_run >= spell * 9 / 10
    })
    .workers[0];
    assert!(
        after.busy - before.busy >= spell * 9 / 10,
        "{before:?} {after:?}"
    );
    assert!(before.longest_run < after.longest_run);
    let all = after.idle + after.busy;
    let elapsed = began.elapsed();
    // The cycle counter's rate is known to some per cent.
    assert!(all <= elapsed + elapsed / 10, "{all:?} of {elapsed:?}");
}

#[test]
fn futures_are_counted_until_they_are_dropped() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let handles: Vec<_> = (0..30)
        .map(|_| runtime.handle().spawn_future(std::future::pending::<()>()))
        .collect();
    // What polls them is not counted; only for a moment, while it is made.
    settled(&runtime, |metrics| {
        metrics.futures == 30 && metrics.live == 0
    });
    handles.into_iter().for_each(rustlet::FutureHandle::cancel);
    settled(&runtime, |metrics| metrics.futures == 0);
}

#[test]
fn readers_and_workers_do_not_disturb_each_other() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    let handle = runtime.handle();
    let (stop, stopped) = mpsc::channel::<()>();
    let (begin, began) = mpsc::channel::<()>();
    // One that reads all the time, what is in memory too, while stacks come and runtimes end.
    let reader = std::thread::spawn(move || {
        let mut reads = 0_u64;
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            let metrics = handle.metrics();
            assert!(
                metrics.stacks_live < 1_000_000 && metrics.live < 1_000_000,
                "{metrics:?}"
            );
            if reads.is_multiple_of(8) {
                assert!(handle.resident_stack_bytes() < 1 << 30);
            }
            reads += 1;
            let _ = begin.send(());
        }
        // The end of the workers has unmapped all stacks.
        (reads, handle.resident_stack_bytes(), handle.metrics())
    });
    began.recv().unwrap();
    for _ in 0..20 {
        runtime.run(|| {
            let crowd: Vec<_> = (0..500).map(|_| spawn(yield_now)).collect();
            rustlet::joinall(crowd);
        });
    }
    drop(runtime);
    stop.send(()).unwrap();
    let (reads, resident, metrics) = reader.join().unwrap();
    assert!(reads > 0);
    assert_eq!(resident, 0);
    assert_eq!(
        (metrics.live, metrics.stacks_live, metrics.stacks_pooled),
        (0, 0, 0)
    );
}
