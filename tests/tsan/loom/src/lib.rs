//! Stands for loom where its models run as ordinary threads, many times, under ThreadSanitizer.
//!
//! The names that `tests/loom` uses, made of the standard library. What loom tries systematically is left to
//! chance here; in return everything is the real thing, spinning locks and `crossbeam-deque` included.

pub use std::hint;
pub use std::thread_local;

pub mod sync {
    pub use std::sync::{Arc, Condvar, Mutex, MutexGuard, atomic};

    /// A flag that is waited for, and taken.
    #[derive(Debug, Default)]
    pub struct Notify(Mutex<bool>, Condvar);

    impl Notify {
        pub fn new() -> Self {
            Self::default()
        }

        pub fn notify(&self) {
            *self.0.lock().expect("no panic while it is held") = true;
            self.1.notify_one();
        }

        pub fn wait(&self) {
            let notified = self.0.lock().expect("no panic while it is held");
            let wait = self.1.wait_while(notified, |notified| !*notified);
            *wait.expect("no panic while it is held") = false;
        }
    }
}

pub mod cell {
    /// Its accesses are plain ones, which the sanitizer sees.
    #[derive(Debug, Default)]
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

pub mod thread {
    pub use std::thread::yield_now;

    struct Sent<T>(T);

    // SAFETY: as in loom, which asks for no `Send` and checks what is shared: so does the sanitizer.
    unsafe impl<T> Send for Sent<T> {}

    #[derive(Debug)]
    pub struct JoinHandle<T>(std::thread::JoinHandle<Sent<T>>);

    impl<T> JoinHandle<T> {
        pub fn join(self) -> std::thread::Result<T> {
            self.0.join().map(|Sent(value)| value)
        }
    }

    pub fn spawn<F, T>(f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let sent = Sent(f);
        JoinHandle(std::thread::spawn(move || {
            let Sent(f) = { sent };
            Sent(f())
        }))
    }
}

pub mod model {
    /// Runs a model so many times, or `RUSTLET_TSAN_ROUNDS`.
    const ROUNDS: usize = 2000;

    #[derive(Debug, Default)]
    #[non_exhaustive]
    pub struct Builder {
        pub preemption_bound: Option<usize>,
        pub max_branches: usize,
    }

    impl Builder {
        pub fn new() -> Self {
            Self::default()
        }

        pub fn check(&self, model: impl Fn()) {
            let rounds = std::env::var("RUSTLET_TSAN_ROUNDS").ok();
            let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
            (0..rounds).for_each(|_| model());
        }
    }
}
