//! Spawning: [`spawn`], [`spawn_local`] and [`Builder`].
#![allow(unsafe_code)] // Ties a handle's type to its task's.

use std::io;
use std::panic::Location;

use super::greenlet::Greenlet;
use super::hub;
use crate::stack::StackSize;

/// What a greenlet is given beside its closure: a name, a stack size.
///
/// ```
/// let greenlet = rustlet::Builder::new()
///     .name("parser")
///     .stack_size(1024 * 1024)
///     .spawn(|| rustlet::current().to_string())?;
/// assert!(greenlet.join().unwrap().starts_with("greenlet 'parser'"));
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it spawns"]
pub struct Builder {
    name: Option<String>,
    stack_size: Option<usize>,
    measure_stack: bool,
}

impl Builder {
    /// No name, and a stack of 256 KiB.
    pub fn new() -> Self {
        Builder::default()
    }

    /// Names the greenlet, for reports and error messages.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the stack size in bytes, rounded up to a power of two between 16 KiB and 1 GiB.
    ///
    /// The guard (16 KiB, or one page in stacks below 64 KiB) and the control block (less than 3 KiB)
    /// are taken from it. It is address space: memory is used as pages are touched, one of 4 KiB at
    /// least. The default of 256 KiB holds what debug builds of ordinary crates need (108 KiB
    /// measured for compiling a regex, 48 KiB for a TLS handshake).
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Measures how much of its stack the greenlet uses: [`Greenlet::stack_high_water`].
    ///
    /// Costs filling the stack with a pattern before the first run, and so its whole size in memory
    /// while it runs.
    pub fn measure_stack(mut self, measure: bool) -> Self {
        self.measure_stack = measure;
        self
    }

    /// As [`crate::spawn`], with an error instead of a panic.
    ///
    /// # Errors
    /// No stack can be promised: the size is out of range, or address space, mappings or
    /// memory are exhausted. The text names the limit and the remedy. Nothing has
    /// been spawned then; greenlets that exist go on.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<Greenlet<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_local(f)
    }

    /// As [`crate::spawn_local`], with an error instead of a panic.
    ///
    /// # Errors
    /// As [`Builder::spawn`].
    #[track_caller]
    pub fn spawn_local<F, T>(self, f: F) -> io::Result<Greenlet<T>>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let size = match self.stack_size {
            None => StackSize::DEFAULT,
            Some(bytes) => StackSize::new(bytes)?,
        };
        let name = self.name.map(String::into_boxed_str);
        let task = hub::get()
            .spawn(name, size, self.measure_stack, Location::caller(), f)
            .inspect_err(|error| tracing::warn!(target: "rustlet", %error, "spawn refused"))?;
        // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
        Ok(unsafe { Greenlet::new(task) })
    }
}

/// Starts a greenlet that runs `f`, and returns a handle to join it.
///
/// It only schedules: `f` first runs when the caller next blocks or yields, in the order of
/// spawning. It runs on the caller's thread, which needs no preparation. Its stack is 256 KiB of
/// address space, taken when it first runs; [`Builder`] sets another size.
///
/// A panic in `f` ends that greenlet alone and comes out of [`Greenlet::join`] as an error. When
/// the thread ends, its greenlets are killed.
///
/// # Panics
/// If no stack can be promised, with the text of [`Builder::spawn`]'s error.
///
/// ```
/// let greenlets: Vec<_> = (0..3).map(|n| rustlet::spawn(move || n * n)).collect();
/// let squares: Vec<i32> = greenlets.into_iter().map(|g| g.join().unwrap()).collect();
/// assert_eq!(squares, [0, 1, 4]);
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> Greenlet<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_local(f)
}

/// As [`spawn`], for closures and values that must stay on this thread (not `Send`).
///
/// # Panics
/// As [`spawn`].
///
/// ```
/// use std::rc::Rc;
/// let shared = Rc::new(5);
/// let also = shared.clone();
/// assert_eq!(rustlet::spawn_local(move || *also).join().unwrap(), 5);
/// ```
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> Greenlet<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match hub::get().spawn(None, StackSize::DEFAULT, false, Location::caller(), f) {
        // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
        Ok(task) => unsafe { Greenlet::new(task) },
        Err(error) => panic!("spawn: {error}"),
    }
}

impl<T: 'static> Greenlet<T> {
    /// A greenlet that starts when its alarm fires; see `Hub::spawn_delayed`.
    #[track_caller]
    pub(crate) fn delayed<F>(f: F, arm: impl FnOnce(u64) -> u64) -> Self
    where
        F: FnOnce() -> T + 'static,
    {
        match hub::get().spawn_delayed(Location::caller(), f, arm) {
            // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
            Ok(task) => unsafe { Greenlet::new(task) },
            Err(error) => panic!("spawn: {error}"),
        }
    }
}
