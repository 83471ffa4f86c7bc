//! The watchdog: a thread that looks at all hubs now and then, and asks those that do not go on.
//!
//! ```text
//!   each half of the limit, for each hub:
//!     asleep, or no greenlet, or it has gone on since the last look ─► nothing
//!     twice in a row as it was, and for the limit by the clock      ─► a stall: ask whose code it is, tell the hook
//!     told already, and still as it was                             ─► nothing
//! ```
//! Two looks in a row, since after a stop of the whole process (SIGSTOP, a suspended machine) the clock says at the first
//! look that everybody has been stuck for long.
//!
//! There is no watchdog unless a program asks for one, and then one. It is a plain thread, and uses nothing of this crate that blocks: it must
//! work when all hubs are stuck.
//!
//! # Not chosen
//! - Several watches with limits of their own: who has asked for the smallest hears of everything anyway.
//! - A timer in each hub that the watchdog reads: the hub's counters say the same and cost nothing.
//! - Preempting the culprit: code that does not expect to be suspended where it computes may hold a thread-local or a lock.

use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Stall;
use crate::scheduler::stalls::{Culprit, Progress, Subject, subjects};
use crate::sys::{fork, stack_sample, thread};

/// What is told of a stall.
type Hook = Box<dyn Fn(&Stall) + Send + Sync>;

static HOOK: Mutex<Option<Arc<Hook>>> = Mutex::new(None);
/// What the watchdog has found; `None` if there is no watchdog.
static FOUND: Mutex<Option<Vec<Found>>> = Mutex::new(None);
/// The shortest time between two looks.
const SHORTEST: Duration = Duration::from_millis(1);

/// A stall that has been told of.
struct Found {
    subject: Subject,
    progress: Progress,
    since: Instant,
    stall: Stall,
}

impl Found {
    fn lasts(&self) -> bool {
        self.subject.progress() == Some(self.progress)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts to watch all hubs of the process for stalls: greenlets, or code of threads that have some, that compute
/// or block for `limit` or longer without letting the others of their thread run. What is found is told to the
/// [hook](set_stall_hook), once for each stall, and returned by [`stalls`] while it lasts.
///
/// A watch is a thread of its own, that wakes up each half of `limit` (each millisecond at least), reads a few numbers of each hub, and
/// sleeps again. The hubs do nothing for it, until one is stuck: then its thread is sent SIGURG, once a stall, and looks in the handler
/// whose code it executes, and walks its stack. System calls that the signal interrupts go on, but for those that
/// never do (signal(7): `poll`, `nanosleep` and the like end with EINTR; std's `sleep` goes on even so). A handler for SIGURG that the
/// program has installed before is called too; one that it installs later has to call the one before, or there are no backtraces.
/// The handler stays installed.
///
/// A stall is noticed between `limit` and one and a half of it after it began. A thread that does not get a processor for that long
/// is one too. What is no stall: a hub that sleeps; code of a thread that has no greenlets, whatever it does; a long queue of
/// greenlets each of which lets go in time.
///
/// Drop the [`StallWatch`] to end it. `limit` should be well above what the program's computations take: 100 ms is a
/// beginning.
///
/// # Errors
/// There is a watch already ([`AlreadyExists`](io::ErrorKind::AlreadyExists)); no thread could be started; the process is the child
/// of a fork.
///
/// # Examples
/// ```
/// use rustlet::inspect;
/// use std::time::Duration;
///
/// let _watch = inspect::watch_stalls(Duration::from_millis(50))?;
/// // In a real program, a computation that nobody thought would take so long.
/// let greedy = rustlet::Builder::new().name("greedy").spawn(|| {
///     while inspect::stalls().is_empty() {}
///     inspect::stalls()
/// })?;
/// let stalls = greedy.join().unwrap();
/// assert_eq!(stalls[0].name(), Some("greedy"));
/// assert!(stalls[0].lasted() >= Duration::from_millis(50));
/// println!("{}", stalls[0]); // with the backtrace
/// # std::io::Result::Ok(())
/// ```
pub fn watch_stalls(limit: Duration) -> io::Result<StallWatch> {
    if fork::is_child() {
        let text = "this process is the child of a fork: its parent's greenlets are not here";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    {
        let mut found = lock(&FOUND);
        if found.is_some() {
            let text = "stalls are being watched for already";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        *found = Some(Vec::new());
    }
    // Takes back the above if it is dropped.
    let mut watch = StallWatch {
        stop: Arc::default(),
        thread: None,
    };
    stack_sample::prepare()?;
    let stop = watch.stop.clone();
    // A thread that has not begun yet needs memory still, and the caller may be about to use that up.
    let (begun, begins) = mpsc::sync_channel(1);
    watch.thread = Some(thread::start("rustlet-stalls".into(), None, move || {
        let _ = begun.send(());
        run(&stop, limit);
    })?);
    let _ = begins.recv();
    Ok(watch)
}

/// The stalls that last now, as far as they have been noticed, longest first; none without a [watch](watch_stalls).
///
/// Any code may call it. Its answers are up to date: what has let go since it was noticed is not among them.
pub fn stalls() -> Vec<Stall> {
    let found = lock(&FOUND);
    let lasting = found.iter().flatten().filter(|found| found.lasts());
    let mut stalls: Vec<_> = lasting
        .map(|found| found.stall.clone().lasting(found.since.elapsed()))
        .collect();
    drop(found);
    stalls.sort_by_key(|stall| std::cmp::Reverse(stall.lasted()));
    stalls
}

/// Replaces what is done with a stall that is noticed: by default it is an event of `tracing` (target `rustlet`, warning). `None`
/// restores that.
///
/// The hook runs on the watchdog's thread, once for each stall; nothing is watched while it runs. If it panics, the
/// panic is reported and ends there.
///
/// ```
/// use rustlet::inspect;
/// inspect::set_stall_hook(Some(Box::new(|stall| eprintln!("stuck: {stall}"))));
/// ```
pub fn set_stall_hook(hook: Option<Hook>) {
    let old = core::mem::replace(&mut *lock(&HOOK), hook.map(Arc::new));
    drop(old); // without the lock
}

/// The watch that [`watch_stalls`] has started, until this is dropped.
///
/// The drop waits for the watchdog to end, and so for a hook that runs; not if the hook itself drops it.
#[must_use = "dropping it ends the watch"]
pub struct StallWatch {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// The order to end.
#[derive(Default)]
struct Stop {
    given: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    /// Waits for the order, but not longer than `limit`; whether it was given.
    fn within(&self, limit: Duration) -> bool {
        let given = lock(&self.given);
        let waited = self
            .changed
            .wait_timeout_while(given, limit, |given| !*given);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        *lock(&self.stop.given) = true;
        self.stop.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            // It does not panic.
            let _ = thread.join();
        }
        let found = lock(&FOUND).take();
        drop(found); // without the lock
    }
}

impl core::fmt::Debug for StallWatch {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StallWatch").finish_non_exhaustive()
    }
}

/// What the watchdog remembers of a hub that is awake.
struct Seen {
    progress: Progress,
    since: Instant,
    /// Looks at which it was as at the first.
    again: u32,
    told: bool,
}

impl Seen {
    fn first(progress: Progress) -> Seen {
        Seen {
            progress,
            since: Instant::now(),
            again: 0,
            told: false,
        }
    }
}

/// The watchdog's thread.
fn run(stop: &Stop, limit: Duration) {
    let mut seen = HashMap::new();
    while !stop.within((limit / 2).max(SHORTEST)) {
        look(&mut seen, limit, stop);
    }
}

fn look(seen: &mut HashMap<u64, Seen>, limit: Duration, stop: &Stop) {
    let subjects = subjects();
    seen.retain(|hub, _| subjects.iter().any(|subject| subject.hub == *hub));
    if let Some(found) = &mut *lock(&FOUND) {
        found.retain(Found::lasts);
    }
    for subject in subjects {
        let Some(progress) = subject.progress() else {
            seen.remove(&subject.hub);
            continue;
        };
        let before = seen.get_mut(&subject.hub);
        let Some(seen) = before.filter(|seen| seen.progress == progress) else {
            seen.insert(subject.hub, Seen::first(progress));
            continue;
        };
        seen.again += 1;
        if seen.told || seen.again < 2 || seen.since.elapsed() < limit {
            continue;
        }
        if let Some(culprit) = subject.culprit(progress) {
            seen.told = true;
            tell(subject, progress, seen.since, culprit);
        }
        if stop.within(Duration::ZERO) {
            return;
        }
    }
}

/// Notes a stall, so that [`stalls`] knows it, and tells the hook.
fn tell(subject: Subject, progress: Progress, since: Instant, culprit: Culprit) {
    let stall = Stall::new(&subject, culprit, since.elapsed());
    if let Some(found) = &mut *lock(&FOUND) {
        found.push(Found {
            subject,
            progress,
            since,
            stall: stall.clone(),
        });
    }
    let hook = lock(&HOOK).clone();
    // A panic of the hook's, or of a subscriber's, was reported by the panic hook, and there is nobody to give it to.
    let called = catch_unwind(AssertUnwindSafe(|| match hook {
        Some(hook) => hook(&stall),
        None => tracing::warn!(target: "rustlet", %stall, "stall"),
    }));
    // The payload's destructor is the user's too.
    core::mem::forget(called);
}
