//! `RwLock`: sharing, order between readers and writers, hand-over, limits, kills, poisoning, downgrading.

mod support;

use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustlet::sync::{RwLock, RwLockWriteGuard, TryLockError};
use rustlet::{Greenlet, sleep, spawn, timeout, yield_now};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(5);

/// A lock, and who has had it.
#[derive(Clone, Default)]
struct Scene {
    lock: Arc<RwLock<()>>,
    log: Arc<Mutex<Vec<&'static str>>>,
}

impl Scene {
    /// A greenlet that reads, logs `name`, and reads on until the next turn.
    fn reader(&self, name: &'static str) -> Greenlet<()> {
        let scene = self.clone();
        spawn(move || {
            let _guard = scene.lock.read().unwrap();
            scene.log.lock().unwrap().push(name);
            yield_now();
        })
    }

    fn writer(&self, name: &'static str) -> Greenlet<()> {
        let scene = self.clone();
        spawn(move || {
            let _guard = scene.lock.write().unwrap();
            scene.log.lock().unwrap().push(name);
            yield_now();
        })
    }

    fn log(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

#[test]
fn readers_share_and_writers_do_not() {
    let lock = RwLock::new(1);
    let (a, b) = (lock.read().unwrap(), lock.try_read().unwrap());
    assert_eq!(*a + *b, 2);
    assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
    drop((a, b));
    let mut writer = lock.write().unwrap();
    *writer += 1;
    assert!(matches!(lock.try_read(), Err(TryLockError::WouldBlock)));
    assert!(matches!(lock.try_write(), Err(TryLockError::WouldBlock)));
    drop(writer);
    assert_eq!(lock.into_inner().unwrap(), 2);
}

#[test]
fn all_are_let_in_in_order_and_neighbouring_readers_together() {
    let _watchdog = support::watchdog();
    let scene = Scene::default();
    let guard = scene.lock.write().unwrap();
    let greenlets = [
        scene.reader("r1"),
        scene.reader("r2"),
        scene.writer("w1"),
        scene.reader("r3"),
        scene.writer("w2"),
    ];
    yield_now();
    drop(guard);
    yield_now();
    assert_eq!(scene.log(), ["r1", "r2"], "together, and nobody else");
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    assert_eq!(scene.log(), ["w1", "r3", "w2"]);
}

#[test]
fn readers_who_keep_coming_do_not_starve_a_writer() {
    let _watchdog = support::watchdog();
    let scene = Scene::default();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let scene = scene.clone();
            spawn(move || {
                loop {
                    let _guard = scene.lock.read().unwrap();
                    yield_now();
                }
            })
        })
        .collect();
    yield_now();
    scene.writer("w").join().unwrap();
    // Nor do writers starve a reader.
    for reader in readers {
        reader.kill().unwrap();
    }
    let theirs = scene.clone();
    let writer = spawn(move || {
        loop {
            let _guard = theirs.lock.write().unwrap();
            yield_now();
        }
    });
    yield_now();
    scene.reader("r").join().unwrap();
    writer.kill().unwrap();
}

#[test]
fn whoever_comes_while_others_wait_waits() {
    let _watchdog = support::watchdog();
    let scene = Scene::default();
    let guard = scene.lock.read().unwrap();
    let writer = scene.writer("w");
    yield_now();
    assert!(scene.lock.try_read().is_err(), "a writer waits");
    assert!(scene.lock.read_timeout(MOMENT).is_err());
    drop(guard);
    assert!(
        scene.lock.try_read().is_err(),
        "handed to the writer already"
    );
    writer.join().unwrap();
    assert!(scene.lock.try_read().is_ok());
}

#[test]
fn a_writer_that_gives_up_lets_the_readers_behind_it_in() {
    let _watchdog = support::watchdog();
    for kill in [true, false] {
        let scene = Scene::default();
        let guard = scene.lock.read().unwrap();
        let theirs = scene.clone();
        // The limit may pass at any time; the readers do not come before that.
        let limit = if kill { HOUR } else { MOMENT };
        let writer = spawn(move || {
            let gave_up = theirs.lock.write_timeout(limit).is_err();
            assert!(gave_up && theirs.log().is_empty());
        });
        let readers = [scene.reader("r1"), scene.reader("r2")];
        yield_now();
        if kill {
            assert!(scene.log().is_empty());
            writer.kill().unwrap();
        } else {
            writer.join().unwrap();
        }
        readers.into_iter().for_each(|g| g.join().unwrap());
        assert_eq!(scene.log(), ["r1", "r2"]);
        drop(guard);
    }
}

#[test]
fn a_limit_an_outer_timeout_and_a_kill_leave_nothing_behind() {
    let _watchdog = support::watchdog();
    let lock = Arc::new(RwLock::new(()));
    let guard = lock.write().unwrap();
    assert!(lock.read_timeout(MOMENT).is_err());
    assert!(lock.write_timeout(MOMENT).is_err());
    assert!(timeout(MOMENT, || lock.read().map(drop)).is_err());
    assert!(timeout(MOMENT, || lock.write_timeout(HOUR).map(drop)).is_err());
    let theirs = lock.clone();
    let killed = spawn(move || drop(theirs.read()));
    yield_now();
    killed.kill().unwrap();
    drop(guard);
    assert!(lock.try_write().is_ok());
    assert!(lock.read_timeout(HOUR).is_ok() && lock.write_timeout(HOUR).is_ok());
}

/// One that was handed the lock before its kill arrived has it, and gives it back when it unwinds.
#[test]
fn a_kill_after_the_hand_over_does_not_lose_the_lock() {
    let _watchdog = support::watchdog();
    let scene = Scene::default();
    let guard = scene.lock.write().unwrap();
    let (first, second) = (scene.writer("w1"), scene.writer("w2"));
    yield_now();
    drop(guard);
    first.kill_nowait();
    second.join().unwrap();
    assert_eq!(scene.log(), ["w1", "w2"]);
    assert!(scene.lock.try_write().is_ok() && !scene.lock.is_poisoned());
}

#[test]
fn a_writer_goes_on_reading() {
    let _watchdog = support::watchdog();
    let scene = Scene::default();
    let guard = scene.lock.write().unwrap();
    let greenlets = [scene.reader("r1"), scene.writer("w"), scene.reader("r2")];
    yield_now();
    let guard = RwLockWriteGuard::downgrade(guard);
    yield_now();
    assert_eq!(
        scene.log(),
        ["r1"],
        "the reader that is first, not the writer"
    );
    drop(guard);
    greenlets.into_iter().for_each(|g| g.join().unwrap());
    assert_eq!(scene.log(), ["w", "r2"]);
}

#[test]
fn a_writers_panic_poisons_and_nothing_else_does() {
    let _watchdog = support::watchdog();
    let lock = Arc::new(RwLock::new(0));
    let ends = |write: bool, act: fn()| {
        let lock = lock.clone();
        spawn(move || {
            let _guards = match write {
                true => (None, Some(lock.write().unwrap())),
                false => (Some(lock.read().unwrap()), None),
            };
            act();
        })
    };
    let panics: fn() = || resume_unwind(Box::new("on purpose"));
    assert!(ends(false, panics).join().is_err());
    let killed = ends(true, || sleep(HOUR));
    yield_now();
    killed.kill().unwrap();
    assert!(!lock.is_poisoned());
    assert!(ends(true, panics).join().is_err());
    assert!(lock.is_poisoned() && lock.read().is_err() && lock.write().is_err());
    assert!(matches!(lock.try_read(), Err(TryLockError::Poisoned(_))));
    lock.clear_poison();
    assert!(lock.read().is_ok());
}

#[test]
fn certain_and_uncertain_holders_in_reports() {
    let _watchdog = support::watchdog();
    let lock = Arc::new(RwLock::new(()));
    let theirs = lock.clone();
    let greenlet = spawn(move || {
        let _guard = theirs.write().unwrap();
        let _never = theirs.read();
    });
    yield_now();
    let deadlocks = rustlet::inspect::deadlocks();
    assert!(
        deadlocks.len() == 1 && deadlocks[0].is_certain(),
        "{deadlocks:?}"
    );
    greenlet.kill().unwrap();
    // Nothing is known of readers.
    let theirs = lock.clone();
    let greenlet = spawn(move || {
        let _guard = theirs.read().unwrap();
        let _never = theirs.write();
    });
    yield_now();
    assert!(rustlet::inspect::deadlocks().is_empty());
    greenlet.kill().unwrap();
}

#[test]
fn readers_of_several_hubs_read_together() {
    let _watchdog = support::watchdog();
    let lock = Arc::new(RwLock::new(()));
    let inside = Arc::new(std::sync::Barrier::new(3));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (lock, inside) = (lock.clone(), inside.clone());
            std::thread::spawn(move || {
                let _guard = lock.read().unwrap();
                inside.wait(); // all three are inside, or this hangs
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    assert!(lock.write().is_ok());
}

#[test]
fn the_rest_of_the_face() {
    let mut lock = RwLock::from(1);
    *lock.get_mut().unwrap() = 2;
    assert!(format!("{lock:?}").contains("data: 2"));
    let guard = lock.write().unwrap();
    assert!(format!("{lock:?}").contains("<locked>"));
    assert_eq!(
        (format!("{guard}"), format!("{guard:?}")),
        ("2".into(), "2".into())
    );
    drop(guard);
    assert_eq!(format!("{}", lock.read().unwrap()), "2");
    assert!(RwLock::<Vec<u8>>::default().read().unwrap().is_empty());
}
