//! `Pool::map` and `try_map` that are ended while all jobs run: by a kill, a limit, a deadlock. The jobs borrow, so none
//! may be left when the call is.
#![allow(unsafe_code)] // Forks.

mod support;

use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use rustlet::sync::Event;
use rustlet::{JoinError, Pool, park, sleep, spawn_local, timeout, yield_now};
use support::Counter;

const MOMENT: Duration = Duration::from_millis(5);

/// Counts jobs in and out, and waits between for what never comes. It lives in the frame of the caller.
#[derive(Default)]
struct Traffic {
    begun: AtomicUsize,
    ended: AtomicUsize,
    never: Event,
}

impl Traffic {
    fn job(&self) {
        struct Out<'a>(&'a AtomicUsize);
        impl Drop for Out<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, SeqCst);
            }
        }
        self.begun.fetch_add(1, SeqCst);
        let _out = Out(&self.ended);
        self.never.wait();
    }

    fn assert_ended(&self, jobs: usize) {
        assert_eq!(
            (self.begun.load(SeqCst), self.ended.load(SeqCst)),
            (jobs, jobs)
        );
    }
}

type Map = fn(&Pool, usize, &Traffic);

const MAPS: [Map; 2] = [
    |pool, jobs, traffic| drop(pool.map(0..jobs, |_| traffic.job())),
    |pool, jobs, traffic| {
        drop::<Vec<Result<(), JoinError>>>(pool.try_map(0..jobs, |_| traffic.job()));
    },
];

fn pools() -> [Pool; 3] {
    [Pool::new(5), Pool::new(9), Pool::unlimited()]
}

#[test]
fn a_limit_ends_it_after_its_jobs() {
    let _watchdog = support::watchdog();
    for (map, pool) in MAPS
        .into_iter()
        .flat_map(|map| pools().map(|pool| (map, pool)))
    {
        let traffic = Traffic::default();
        // Jobs of others are left alone.
        let other = pool.spawn(park);
        timeout(MOMENT, || map(&pool, 4, &traffic)).unwrap_err();
        traffic.assert_ended(4);
        assert!(!other.is_finished() && pool.len() == 1);
        other.kill().unwrap();
        assert_eq!(pool.map(0..20, |n| n + 1), Vec::from_iter(1..21));
    }
}

#[test]
fn a_kill_ends_it_after_its_jobs() {
    let _watchdog = support::watchdog();
    for (map, pool) in MAPS
        .into_iter()
        .flat_map(|map| pools().map(|pool| (map, pool)))
    {
        let unwound = Counter::default();
        let count = unwound.clone();
        let mapper = spawn_local(move || {
            let traffic = Traffic::default();
            let ended = catch_unwind(AssertUnwindSafe(|| map(&pool, 4, &traffic)));
            traffic.assert_ended(4);
            assert!(pool.is_empty());
            count.add();
            std::panic::resume_unwind(ended.unwrap_err());
        });
        // Its first turn starts them, their first lets them wait.
        yield_now();
        yield_now();
        mapper.kill().unwrap();
        assert!(mapper.join().unwrap_err().is_killed());
        assert_eq!(unwound.get(), 1);
    }
}

#[test]
fn jobs_that_heed_no_kill_are_waited_for() {
    let _watchdog = support::watchdog();
    let pool = Pool::unlimited();
    let traffic = Traffic::default();
    let told = AtomicUsize::new(0);
    timeout(MOMENT, || {
        pool.map(0..4, |_| {
            catch_unwind(AssertUnwindSafe(|| traffic.job())).unwrap_err();
            // It is raised again by the next wait, but not before.
            told.fetch_add(1, SeqCst);
        })
    })
    .unwrap_err();
    traffic.assert_ended(4);
    assert_eq!(told.load(SeqCst), 4);
}

#[test]
fn a_deadlock_is_reported_when_its_jobs_have_ended() {
    if support::emulated() {
        println!(
            "not run: the emulator has a thread of its own in this process, which could end the wait"
        );
        return;
    }
    if !support::is_child() {
        return support::child("a_deadlock_is_reported_when_its_jobs_have_ended")
            .run()
            .assert_passed();
    }
    struct Says;
    impl Drop for Says {
        fn drop(&mut self) {
            eprintln!("a job has ended");
        }
    }
    let job = || {
        let _says = Says;
        sleep(Duration::MAX);
    };
    for map in [
        (|pool, job| drop(pool.map(0..3, |_| job()))) as fn(&Pool, fn()),
        |pool, job| drop(pool.try_map(0..3, |_| job())),
    ] {
        // Certain in a process with one thread only.
        let mut command = std::process::Command::new("/this/is/never/run");
        // SAFETY: as in tests/deadlock.rs: of the threads it left behind, one waits for this test and the other for the time
        // to run out, with no lock held.
        unsafe {
            command.pre_exec(move || {
                map(&Pool::unlimited(), job); // std makes the panic an abort here
                Ok(())
            });
        }
        let output = command.output().expect("it never returns from the map");
        let text = String::from_utf8(output.stderr).unwrap();
        let (jobs, report) = text.split_at(text.find("deadlock: this code").expect(&text));
        assert!(
            jobs.ends_with("waiting for the greenlets of a pool's map: "),
            "{text}"
        );
        assert_eq!(jobs.matches("a job has ended").count(), 3, "{text}");
        assert!(!report.contains("a job has ended"), "{text}");
    }
}
