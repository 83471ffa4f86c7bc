//! gevent's `test__threadpool.py`, as far as the `offload_…` tests do not have it: inputs that fail, jobs that overtake each
//! other, limits and callbacks.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use rustlet::offload::ThreadPool;
use rustlet::{as_completed, spawn, timeout};

/// `TestErrorInIterator`. What has been handed over before runs nevertheless.
#[test]
fn a_panic_of_the_input_comes_out_of_map() {
    let _watchdog = support::watchdog();
    let pool = ThreadPool::new(3);
    let (tell, told) = mpsc::channel();
    let items = (1..10).inspect(|&n| {
        if n == 3 {
            std::panic::panic_any("the input");
        }
    });
    let raised = catch_unwind(AssertUnwindSafe(|| {
        pool.map(items, move |n| tell.send(n).unwrap())
    }))
    .unwrap_err();
    assert_eq!(*raised.downcast::<&str>().unwrap(), "the input");
    let mut ran = Vec::from_iter(told.iter());
    ran.sort_unstable();
    assert_eq!(ran, [1, 2]);
    assert_eq!(pool.unblock(|| 1), 1, "the pool goes on");
}

/// `test_imap_unordered_sleep`: a job that takes long is overtaken if there is a thread for the others, and only then.
#[test]
fn jobs_overtake_each_other_if_there_are_threads_enough() {
    let _watchdog = support::watchdog();
    let order = |threads| {
        let pool = Arc::new(ThreadPool::new(threads));
        let (finish, long) = mpsc::channel::<()>();
        let mut finish = Some(finish);
        let mut long = Some(long);
        // Of the jobs themselves: a greenlet whose job is done before it parks goes on sooner than one that must be woken.
        let order = Arc::new(Mutex::new(Vec::new()));
        let jobs = [10, 1, 2].map(|n| {
            let (pool, long, order) = (pool.clone(), long.take(), order.clone());
            spawn(move || {
                pool.unblock(move || {
                    let _ = long.map(|long| long.recv()); // the first takes long
                    order.lock().unwrap().push(n);
                })
            })
        });
        if threads == 1 {
            finish.take(); // nobody can overtake it
        }
        for (ended, (_, job)) in as_completed(jobs).enumerate() {
            job.unwrap();
            if ended == 1 {
                finish.take();
            }
        }
        let order = order.lock().unwrap();
        order.clone()
    };
    assert_eq!(order(1), [10, 1, 2]);
    assert_eq!(order(2), [1, 2, 10]);
}

/// `test_future`: a limit on the wait, callbacks before and after the end, and greenlets that run meanwhile.
#[test]
fn a_greenlet_around_a_job_has_limits_and_callbacks() {
    let _watchdog = support::watchdog();
    let pool = Arc::new(ThreadPool::new(1));
    let (finish, told) = mpsc::channel();
    let job = {
        let pool = pool.clone();
        spawn(move || pool.unblock(move || told.recv().unwrap()))
    };
    let (called, calls) = mpsc::channel();
    let early = called.clone();
    job.link(move |ended| early.send(ended.is_successful()).unwrap());
    assert!(timeout(Duration::from_millis(5), || job.wait()).is_err());
    let other = spawn(|| 2016);
    spawn(move || finish.send(42).unwrap());
    job.wait().unwrap();
    assert_eq!(other.join().unwrap(), 2016);
    job.link(move |ended| called.send(ended.is_successful()).unwrap());
    while job.has_links() {
        rustlet::yield_now();
    }
    assert_eq!(job.join().unwrap(), 42);
    rustlet::sleep(Duration::from_millis(1));
    assert_eq!(Vec::from_iter(calls.iter()), [true, true]);
}
