//! How a runtime is made: what its builder refuses, and that each property reaches the workers' threads.

mod support;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use rustlet::{Runtime, spawn, spawn_local, worker_index};
use support::{Counter, watchdog};

#[test]
fn numbers_out_of_range_are_errors() {
    let _watchdog = watchdog();
    for workers in [0, 65_535, usize::MAX] {
        let error = Runtime::builder().workers(workers).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&workers.to_string()), "{error}");
    }
    let error = Runtime::builder()
        .stack_size(usize::MAX)
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn there_are_as_many_workers_as_processors_unless_told() {
    let _watchdog = watchdog();
    let expected = std::thread::available_parallelism().map_or(1, Into::into);
    assert_eq!(Runtime::new_default().unwrap().workers(), expected);
    let runtime = Runtime::builder().workers(3).build().unwrap();
    assert_eq!((runtime.workers(), runtime.handle().workers()), (3, 3));
    assert_eq!(
        runtime.run(|| rustlet::RuntimeHandle::current().unwrap().workers()),
        3
    );
    assert!(rustlet::RuntimeHandle::current().is_none());
    assert_eq!(worker_index(), None);
}

#[test]
fn threads_have_their_names() {
    let _watchdog = watchdog();
    let runtime = Runtime::builder().workers(3).name("mill").build().unwrap();
    for worker in 0..3 {
        let name = runtime
            .handle()
            .spawn_on(worker, || {
                let seen_by_kernel = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
                let seen_by_std = std::thread::current().name().unwrap().to_owned();
                assert_eq!(seen_by_kernel.trim(), seen_by_std);
                seen_by_std
            })
            .join()
            .unwrap();
        assert_eq!(name, format!("mill-{worker}"));
    }
}

#[test]
fn the_stack_size_is_that_of_what_has_none_of_its_own() {
    let _watchdog = watchdog();
    // Uses 300 KiB of its stack, or twice that: with the default of 256 KiB it would end the process.
    fn deep() -> u8 {
        let room = std::hint::black_box([1_u8; 300 * 1024]);
        std::hint::black_box(&room)[4711]
    }
    let runtime = Runtime::builder()
        .workers(2)
        .stack_size(1024 * 1024)
        .build()
        .unwrap();
    // From outside, by either spawn of a worker, on a certain worker, as child of a scope.
    assert_eq!(runtime.run(deep), 1);
    runtime.run(|| {
        assert_eq!(spawn(deep).join().unwrap(), 1);
        assert_eq!(spawn_local(deep).join().unwrap(), 1);
        assert_eq!(rustlet::spawn_on(1, deep).join().unwrap(), 1);
        assert_eq!(rustlet::scope(|s| s.spawn(deep).join().unwrap()), 1);
        assert_eq!(
            rustlet::spawn_later(std::time::Duration::ZERO, deep)
                .join()
                .unwrap(),
            1
        );
    });
    assert_eq!(runtime.handle().spawn_on(0, deep).join().unwrap(), 1);
    // A size of its own goes before.
    fn deeper() -> u8 {
        let room = std::hint::black_box([2_u8; 1200 * 1024]);
        std::hint::black_box(&room)[4711]
    }
    let large = rustlet::Builder::new().stack_size(4 << 20);
    let greenlet = large.spawn_in(&runtime.handle(), deeper).unwrap();
    assert_eq!(greenlet.join().unwrap(), 2);
}

#[test]
fn hot_stacks_are_kept_up_to_their_limit() {
    let _watchdog = watchdog();
    for (limit, at_most) in [(0, 100), (1000, 2000)] {
        let runtime = Runtime::builder()
            .workers(1)
            .hot_stacks(limit)
            .build()
            .unwrap();
        let hot = runtime.run(|| {
            let all: Vec<_> = (0..700).map(|_| spawn(rustlet::yield_now)).collect();
            rustlet::joinall(all);
            rustlet::stack::stats().hot
        });
        assert!(hot <= at_most, "{hot} with a limit of {limit}");
        assert!(limit == 0 || hot >= 600, "{hot} with a limit of {limit}");
    }
}

#[test]
fn batch_workers_are_batch_threads_to_the_kernel() {
    let _watchdog = watchdog();
    // The 41st field of proc_pid_stat(5); the second, a name, may have spaces.
    let policy = || -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').nth(41 - 3).unwrap().parse().unwrap()
    };
    let here = policy();
    for (batch, expected) in [(false, here), (true, libc::SCHED_BATCH)] {
        let runtime = Runtime::builder().workers(2).batch(batch).build().unwrap();
        for worker in 0..2 {
            let there = runtime.handle().spawn_on(worker, policy).join().unwrap();
            assert_eq!(there, expected, "worker {worker} with {batch}");
        }
        assert_eq!(policy(), here);
    }
}

#[test]
fn pinned_workers_have_a_processor_each() {
    let _watchdog = watchdog();
    let allowed = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("Cpus_allowed_list:"))
            .unwrap();
        line.split_once(':').unwrap().1.trim().to_owned()
    };
    let before = allowed(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
    let runtime = Runtime::builder().workers(4).pinned(true).build().unwrap();
    let mut processors = Vec::new();
    for worker in 0..4 {
        let status = runtime.handle().spawn_on(worker, || {
            std::fs::read_to_string("/proc/thread-self/status").unwrap()
        });
        let list = allowed(&status.join().unwrap());
        // One number, no range.
        processors.push(
            list.parse::<usize>()
                .unwrap_or_else(|_| panic!("bound to {list}")),
        );
    }
    let available: usize = std::thread::available_parallelism().unwrap().into();
    let distinct = HashSet::<_>::from_iter(&processors).len();
    assert!(distinct >= available.min(4), "{processors:?} of {before}");
    // The builder's thread is not.
    let after = allowed(&std::fs::read_to_string("/proc/thread-self/status").unwrap());
    assert_eq!(before, after);
}

#[test]
fn hooks_run_on_each_workers_thread_before_and_after() {
    let _watchdog = watchdog();
    let log = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str| {
        let log = log.clone();
        move |worker: usize| {
            let thread = std::thread::current().name().unwrap().to_owned();
            log.lock().unwrap().push((what, worker, thread));
        }
    };
    let runtime = Runtime::builder()
        .workers(2)
        .name("hooked")
        .on_worker_start(note("start"))
        .on_worker_stop(note("stop"))
        .build()
        .unwrap();
    assert_eq!(
        log.lock().unwrap().len(),
        2,
        "build has waited for the hooks"
    );
    let (of_greenlet, of_destructor) = (note("greenlet"), note("destructor"));
    let ended = Counter::default();
    let guard = ended.on_drop();
    runtime
        .handle()
        .spawn_on(1, move || of_greenlet(1))
        .join()
        .unwrap();
    // Lives until the end, when it is killed: before the stop hook.
    struct AtEnd<F: Fn(usize)>(F, #[allow(dead_code)] support::OnDrop);
    impl<F: Fn(usize)> Drop for AtEnd<F> {
        fn drop(&mut self) {
            (self.0)(0);
        }
    }
    let at_end = AtEnd(of_destructor, guard);
    let _endless = runtime.handle().spawn_on(0, move || {
        let _at_end = at_end;
        rustlet::sleep(std::time::Duration::MAX);
    });
    drop(runtime);
    assert_eq!(ended.get(), 1);
    let log = std::mem::take(&mut *log.lock().unwrap());
    for (what, worker, thread) in &log {
        assert_eq!(*thread, format!("hooked-{worker}"), "{what}");
    }
    let place = |what, worker| {
        log.iter()
            .position(|entry| (entry.0, entry.1) == (what, worker))
            .unwrap()
    };
    assert_eq!(log.len(), 6, "{log:?}");
    assert!(place("start", 1) < place("greenlet", 1));
    assert!(place("greenlet", 1) < place("stop", 1));
    assert!(place("destructor", 0) < place("stop", 0));
}

#[test]
fn a_start_hook_that_panics_fails_the_build_and_leaves_no_thread() {
    if !support::is_child() {
        support::child("a_start_hook_that_panics_fails_the_build_and_leaves_no_thread")
            .run()
            .assert_passed();
        return;
    }
    let threads = support::thread_count();
    for culprit in [0, 2] {
        let (started, stopped) = (Counter::default(), Counter::default());
        let (starts, stops) = (started.clone(), stopped.clone());
        let error = Runtime::builder()
            .workers(3)
            .on_worker_start(move |worker| {
                assert_ne!(worker, culprit, "as told");
                starts.add();
            })
            .on_worker_stop(move |_| {
                stops.add();
            })
            .build()
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("the start hook of worker {culprit}")),
            "{error}"
        );
        support::threads_settle(threads, "after the start hook panicked");
        assert_eq!(
            started.get(),
            stopped.get(),
            "who was greeted is bidden farewell"
        );
    }
}

#[test]
fn a_stop_hook_that_panics_harms_nobody() {
    let _watchdog = watchdog();
    let stopped = Counter::default();
    let stops = stopped.clone();
    let runtime = Runtime::builder()
        .workers(2)
        .on_worker_stop(move |worker| {
            stops.add();
            assert_ne!(worker, 0, "as told");
        })
        .build()
        .unwrap();
    runtime
        .shutdown(std::time::Duration::from_secs(30))
        .unwrap();
    assert_eq!(stopped.get(), 2);
}

#[test]
fn uncaught_panics_go_to_the_hook_of_their_runtime() {
    let _watchdog = watchdog();
    let told = Arc::new(Mutex::new(Vec::new()));
    let runtimes = ["one", "two"].map(|name| {
        let told = told.clone();
        Runtime::builder()
            .workers(2)
            .uncaught_hook(move |uncaught| told.lock().unwrap().push((name, uncaught.to_string())))
            .build()
            .unwrap()
    });
    for (runtime, text) in runtimes.iter().zip(["first", "second"]) {
        let error = runtime.spawn(move || panic!("{text}")).join().unwrap_err();
        assert!(error.is_panic());
    }
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].0 == "one" && told[0].1.contains("first"),
        "{told:?}"
    );
    assert!(
        told[1].0 == "two" && told[1].1.contains("second"),
        "{told:?}"
    );
}
