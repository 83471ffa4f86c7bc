//! What the harness is run on: locks, and what else is held.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use rustlet::sync::{
    BoundedSemaphore, Condvar, Mutex, Once, OnceLock, Permit, ReentrantMutex, RwLock, Semaphore,
};
use rustlet::{Greenlet, park, spawn_local, timeout, yield_now};

use super::Waited;

/// A greenlet that keeps something held until it is told to let go.
struct Holder {
    told: Rc<Cell<bool>>,
    greenlet: RefCell<Option<Greenlet<()>>>,
}

impl Holder {
    /// `hold` gets a function that returns when the holder is told.
    fn new(hold: impl FnOnce(&dyn Fn()) + 'static) -> Self {
        let told = Rc::new(Cell::new(false));
        let heard = told.clone();
        let greenlet = spawn_local(move || {
            hold(&|| {
                while !heard.get() {
                    park().unwrap();
                }
            });
        });
        yield_now();
        Holder {
            told,
            greenlet: RefCell::new(Some(greenlet)),
        }
    }

    /// Returns when it has let go.
    fn let_go(&self) {
        self.told.set(true);
        let greenlet = self.greenlet.take().expect("told once");
        greenlet.handle().unpark();
        greenlet.join().unwrap();
    }
}

/// An object, and the greenlet that holds it.
struct Held<T>(Rc<T>, Holder);

impl<T: 'static> Held<T> {
    fn new(object: T, hold: fn(&T, &dyn Fn())) -> Self {
        let object = Rc::new(object);
        let held = object.clone();
        let holder = Holder::new(move |until_told| hold(&held, until_told));
        Held(object, holder)
    }
}

/// A lock that is held, given how it is locked, with and without a limit.
macro_rules! lock {
    ($name:ident, $lock:ty, $held:expr, $wait:expr, $wait_timeout:expr) => {
        pub(crate) struct $name(Held<$lock>);

        impl Waited for $name {
            const USED_UP: bool = false;
            fn new() -> Self {
                $name(Held::new(<$lock>::new(()), $held))
            }
            fn wait(&self) {
                let wait: fn(&$lock) = $wait;
                wait(&self.0.0);
            }
            fn wait_timeout(&self, limit: Duration) -> bool {
                let wait: fn(&$lock, Duration) -> bool = $wait_timeout;
                wait(&self.0.0, limit)
            }
            fn grant(&self) {
                self.0.1.let_go();
            }
        }
    };
}

lock!(
    MutexLock,
    Mutex<()>,
    |lock, until_told| {
        let _guard = lock.lock().unwrap();
        until_told();
    },
    |lock| drop(lock.lock().unwrap()),
    |lock, limit| lock.lock_timeout(limit).is_ok()
);

lock!(
    ReentrantMutexLock,
    ReentrantMutex<()>,
    |lock, until_told| {
        let _guard = lock.lock();
        until_told();
    },
    |lock| drop(lock.lock()),
    |lock, limit| lock.lock_timeout(limit).is_some()
);

lock!(
    RwLockRead,
    RwLock<()>,
    |lock, until_told| {
        let _guard = lock.write().unwrap();
        until_told();
    },
    |lock| drop(lock.read().unwrap()),
    |lock, limit| lock.read_timeout(limit).is_ok()
);

lock!(
    RwLockWrite,
    RwLock<()>,
    |lock, until_told| {
        let _guard = lock.read().unwrap();
        until_told();
    },
    |lock| drop(lock.write().unwrap()),
    |lock, limit| lock.write_timeout(limit).is_ok()
);

/// As another greenlet runs the initialiser. There is no limit but an outer one, as in std.
pub(crate) struct OnceWait(Held<Once>);

impl Waited for OnceWait {
    const USED_UP: bool = false;
    const OWN_LIMIT: bool = false;
    fn new() -> Self {
        OnceWait(Held::new(Once::new(), |once, until_told| {
            once.call_once(until_told);
        }))
    }
    fn wait(&self) {
        self.0.0.call_once(|| unreachable!("another one does"));
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        timeout(limit, || self.0.0.wait()).is_ok()
    }
    fn grant(&self) {
        self.0.1.let_go();
    }
}

/// As [`OnceWait`].
pub(crate) struct OnceLockGet(Held<OnceLock<u8>>);

impl Waited for OnceLockGet {
    const USED_UP: bool = false;
    const OWN_LIMIT: bool = false;
    fn new() -> Self {
        OnceLockGet(Held::new(OnceLock::new(), |lock, until_told| {
            lock.get_or_init(|| {
                until_told();
                5
            });
        }))
    }
    fn wait(&self) {
        let value = self.0.0.get_or_init(|| unreachable!("another one does"));
        assert_eq!(*value, 5);
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        timeout(limit, || *self.0.0.wait()) == Ok(5)
    }
    fn grant(&self) {
        self.0.1.let_go();
    }
}

pub(crate) struct SemaphoreAcquire(Semaphore);

impl Waited for SemaphoreAcquire {
    const USED_UP: bool = true;
    fn new() -> Self {
        SemaphoreAcquire(Semaphore::new(0))
    }
    fn wait(&self) {
        self.0.acquire().forget();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.acquire_timeout(limit).map(Permit::forget).is_some()
    }
    fn grant(&self) {
        self.0.release();
    }
}

pub(crate) struct BoundedSemaphoreAcquire(BoundedSemaphore);

impl Waited for BoundedSemaphoreAcquire {
    const USED_UP: bool = true;
    fn new() -> Self {
        let semaphore = BoundedSemaphore::new(9);
        (0..9).for_each(|_| semaphore.acquire().forget());
        BoundedSemaphoreAcquire(semaphore)
    }
    fn wait(&self) {
        self.0.acquire().forget();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.acquire_timeout(limit).map(Permit::forget).is_some()
    }
    fn grant(&self) {
        self.0.release().unwrap();
    }
}

/// A condition that a wait uses up: the number of notifications that are due.
pub(crate) struct CondvarWait(Mutex<u32>, Condvar);

impl Waited for CondvarWait {
    const USED_UP: bool = true;
    fn new() -> Self {
        CondvarWait(Mutex::new(0), Condvar::new())
    }
    fn wait(&self) {
        let guard = self.0.lock().unwrap();
        *self.1.wait_while(guard, |due| *due == 0).unwrap() -= 1;
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        let guard = self.0.lock().unwrap();
        let (mut due, result) = self
            .1
            .wait_timeout_while(guard, limit, |due| *due == 0)
            .unwrap();
        if !result.timed_out() {
            *due -= 1;
        }
        !result.timed_out()
    }
    fn grant(&self) {
        *self.0.lock().unwrap() += 1;
        self.1.notify_one();
    }
}
