//! What must hold for everything that waits, written once: after gevent's `testing/timing.py` (MIT),
//! whose `AbstractGenericWaitTestCase` and `AbstractGenericGetTestCase` its own tests instantiate in
//! the same way.
//!
//! An object under test says through [`Waited`] how to wait for it and how to let a wait succeed. Each function
//! here is one property; the macro [`waited`] makes a test of each for one object. What gevent asks:
//!
//! - [`keeps_its_limit`]: not early, not far too late, and the others run meanwhile;
//! - [`outer_limit_passes`]: a limit around the wait is not swallowed by the wait's own.
//!
//! And what is asked here beyond that, under "cancelled means that it did not happen":
//!
//! - [`zero_does_not_wait`];
//! - [`ends_when_granted`]: with its value, not at the limit;
//! - [`a_kill_ends_it`] and takes nothing along;
//! - [`a_grant_and_a_kill`], [`a_grant_at_the_limit`]: whoever comes first, one grant is one success.
//!
//! Each runs on a thread's own stack and in a greenlet, where waiting is another thing inside.
//!
//! The upper bounds are those of a machine that is busy with something else. What they tell apart is
//! a wait that ends from one that does not: the limits that must not be reached are an hour.

pub(crate) mod ends;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod locks;
pub(crate) mod queues;
pub(crate) mod selects;

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustlet::{Greenlet, sleep, spawn_local, timeout, yield_now};

use crate::support::{self, Counter};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const SHORT: Duration = Duration::from_millis(5);

/// Something that can be waited for, by several.
pub(crate) trait Waited: Sized + 'static {
    /// Whether a wait that succeeds uses up the grant. If not, all that follow succeed too.
    const USED_UP: bool;

    /// Whether `wait_timeout` is the object's own, and not a limit around `wait`.
    const OWN_LIMIT: bool = true;

    /// In the state in which every wait waits.
    fn new() -> Self;

    /// Waits for as long as it takes.
    fn wait(&self);

    /// Waits for no longer than `limit`; whether it succeeded.
    fn wait_timeout(&self, limit: Duration) -> bool;

    /// Lets a wait succeed, one that is under way or the next.
    fn grant(&self);
}

/// How many waits would succeed now, after one grant of which `used` have been seen to succeed.
#[track_caller]
fn expect_conserved<W: Waited>(object: &W, used: usize) {
    if !W::USED_UP {
        assert!(object.wait_timeout(HOUR), "a lasting grant is gone");
        return;
    }
    assert!(used <= 1, "{used} waits succeeded by one grant");
    if used == 0 {
        assert!(object.wait_timeout(HOUR), "the grant is lost");
    }
    assert!(!object.wait_timeout(SHORT), "one grant, two successes");
}

/// Runs `check` on the thread's own stack and in a greenlet.
fn everywhere(check: fn()) {
    let _watchdog = support::watchdog();
    check();
    spawn_local(check).join().unwrap();
}

/// Panics unless `wait` takes `limit` or a little more.
#[track_caller]
pub(crate) fn takes<T>(limit: Duration, wait: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let value = wait();
    let taken = start.elapsed();
    assert!(taken >= limit, "early: {taken:?} of {limit:?}");
    let bound = limit + Duration::from_secs(10) * support::slowdown();
    assert!(taken < bound, "late: {taken:?} of {limit:?}");
    value
}

/// Lets all who can run come to where they wait.
fn settle() {
    (0..10).for_each(|_| yield_now());
}

/// A greenlet that counts its turns, until this is dropped.
struct Neighbour {
    turns: Counter,
    stop: Rc<Cell<bool>>,
}

impl Neighbour {
    fn new() -> Self {
        let (turns, stop) = (Counter::default(), Rc::new(Cell::new(false)));
        let (counted, stopped) = (turns.clone(), stop.clone());
        drop(spawn_local(move || {
            while !stopped.get() {
                counted.add();
                yield_now();
            }
        }));
        Neighbour { turns, stop }
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.stop.set(true);
    }
}

// ---------------------------------------------------------------------------- limits

/// A wait for what does not come takes its limit, lets the others run, and leaves nothing behind.
pub(crate) fn keeps_its_limit<W: Waited>() {
    everywhere(|| {
        let object = W::new();
        let neighbour = Neighbour::new();
        // A limit that is over before the wait begins is no wait: on a slow machine, a longer one.
        let most = Duration::from_secs(5) * support::slowdown();
        let mut limit = 4 * SHORT;
        while neighbour.turns.get() == 0 {
            assert!(limit < most, "the others did not run");
            assert!(!takes(limit, || object.wait_timeout(limit)));
            limit *= 4;
        }
        drop(neighbour);
        object.grant();
        expect_conserved(&object, 0);
    });
}

/// With no time at all, it says whether it can be had now, and the others do not run.
pub(crate) fn zero_does_not_wait<W: Waited>() {
    everywhere(|| {
        let object = W::new();
        let neighbour = Neighbour::new();
        assert!(!object.wait_timeout(Duration::ZERO));
        if W::OWN_LIMIT {
            assert_eq!(neighbour.turns.get(), 0, "it waited");
        }
        drop(neighbour);
        object.grant();
        assert!(object.wait_timeout(Duration::ZERO), "it could be had");
        expect_conserved(&object, 1);
    });
}

/// A limit around the wait ends it, whether the wait has a limit of its own or not, and leaves nothing
/// behind.
pub(crate) fn outer_limit_passes<W: Waited>() {
    everywhere(|| {
        let object = W::new();
        let outer = takes(SHORT, || timeout(SHORT, || object.wait()));
        outer.expect_err("the outer limit");
        let outer = takes(SHORT, || timeout(SHORT, || object.wait_timeout(HOUR)));
        outer.expect_err("the outer limit, not the inner one");
        let outer = takes(SHORT, || {
            timeout(SHORT, || timeout(HOUR, || object.wait()).is_ok())
        });
        outer.expect_err("the outer limit of two");
        let inner = takes(SHORT, || {
            timeout(HOUR, || object.wait_timeout(SHORT)).unwrap()
        });
        assert!(!inner, "the inner limit, within the outer one");
        object.grant();
        expect_conserved(&object, 0);
    });
}

// ---------------------------------------------------------------------------- grants

/// A grant ends the waits, with and without a limit.
pub(crate) fn ends_when_granted<W: Waited>() {
    everywhere(|| {
        let object = Rc::new(W::new());
        let waits: [fn(&W); 2] = [W::wait, |object| assert!(object.wait_timeout(HOUR))];
        let waiters = waits.map(|wait| {
            let object = object.clone();
            spawn_local(move || wait(&object))
        });
        settle();
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        takes(Duration::ZERO, || {
            object.grant();
            if W::USED_UP {
                // Not both at once: a wait that succeeds takes what it was granted along.
                while waiters.iter().all(|waiter| !waiter.is_finished()) {
                    yield_now();
                }
                assert!(waiters.iter().any(|waiter| !waiter.is_finished()));
                object.grant();
            }
            for waiter in waiters {
                waiter.join().unwrap();
            }
        });
    });
}

/// A kill ends the wait, and the one that waits behind gets the grant.
pub(crate) fn a_kill_ends_it<W: Waited>() {
    everywhere(|| {
        let object = Rc::new(W::new());
        let passed = Counter::default();
        let [victim, heir] = [(); 2].map(|()| {
            let (object, passed) = (object.clone(), passed.clone());
            spawn_local(move || {
                object.wait();
                passed.add();
            })
        });
        settle();
        takes(Duration::ZERO, || victim.kill().unwrap());
        assert!(victim.join().unwrap_err().is_killed());
        assert_eq!(passed.get(), 0);
        object.grant();
        takes(Duration::ZERO, || heir.join().unwrap());
        assert_eq!(passed.get(), 1);
        expect_conserved(&*object, 1);
    });
}

/// A grant and a kill in the same turn, in either order: the wait succeeds, or did not happen; and then the
/// one that waits behind gets the grant.
pub(crate) fn a_grant_and_a_kill<W: Waited>() {
    everywhere(|| {
        for kill_first in [false, true] {
            let object = Rc::new(W::new());
            let passed = Counter::default();
            let (waited, counted) = (object.clone(), passed.clone());
            let victim = spawn_local(move || {
                waited.wait();
                counted.add();
                sleep(HOUR);
            });
            let heir = heir(&object);
            settle();
            if kill_first {
                victim.kill_nowait();
                object.grant();
            } else {
                object.grant();
                victim.kill_nowait();
            }
            takes(Duration::ZERO, || victim.kill().unwrap());
            expect_inherited(&*object, passed.get(), heir);
        }
    });
}

/// A grant at the moment of the limit: the wait succeeds, or did not happen; and then the one that
/// waits behind gets the grant.
pub(crate) fn a_grant_at_the_limit<W: Waited>() {
    everywhere(|| {
        for round in 0..20_u32 {
            let object = Rc::new(W::new());
            let waited = object.clone();
            let limit = Duration::from_micros(500);
            let waiter = spawn_local(move || usize::from(waited.wait_timeout(limit)));
            let heir = heir(&object);
            // From a little before to a little after; the wheel's tick is 65.5 µs.
            sleep(limit - Duration::from_micros(130) + Duration::from_micros(13) * round);
            object.grant();
            let used = waiter.join().unwrap();
            expect_inherited(&*object, used, heir);
        }
    });
}

/// One that waits behind.
fn heir<W: Waited>(object: &Rc<W>) -> Greenlet<()> {
    let object = object.clone();
    spawn_local(move || object.wait())
}

/// After one grant, of which the first in the queue used `used`: the rest is the heir's.
#[track_caller]
fn expect_inherited<W: Waited>(object: &W, used: usize, heir: Greenlet<()>) {
    if W::USED_UP && used == 1 {
        yield_now();
        assert!(!heir.is_finished(), "one grant, two successes");
        object.grant();
    }
    takes(Duration::ZERO, || heir.join().unwrap());
    expect_conserved(object, 1);
}

/// A module of tests, one for each property, for each object.
macro_rules! waited {
    ($($name:ident: $object:ty),+ $(,)?) => {
        $(mod $name {
            use super::*;

            #[test]
            fn keeps_its_limit() {
                timing::keeps_its_limit::<$object>();
            }

            #[test]
            fn zero_does_not_wait() {
                timing::zero_does_not_wait::<$object>();
            }

            #[test]
            fn outer_limit_passes() {
                timing::outer_limit_passes::<$object>();
            }

            #[test]
            fn ends_when_granted() {
                timing::ends_when_granted::<$object>();
            }

            #[test]
            fn a_kill_ends_it() {
                timing::a_kill_ends_it::<$object>();
            }

            #[test]
            fn a_grant_and_a_kill() {
                timing::a_grant_and_a_kill::<$object>();
            }

            #[test]
            fn a_grant_at_the_limit() {
                timing::a_grant_at_the_limit::<$object>();
            }
        })+
    };
}
pub(crate) use waited;
