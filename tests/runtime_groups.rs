//! Scopes, task groups, groups and pools whose members run on other workers, and borrow.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustlet::{Group, Pool, Runtime, TaskGroup, scope, sleep, timeout, worker_index, yield_now};
use support::{Counter, watchdog};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// What children borrow: says so if it is used after its end.
struct Borrowed {
    alive: AtomicUsize,
    used: AtomicUsize,
}

impl Borrowed {
    const ALIVE: usize = 0x600D_600D;

    fn new() -> Self {
        Borrowed {
            alive: AtomicUsize::new(Borrowed::ALIVE),
            used: AtomicUsize::new(0),
        }
    }

    fn touch(&self) {
        assert_eq!(
            self.alive.load(Ordering::SeqCst),
            Borrowed::ALIVE,
            "used after its end"
        );
        self.used.fetch_add(1, Ordering::SeqCst);
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        self.alive.store(0xDEAD, Ordering::SeqCst);
    }
}

/// Touches what is borrowed when it is dropped: the last thing that a child does.
struct TouchesAtEnd<'a>(&'a Borrowed);

impl Drop for TouchesAtEnd<'_> {
    fn drop(&mut self) {
        self.0.touch();
    }
}

#[test]
fn a_scope_waits_for_children_on_all_workers() {
    let _watchdog = watchdog();
    let runtime = runtime(4);
    for _ in 0..50 {
        runtime.run(|| {
            let borrowed = Borrowed::new();
            scope(|s| {
                for n in 0..64 {
                    let borrowed = &borrowed;
                    s.spawn(move || {
                        let _end = TouchesAtEnd(borrowed);
                        for _ in 0..n % 5 {
                            yield_now();
                        }
                        // Grandchildren by the same reference.
                        if n % 8 == 0 {
                            s.spawn(|| borrowed.touch());
                        }
                    });
                }
            });
            assert_eq!(borrowed.used.load(Ordering::SeqCst), 64 + 8);
        });
    }
}

#[test]
fn children_take_part_on_other_workers() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    // Two children that wait for each other with their threads blocked; the parent waits as a greenlet.
    runtime.run(|| {
        let barrier = std::sync::Barrier::new(2);
        let seen = scope(|s| {
            let children = [(); 2].map(|()| {
                s.spawn(|| {
                    barrier.wait();
                    worker_index().unwrap()
                })
            });
            children.map(|child| child.join().unwrap())
        });
        assert_ne!(seen[0], seen[1]);
    });
    runtime.run(|| {
        let barrier = std::sync::Barrier::new(2);
        let seen = Pool::new(2).map([0, 1], |_| {
            barrier.wait();
            worker_index().unwrap()
        });
        assert_ne!(seen[0], seen[1]);
    });
}

#[test]
fn a_panic_of_a_stolen_child_ends_the_scope_and_its_siblings() {
    let _watchdog = watchdog();
    let runtime = runtime(2);
    for _ in 0..50 {
        let raised = runtime.run(|| {
            let borrowed = Borrowed::new();
            let raised = catch_unwind(AssertUnwindSafe(|| {
                scope(|s| {
                    for n in 0..20 {
                        let borrowed = &borrowed;
                        s.spawn(move || {
                            let _end = TouchesAtEnd(borrowed);
                            if n == 7 {
                                panic!("seven");
                            }
                            sleep(Duration::MAX);
                        });
                    }
                    // The other worker has begun with some of them when this one goes on.
                    yield_now();
                });
            }));
            let used = borrowed.used.load(Ordering::SeqCst);
            assert!((1..=20).contains(&used), "{used}");
            *raised.unwrap_err().downcast::<&str>().unwrap()
        });
        assert_eq!(raised, "seven");
    }
}

#[test]
fn a_kill_or_a_limit_of_a_scope_ends_its_children_everywhere() {
    let _watchdog = watchdog();
    let runtime = runtime(4);
    for round in 0..30 {
        let drops = Counter::default();
        let count = drops.clone();
        let (begin, began) = std::sync::mpsc::channel();
        let parent = runtime.spawn(move || {
            let borrowed = Borrowed::new();
            let body = || {
                scope(|s| {
                    for _ in 0..16 {
                        let (borrowed, guard, begin) = (&borrowed, count.on_drop(), begin.clone());
                        s.spawn(move || {
                            let _end = TouchesAtEnd(borrowed);
                            let _guard = guard;
                            let _ = begin.send(());
                            sleep(Duration::MAX);
                        });
                    }
                });
            };
            if round % 2 == 0 {
                body();
            } else {
                assert!(timeout(Duration::from_millis(2), body).is_err());
                sleep(Duration::MAX);
            }
        });
        if round % 2 == 0 {
            for _ in 0..16 {
                began.recv().unwrap();
            }
        } else {
            while drops.get() < 16 {
                std::thread::yield_now();
            }
        }
        parent.kill().unwrap();
        assert!(parent.join().unwrap_err().is_killed());
        assert_eq!(drops.get(), 16);
    }
}

#[test]
fn a_task_group_is_cancelled_by_the_first_error_wherever_it_is() {
    let _watchdog = watchdog();
    let runtime = runtime(3);
    for _ in 0..50 {
        runtime.run(|| {
            let borrowed = Borrowed::new();
            let result: Result<(), u32> = TaskGroup::run(|group| {
                for n in 0..30 {
                    let borrowed = &borrowed;
                    group.spawn(move || {
                        let _end = TouchesAtEnd(borrowed);
                        yield_now();
                        if n == 17 {
                            return Err(n);
                        }
                        sleep(Duration::MAX);
                        Ok(())
                    });
                }
                Ok(())
            });
            assert_eq!(result, Err(17));
        });
    }
}

#[test]
fn pools_and_groups_across_workers() {
    let _watchdog = watchdog();
    let runtime = runtime(3);
    runtime.run(|| {
        let words = Vec::from_iter((0..500).map(|n| format!("word {n}")));
        let most = AtomicUsize::new(0);
        let now = AtomicUsize::new(0);
        let pool = Pool::new(7);
        let lengths = pool.map(&words, |word| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            yield_now();
            now.fetch_sub(1, Ordering::SeqCst);
            word.len()
        });
        assert!(
            lengths
                .iter()
                .zip(&words)
                .all(|(&len, word)| len == word.len())
        );
        assert!(most.load(Ordering::SeqCst) <= 7);
        let in_order: Vec<_> = pool.imap(0..500, |n| n * 2).collect();
        assert_eq!(in_order, Vec::from_iter((0..500).map(|n| n * 2)));
        let mut any_order: Vec<_> = pool
            .imap_unordered(0..500, |n| {
                (0..n % 7).for_each(|_| yield_now());
                n
            })
            .collect();
        any_order.sort_unstable();
        assert_eq!(any_order, Vec::from_iter(0..500));
        let failing = pool.try_map(0..100, |n| assert!(n % 10 != 3, "{n}"));
        assert_eq!(
            failing.iter().filter(|outcome| outcome.is_err()).count(),
            10
        );

        let drops = Counter::default();
        let group = Group::new();
        for _ in 0..200 {
            let guard = drops.on_drop();
            drop(group.spawn(move || {
                let _guard = guard;
                sleep(Duration::MAX);
            }));
        }
        sleep(Duration::from_millis(2));
        assert_eq!(group.len(), 200);
        group.kill();
        assert_eq!((group.len(), drops.get()), (0, 200));
    });
    // An end is told before it is counted.
    while runtime.metrics().live > 0 {
        std::thread::yield_now();
    }
}
