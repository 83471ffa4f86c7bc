//! Spawning: [`spawn`], [`spawn_local`] and [`Builder`].
#![allow(unsafe_code)] // Ties a handle's type to its task's.

use std::io;
use std::panic::Location;
use std::sync::Arc;

use super::greenlet::Greenlet;
use super::hub;
use super::workers::Team;
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
    span: Option<tracing::Span>,
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

    /// Lets the greenlet run inside of a span of [`tracing`], which it enters first and exits last.
    ///
    /// Spans belong to greenlets: what one has entered is not current in another, and is current again when it goes on
    /// after a suspension. Nothing is inherited from the spawner; `Builder::new().span(Span::current())` does that.
    ///
    /// ```
    /// let span = tracing::info_span!("request", id = 7);
    /// rustlet::Builder::new().span(span).spawn(|| tracing::info!("inside of it"))?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn span(mut self, span: tracing::Span) -> Self {
        self.span = Some(span);
        self
    }

    /// As [`crate::spawn`], with an error instead of a panic.
    ///
    /// # Errors
    /// No stack can be promised: the size is out of range, or address space, mappings or
    /// memory are exhausted. The text names the limit and the remedy. Nothing has
    /// been spawned then; greenlets that exist go on.
    ///
    /// On the workers of a runtime the stack is had when the greenlet starts. If there is none, joins say so, and what the closure has is
    /// dropped as soon as the worker has a stack again to do that on.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<Greenlet<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let f = Spanned::new(self.span.clone(), f);
        let (name, size, measure) = self.attributes()?;
        let task = hub::get()
            .spawn_anywhere(name, size, measure, Location::caller(), move || f.run())
            .inspect_err(refused)?;
        // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
        Ok(unsafe { Greenlet::new(task) })
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
        let f = Spanned::new(self.span.clone(), f);
        let (name, size, measure) = self.attributes()?;
        let task = hub::get()
            .spawn(name, size, measure, Location::caller(), move || f.run())
            .inspect_err(refused)?;
        // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
        Ok(unsafe { Greenlet::new(task) })
    }

    /// As [`Builder::spawn`], into a team of which the calling thread may be no worker.
    #[track_caller]
    pub(crate) fn spawn_into<F, T>(self, team: &Arc<Team>, f: F) -> io::Result<Greenlet<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let f = Spanned::new(self.span.clone(), f);
        let (name, size, measure) = self.attributes()?;
        let task = hub::get()
            .spawn_into(team, name, size, measure, Location::caller(), move || {
                f.run()
            })
            .inspect_err(refused)?;
        // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
        Ok(unsafe { Greenlet::new(task) })
    }

    /// As [`Builder::spawn`], on one worker of a team.
    #[track_caller]
    pub(crate) fn spawn_at<F, T>(self, team: &Team, worker: usize, f: F) -> io::Result<Greenlet<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let place = team.place(worker).ok_or_else(|| {
            let workers = team.workers();
            let text = format!("there is no worker {worker}: the runtime has {workers}");
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let f = Spanned::new(self.span.clone(), f);
        let (name, size, measure) = self.attributes()?;
        let size = size.unwrap_or(team.stack_size);
        let task = hub::get()
            .spawn_on(
                (team, place),
                name,
                size,
                measure,
                Location::caller(),
                move || f.run(),
            )
            .inspect_err(refused)?;
        // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
        Ok(unsafe { Greenlet::new(task) })
    }

    fn attributes(self) -> io::Result<(Option<Box<str>>, Option<StackSize>, bool)> {
        let size = self.stack_size.map(StackSize::new).transpose()?;
        let name = self.name.map(String::into_boxed_str);
        Ok((name, size, self.measure_stack))
    }
}

/// A closure that runs inside of a span.
struct Spanned<F> {
    span: Option<tracing::Span>,
    f: F,
}

impl<F> Spanned<F> {
    fn new(span: Option<tracing::Span>, f: F) -> Self {
        Spanned { span, f }
    }

    fn run<T>(self) -> T
    where
        F: FnOnce() -> T,
    {
        let _entered = self.span.map(tracing::Span::entered);
        (self.f)()
    }
}

fn refused(error: &io::Error) {
    tracing::warn!(target: "rustlet", %error, "spawn refused");
}

/// Starts a greenlet that runs `f`, and returns a handle to join it.
///
/// It only schedules: `f` first runs when the caller next blocks or yields, in the order of
/// spawning. It runs on the caller's thread, which needs no preparation; on a worker of a [`crate::Runtime`] any
/// other worker may start it instead, if that has nothing to do, and it stays where it started. Its stack is 256 KiB of
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
    match hub::get().spawn_anywhere(None, None, false, Location::caller(), f) {
        // SAFETY: the one handle of a task made for `F: FnOnce() -> T`.
        Ok(task) => unsafe { Greenlet::new(task) },
        Err(error) => panic!("spawn: {error}"),
    }
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
    match hub::get().spawn(None, None, false, Location::caller(), f) {
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
