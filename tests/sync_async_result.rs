//! `AsyncResult`: gevent's behaviours, and links.

mod support;

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustlet::sync::AsyncResult;
use rustlet::{JoinError, spawn, timeout, yield_now};
use support::Counter;

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

type Result3 = AsyncResult<u32, String>;

#[test]
fn a_value_and_an_error() {
    let _watchdog = support::watchdog();
    let result = Arc::new(Result3::new());
    assert!(!result.is_ready() && !result.is_successful());
    assert_eq!(
        (result.get_nowait(), result.get_timeout(MOMENT)),
        (None, None)
    );
    assert!(!result.wait_timeout(MOMENT));
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let result = result.clone();
            spawn(move || result.get())
        })
        .collect();
    yield_now();
    result.set(1);
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap(), Ok(1));
    }
    assert!(result.is_ready() && result.is_successful());
    result.wait();
    assert!(result.wait_timeout(Duration::ZERO));
    assert_eq!(
        (result.get(), result.get_nowait(), result.get_timeout(HOUR)),
        (Ok(1), Some(Ok(1)), Some(Ok(1)))
    );

    // gevent: a second `set` replaces the first.
    result.set_error("no".to_owned());
    assert!(result.is_ready() && !result.is_successful());
    assert_eq!(result.get(), Err("no".to_owned()));
    result.wait(); // never the error
}

/// gevent's test_set_with_timeout and test_wait_timeout.
#[test]
fn limits_are_kept_and_an_outer_one_is_not_swallowed() {
    let _watchdog = support::watchdog();
    let result = Result3::default();
    let start = Instant::now();
    assert_eq!(result.get_timeout(MOMENT), None);
    assert!(start.elapsed() >= MOMENT);
    assert!(timeout(MOMENT, || result.get()).is_err());
    assert!(timeout(MOMENT, || result.get_timeout(HOUR)).is_err());
    assert!(timeout(MOMENT, || result.wait()).is_err());
    result.set(1);
    assert_eq!(timeout(HOUR, || result.get()), Ok(Ok(1)));
}

#[test]
fn by_reference_what_cannot_be_cloned() {
    struct NoClone(u32);
    let result = AsyncResult::<NoClone>::new();
    assert_eq!(result.try_with(|_| ()), None);
    result.set(NoClone(7));
    let Ok(number) = result.with(|outcome| {
        outcome
            .as_ref()
            .map(|value| value.0)
            .map_err(|never| *never)
    });
    assert_eq!(number, 7);
}

/// The user's code runs without the lock: it may use the result itself.
#[test]
fn clone_and_drop_may_use_the_result() {
    struct Meddler(Arc<Mutex<Option<Arc<AsyncResult<Meddler>>>>>, Counter);
    impl Clone for Meddler {
        fn clone(&self) -> Self {
            let result = self.0.lock().unwrap().clone().unwrap();
            assert!(result.is_ready());
            Meddler(self.0.clone(), self.1.clone())
        }
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            self.1.add();
            if let Some(result) = &*self.0.lock().unwrap() {
                assert!(result.is_ready());
            }
        }
    }
    let _watchdog = support::watchdog();
    let (result, place, dropped) = (
        Arc::new(AsyncResult::new()),
        Arc::default(),
        Counter::default(),
    );
    *Mutex::lock(&place).unwrap() = Some(result.clone());
    result.set(Meddler(Arc::clone(&place), dropped.clone()));
    drop(result.get());
    result.set(Meddler(Arc::clone(&place), dropped.clone()));
    assert_eq!(dropped.get(), 2);
    *place.lock().unwrap() = None;
    drop(result);
    assert_eq!(dropped.get(), 3);
}

#[test]
fn killed_waiters_leave_the_others() {
    let _watchdog = support::watchdog();
    let result = Arc::new(Result3::new());
    let waiter = || {
        let result = result.clone();
        spawn(move || result.get())
    };
    let (killed, other) = (waiter(), waiter());
    yield_now();
    killed.kill().unwrap();
    result.set(1);
    assert_eq!(other.join().unwrap(), Ok(1));
}

#[derive(Clone, Default)]
struct Scene {
    result: Arc<Result3>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Scene {
    fn link(&self, name: &str) -> rustlet::LinkId {
        let (log, name) = (self.log.clone(), name.to_owned());
        self.result
            .link(move |outcome| log.lock().unwrap().push(format!("{name} {outcome:?}")))
    }

    fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

#[test]
fn links_are_called_in_order_early_and_late_ones_each_in_its_greenlet() {
    let _watchdog = support::watchdog();
    let scene = Scene::default();
    scene.link("a");
    let blocks = scene.clone();
    scene.result.link(move |_| {
        blocks.log.lock().unwrap().push("blocks".to_owned());
        rustlet::sleep(HOUR);
    });
    scene.result.link(|_| resume_unwind(Box::new("on purpose")));
    scene.link("b");
    yield_now();
    assert_eq!(scene.log(), <[&str; 0]>::default(), "not before it is set");
    scene.result.set(1);
    scene.link("late");
    assert_eq!(
        scene.log(),
        <[&str; 0]>::default(),
        "setting only schedules"
    );
    yield_now();
    assert_eq!(scene.log(), ["a Ok(1)", "blocks", "b Ok(1)", "late Ok(1)"]);
    scene.result.set_error("x".to_owned());
    yield_now();
    assert_eq!(scene.log(), <[&str; 0]>::default(), "once");
    scene.link("later");
    yield_now();
    assert_eq!(scene.log(), ["later Err(\"x\")"]);
}

#[test]
fn a_link_is_taken_back_also_while_others_are_called() {
    let _watchdog = support::watchdog();
    let scene = Scene::default();
    let ids: Vec<_> = ["a", "b", "c", "d"].map(|name| scene.link(name)).into();
    assert!(scene.result.unlink(ids[0]) && !scene.result.unlink(ids[0]));
    scene.result.set(1);
    assert!(scene.result.unlink(ids[2]), "its greenlet has not started");
    yield_now();
    assert_eq!(scene.log(), ["b Ok(1)", "d Ok(1)"]);
    assert!(!scene.result.unlink(ids[1]));
    scene.link("e");
    yield_now();
    assert_eq!(scene.log(), ["e Ok(1)"]);
    assert!(!Result3::new().unlink(ids[3]));
}

#[test]
fn a_link_is_dropped_uncalled_with_its_result() {
    let dropped = Counter::default();
    let result = Result3::new();
    let guard = dropped.on_drop();
    result.link(move |_| drop(guard));
    drop(result);
    assert_eq!(dropped.get(), 1);
}

/// gevent's TestAsyncResultAsLinkTarget.
#[test]
fn the_outcome_of_a_greenlet() {
    let _watchdog = support::watchdog();
    let outcome = |f: fn() -> u32| {
        let result = Arc::new(AsyncResult::<u32, JoinError>::new());
        let theirs = result.clone();
        spawn(f).then(move |outcome| theirs.set_result(outcome));
        result
    };
    let (good, bad) = (
        outcome(|| 5),
        outcome(|| resume_unwind(Box::new("on purpose"))),
    );
    assert_eq!(good.with(|outcome| *outcome.as_ref().unwrap()), 5);
    assert!(bad.with(|outcome| outcome.as_ref().unwrap_err().is_panic()));
}

/// gevent's TestAsyncResultCrossThread, and a link across.
#[test]
fn across_threads() {
    let _watchdog = support::watchdog();
    for _ in 0..50 {
        let scene = Scene::default();
        scene.link("mine");
        let theirs = scene.clone();
        let setter = std::thread::spawn(move || {
            theirs.result.set(1);
            yield_now(); // the link is called here
        });
        let theirs = scene.result.clone();
        let thread = std::thread::spawn(move || {
            let greenlets: Vec<_> = (0..3)
                .map(|_| {
                    let result = theirs.clone();
                    spawn(move || result.get_timeout(HOUR))
                })
                .collect();
            assert_eq!(theirs.get(), Ok(1));
            assert!(
                greenlets
                    .into_iter()
                    .all(|g| g.join().unwrap() == Some(Ok(1)))
            );
        });
        assert_eq!(scene.result.get(), Ok(1));
        setter.join().unwrap();
        thread.join().unwrap();
        assert_eq!(scene.log(), ["mine Ok(1)"]);
    }
}
