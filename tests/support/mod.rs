//! Helpers for the integration tests: a time limit, a child process, a seed, and what the kernel
//! counts.
//!
//! - [`watchdog`], [`deadline`]: a test that hangs ends the process with a message, within minutes.
//! - [`child`], [`is_child`]: runs one test of this binary again in a process of its own, for what
//!   ends a process (overflow, abort) and for what must be counted undisturbed.
//! - [`seed`], [`proptest_config`]: one number that reproduces a random test.
//! - [`vma_count`], [`address_space_bytes`], [`rss_bytes`], [`open_fds`], [`thread_count`], [`threads_settle`], [`settles`], [`process_cpu_time`], [`thread_cpu_time`].
//! - [`pattern`]: bytes whose loss is seen. [`Counter`]: destructors that count; [`tcp_pair`], [`full_listener`]: loopback sockets.
//!
//! A test file says `mod support;` and takes what it needs. The environment it listens to:
//!
//! | variable | meaning |
//! |---|---|
//! | `RUSTLET_TEST_SLOWDOWN` | multiplies every time limit, divides the number of random cases; for emulators and sanitizers |
//! | `RUSTLET_TEST_SEED` | the seed that a failed test printed, decimal or `0x…` |
//! | `RUSTLET_TEST_RUNNER` | the words before a test binary's path when it cannot be executed directly (an emulator) |
//! | `RUSTLET_TEST_CHILD` | set by [`child`] alone: the test that this process was started for |
//!
//! Nothing here uses the library, so that a broken library cannot break its own alarm.
//!
//! # Not chosen
//! A limit that fails only its own test. The hung test's thread cannot be stopped, keeps its locks
//! and its greenlets, and what it does to the tests that follow is worse to read than one abort.

// Each test binary compiles this file for itself and uses a part of it.
#![allow(dead_code)]

pub(crate) mod pattern;

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::panic::Location;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a test may take that names no limit of its own.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);

const CHILD: &str = "RUSTLET_TEST_CHILD";

// ---------------------------------------------------------------------------- time limits

/// The factor by which this run is slower than a native one; 1 unless the environment says
/// otherwise.
pub(crate) fn slowdown() -> u32 {
    match std::env::var("RUSTLET_TEST_SLOWDOWN") {
        Ok(text) => match text.parse() {
            Ok(factor) if factor > 0 => factor,
            _ => panic!("RUSTLET_TEST_SLOWDOWN={text}: not a positive whole number"),
        },
        Err(_) => 1,
    }
}

/// Ends the process if it is not dropped in time. See [`watchdog`].
#[must_use = "the limit holds until the guard is dropped"]
pub(crate) struct Watchdog {
    /// Dropping the sender is what calls the thread off.
    alive: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Gives the rest of the scope 60 seconds (times the slowdown).
#[track_caller]
pub(crate) fn watchdog() -> Watchdog {
    watchdog_of(DEFAULT_LIMIT)
}

/// Gives the rest of the scope `limit` (times the slowdown); after that, the process is aborted
/// with the test's name, the place of this call and the state of every thread on standard error.
#[track_caller]
pub(crate) fn watchdog_of(limit: Duration) -> Watchdog {
    let limit = limit * slowdown();
    let place = Location::caller();
    let test = thread::current()
        .name()
        .unwrap_or("unnamed thread")
        .to_owned();
    let (alive, dead) = mpsc::channel::<()>();
    let (begun, begins) = mpsc::channel();
    let thread = thread::Builder::new()
        .name("watchdog".into())
        .spawn(move || {
            let _ = begun.send(());
            if dead.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                give_up(&test, place, limit);
            }
        })
        .expect("a watchdog thread");
    // As it begins it needs memory, which the test may be about to use up.
    begins.recv().expect("it begins with that");
    Watchdog {
        alive: Some(alive),
        thread: Some(thread),
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.alive.take();
        // So that a test which counts threads afterwards does not count this one.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs `f`, which has `limit` (times the slowdown) to return.
#[track_caller]
pub(crate) fn deadline<R>(limit: Duration, f: impl FnOnce() -> R) -> R {
    let _watchdog = watchdog_of(limit);
    f()
}

fn give_up(test: &str, place: &Location<'_>, limit: Duration) -> ! {
    let mut text =
        format!("\n{place}: test `{test}` did not end within {limit:?}; aborting. Threads:\n");
    for task in std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let status = read("status");
        let state = status
            .lines()
            .find_map(|line| line.strip_prefix("State:"))
            .unwrap_or("?");
        let _ = writeln!(
            text,
            "  {:<16} {:<16} {}",
            read("comm").trim(),
            state.trim(),
            read("wchan").trim()
        );
    }
    // Not `eprintln!`, which libtest would keep for a report that never comes.
    let _ = std::io::stderr().write_all(text.as_bytes());
    std::process::abort()
}

// ---------------------------------------------------------------------------- child processes

/// Whether this runs under an emulator: user-mode qemu has a thread of its own in each process, and
/// answers some questions about memory otherwise than a kernel.
pub(crate) fn emulated() -> bool {
    std::env::var_os("RUSTLET_TEST_RUNNER").is_some()
}

/// Whether this process was started by [`child`] for this test's sake.
///
/// Switches core dumps off on the way: a child is usually about to die of a signal.
pub(crate) fn is_child() -> bool {
    let child = std::env::var_os(CHILD).is_some();
    if child {
        let none = rustix::process::Rlimit {
            current: Some(0),
            maximum: Some(0),
        };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Core, none);
    }
    child
}

/// A run of one test of this binary in a process of its own. See [`child`].
pub(crate) struct Child {
    test: String,
    command: Command,
    limit: Duration,
}

/// What became of a child.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Prepares a second run of the test called `test` (its full path within this binary), alone in a
/// child process in which [`is_child`] is true:
///
/// ```ignore
/// #[test]
/// fn overflow_is_reported() {
///     if support::is_child() {
///         return overflow();
///     }
///     let outcome = support::child("overflow_is_reported").env("RUSTLET_GUARDS", "mprotect").run();
///     assert_eq!(outcome.signal(), Some(6), "{outcome:?}");
/// }
/// ```
pub(crate) fn child(test: &str) -> Child {
    let binary = std::env::current_exe().expect("the path of this test binary");
    let mut command = match std::env::var("RUSTLET_TEST_RUNNER") {
        Ok(runner) if !runner.trim().is_empty() => {
            let mut words = runner.split_whitespace();
            let mut command = Command::new(words.next().expect("checked to be not empty"));
            command.args(words).arg(binary);
            command
        }
        _ => Command::new(binary),
    };
    command.args([
        test,
        "--exact",
        "--include-ignored",
        "--nocapture",
        "--test-threads=1",
    ]);
    command
        .env(CHILD, test)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Child {
        test: test.to_owned(),
        command,
        limit: DEFAULT_LIMIT,
    }
}

impl Child {
    /// Sets an environment variable for the child.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Gives the child `limit` (times the slowdown) instead of 60 seconds.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the child to its end. Panics, with all that it printed, if it does not end in time, and
    /// if the binary has no such test: a misspelled name would otherwise succeed for ever.
    #[track_caller]
    pub(crate) fn run(mut self) -> Outcome {
        let limit = self.limit * slowdown();
        let end = Instant::now() + limit;
        let mut process = self.command.spawn().expect("start the child");
        let stdout = drain(process.stdout.take().expect("piped"));
        let stderr = drain(process.stderr.take().expect("piped"));

        // Both pipes close when the process ends, however it ends.
        let first = stdout.recv_timeout(limit);
        let second = stderr.recv_timeout(end.saturating_duration_since(Instant::now()));
        let late = first.is_err() || second.is_err();
        if late {
            process.kill().expect("kill the child");
        }
        let status = process.wait().expect("wait for the child");
        // Killed, it has closed its ends; a grandchild that still holds one is not waited for.
        let rest = |early: Result<String, _>, pipe: mpsc::Receiver<String>| {
            early
                .or_else(|_| pipe.recv_timeout(Duration::from_secs(1)))
                .unwrap_or_default()
        };
        let outcome = Outcome {
            status,
            stdout: rest(first, stdout),
            stderr: rest(second, stderr),
        };
        assert!(
            !late,
            "child `{}` did not end within {limit:?}: {outcome:#?}",
            self.test
        );
        assert!(
            outcome.stdout.contains("running 1 test\n"),
            "this binary has no test called `{}`: {outcome:#?}",
            self.test
        );
        outcome
    }
}

impl Outcome {
    /// The signal that ended the child, if one did.
    pub(crate) fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// Panics unless the child's test passed.
    #[track_caller]
    pub(crate) fn assert_passed(&self) {
        assert!(
            self.status.success(),
            "the test failed in its child process: {self:#?}"
        );
    }
}

/// Reads a pipe to its end on a thread, so that a child that fills both pipes is not blocked on
/// either.
fn drain(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

// ---------------------------------------------------------------------------- random tests

/// The seed of a random test: `RUSTLET_TEST_SEED` if set, otherwise a fresh one. It is printed, so
/// that the report of a failed test shows it.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var("RUSTLET_TEST_SEED") {
        Ok(text) => parse_seed(&text)
            .unwrap_or_else(|| panic!("RUSTLET_TEST_SEED={text}: neither decimal nor 0x…")),
        // The keys of std's hash maps are the randomness of the standard library.
        Err(_) => RandomState::new().build_hasher().finish(),
    };
    println!("seed: run again with RUSTLET_TEST_SEED={seed:#x}");
    seed
}

pub(crate) fn parse_seed(text: &str) -> Option<u64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// proptest's settings for `cases` cases (fewer on a slow run) from [`seed`], with no file written
/// on failure:
///
/// ```ignore
/// proptest! {
///     #![proptest_config(support::proptest_config(256))]
///     …
/// }
/// ```
pub(crate) fn proptest_config(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases: (cases / slowdown()).max(1),
        rng_seed: proptest::test_runner::RngSeed::Fixed(seed()),
        failure_persistence: None,
        ..Default::default()
    }
}

// ---------------------------------------------------------------------------- what the kernel counts
//
// Most of these speak of the whole process. Tests of one binary run side by side, so a test that
// compares two counts runs in a `child`.

/// Memory mappings of this process.
pub(crate) fn vma_count() -> usize {
    std::fs::read_to_string("/proc/self/maps")
        .expect("read /proc/self/maps")
        .lines()
        .count()
}

/// Address space of this process, in bytes: what `RLIMIT_AS` limits.
pub(crate) fn address_space_bytes() -> usize {
    statm(0)
}

/// Resident memory of this process, in bytes.
pub(crate) fn rss_bytes() -> usize {
    statm(1)
}

fn statm(field: usize) -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("read /proc/self/statm");
    let pages = statm
        .split_whitespace()
        .nth(field)
        .and_then(|field| field.parse::<usize>().ok());
    pages.expect("statm has seven numbers") * rustix::param::page_size()
}

/// Open file descriptors of this process.
pub(crate) fn open_fds() -> usize {
    // The directory itself is open while it is read.
    std::fs::read_dir("/proc/self/fd")
        .expect("read /proc/self/fd")
        .count()
        - 1
}

/// Threads of this process.
pub(crate) fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task")
        .expect("read /proc/self/task")
        .count()
}

/// Waits until this process has so many threads again, and says `when` if it does not: one that was joined may stand in `/proc` for another
/// moment, one that leaks stands for ever. `wanted` is from a time before any thread that has ended since: one of those might be in it.
#[track_caller]
pub(crate) fn threads_settle(wanted: usize, when: &str) {
    settles(&format!("threads {when}"), wanted, thread_count);
}

/// Waits until `now` gives what is wanted: at the end of a thread the kernel takes its time.
#[track_caller]
pub(crate) fn settles(what: &str, wanted: usize, now: impl Fn() -> usize) {
    let end = Instant::now() + Duration::from_secs(30) * slowdown();
    while now() != wanted && Instant::now() < end {
        thread::yield_now();
    }
    assert_eq!(now(), wanted, "{what}");
}

/// Processor time that all threads of this process have used.
pub(crate) fn process_cpu_time() -> Duration {
    cpu_time(rustix::time::ClockId::ProcessCPUTime)
}

/// Processor time that this thread has used: what its greenlets cost, however busy the machine and the other tests are.
pub(crate) fn thread_cpu_time() -> Duration {
    cpu_time(rustix::time::ClockId::ThreadCPUTime)
}

fn cpu_time(clock: rustix::time::ClockId) -> Duration {
    let time = rustix::time::clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).expect("a processor time is not negative"),
        u32::try_from(time.tv_nsec).expect("nanoseconds are below 10^9"),
    )
}

// ---------------------------------------------------------------------------- destructors and sockets

/// A count shared by clones, on any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts one more, and returns how many there were before.
    pub(crate) fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    /// A value whose destructor counts: a test moves it into what is to be dropped exactly once.
    pub(crate) fn on_drop(&self) -> OnDrop {
        OnDrop(self.clone())
    }
}

/// See [`Counter::on_drop`].
#[derive(Debug)]
pub(crate) struct OnDrop(Counter);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.add();
    }
}

/// Both ends of a connection, as whatever type of socket the caller tests.
pub(crate) fn tcp_pair<S: From<TcpStream>>() -> (S, S) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
    // Another test may connect to a port that was its own until just now.
    let ours = client.local_addr().expect("an address");
    loop {
        let (server, peer) = listener.accept().expect("accept");
        if peer == ours {
            return (client.into(), server.into());
        }
    }
}

/// A listener with a full backlog: connecting to it neither succeeds nor fails for a second or
/// more. The connections that fill it come along.
pub(crate) fn full_listener() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on loopback");
    rustix::net::listen(&listener, 0).expect("shrink the backlog");
    let addr = listener.local_addr().expect("an address");
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
        queued.push(stream);
        assert!(queued.len() < 64, "the backlog of {addr} has no end");
    }
    (listener, queued)
}
