//! Twin of `util::primitive`: loom's cells and locks, and loom's atomics behind the constructors of the real ones.
//!
//! # `new` is const
//! The library makes its locks in `const` functions, loom's atomics register themselves with the running
//! execution. So an atomic made by `new` comes to be when it is first used. As making one counts as writing to it,
//! that must be before other threads exist: a model uses what it made once ("touches" it) before it spawns.
//! Loom says so if it is forgotten ("Causality violation"). What is made at run time anyway is made by `default()`, at once.
//!
//! # `SeqCst`
//! Loom does not order sequentially consistent loads and stores of different atomics; fences it does.
//! Each such operation therefore has a fence before it: a little more than the language promises, and what
//! x86_64 and aarch64 do.
//!
//! # `swap` of a flag
//! A swap that finds the value it brings writes nothing here. Loom does not know that a swap's write stands in the
//! modification order where its read did, and would let a thread that spins read its own `true` for ever.

use std::sync::OnceLock;

pub(crate) use loom::hint;
pub(crate) use loom::sync::atomic::fence;
pub(crate) use loom::sync::{Mutex, MutexGuard};
use std::sync::LockResult;
pub(crate) use std::sync::atomic::Ordering;
use std::time::Duration;

/// Loom's, with times that may be up in the moment of a notification; and at no other, so a model that lets time pass
/// notifies all.
#[derive(Debug, Default)]
pub(crate) struct Condvar(loom::sync::Condvar);

pub(crate) struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub(crate) fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    #[track_caller]
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.0.wait(guard)
    }

    #[track_caller]
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let guard = self.0.wait(guard).expect("no panic while it is held");
        Ok((guard, WaitTimeoutResult(super::is_time_up())))
    }

    #[track_caller]
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    #[track_caller]
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }
}

/// A cell whose accesses loom has to find ordered.
pub(crate) struct Cell<T> {
    value: std::cell::Cell<T>,
    watch: OnceLock<loom::cell::UnsafeCell<()>>,
}

impl<T> Cell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Cell {
            value: std::cell::Cell::new(value),
            watch: OnceLock::new(),
        }
    }

    #[track_caller]
    fn written(&self) -> &std::cell::Cell<T> {
        self.watch.get_or_init(Default::default).with_mut(|_| ());
        &self.value
    }

    #[track_caller]
    pub(crate) fn get(&self) -> T
    where
        T: Copy,
    {
        self.watch.get_or_init(Default::default).with(|_| ());
        self.value.get()
    }

    #[track_caller]
    pub(crate) fn set(&self, value: T) {
        self.written().set(value);
    }

    #[track_caller]
    pub(crate) fn replace(&self, value: T) -> T {
        self.written().replace(value)
    }

    #[track_caller]
    pub(crate) fn take(&self) -> T
    where
        T: Default,
    {
        self.written().take()
    }
}

impl<T> std::fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cell")
    }
}

fn fence_if_needed(order: Ordering) {
    if order == Ordering::SeqCst {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

macro_rules! atomic {
    ($name:ident $(<$param:ident>)?, $value:ty, { $($method:ident),* }) => {
        pub(crate) struct $name $(<$param>)? {
            initial: $value,
            atomic: OnceLock<loom::sync::atomic::$name $(<$param>)?>,
        }

        // SAFETY: as the real one; a pointer among the initial values is only copied.
        unsafe impl $(<$param>)? Send for $name $(<$param>)? {}
        // SAFETY: as above.
        unsafe impl $(<$param>)? Sync for $name $(<$param>)? {}

        impl $(<$param>)? $name $(<$param>)? {
            pub(crate) const fn new(initial: $value) -> Self {
                Self { initial, atomic: OnceLock::new() }
            }

            #[track_caller]
            fn get(&self) -> &loom::sync::atomic::$name $(<$param>)? {
                self.atomic.get_or_init(|| loom::sync::atomic::$name::new(self.initial))
            }

            #[track_caller]
            pub(crate) fn load(&self, order: Ordering) -> $value {
                fence_if_needed(order);
                self.get().load(order)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                fence_if_needed(order);
                self.get().store(value, order);
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                fence_if_needed(success);
                self.get().compare_exchange(current, new, success, failure)
            }

            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            $(
                #[track_caller]
                pub(crate) fn $method(&self, value: $value, order: Ordering) -> $value {
                    fence_if_needed(order);
                    self.get().$method(value, order)
                }
            )*
        }

        impl $(<$param>)? std::fmt::Debug for $name $(<$param>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

macro_rules! default {
    ($($name:ident),*) => {$(
        impl Default for $name {
            #[track_caller]
            fn default() -> Self {
                let atomic = Self::new(Default::default());
                atomic.get();
                atomic
            }
        }
    )*};
}

atomic!(AtomicBool, bool, { fetch_or, fetch_and });
atomic!(AtomicU32, u32, { swap, fetch_or, fetch_and, fetch_add, fetch_sub });
atomic!(AtomicU64, u64, { swap, fetch_or, fetch_and, fetch_add, fetch_sub });
atomic!(AtomicUsize, usize, { swap, fetch_or, fetch_and, fetch_add, fetch_sub });
atomic!(AtomicPtr<T>, *mut T, { swap });
default!(AtomicBool, AtomicU32, AtomicU64, AtomicUsize);

impl AtomicBool {
    #[track_caller]
    pub(crate) fn swap(&self, value: bool, order: Ordering) -> bool {
        let failure = match order {
            Ordering::AcqRel => Ordering::Acquire,
            Ordering::Release => Ordering::Relaxed,
            order => order,
        };
        match self.compare_exchange(!value, value, order, failure) {
            Ok(before) | Err(before) => before,
        }
    }
}
