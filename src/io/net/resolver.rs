//! Host names: `getaddrinfo` on resolver threads, while the greenlet is parked.
//!
//! Threads start when a name has to be resolved and none is idle, up to [`THREADS`]; they end after
//! [`IDLE`] without work. A greenlet that is killed or times out leaves its request running; the answer is
//! dropped.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::scheduler::park::{self, ParkError, WaitReason};
use crate::scheduler::{TaskRef, hub};
use crate::timer;

/// Requests that run at the same time. getaddrinfo mostly waits for the network.
const THREADS: usize = 4;
/// How long a thread waits for the next request before it ends.
const IDLE: Duration = Duration::from_secs(10);

struct Request {
    host: String,
    port: u16,
    answer: Answer,
    caller: TaskRef,
}

type Answer = Arc<Mutex<Option<io::Result<Vec<SocketAddr>>>>>;

#[derive(Default)]
struct Pool {
    requests: VecDeque<Request>,
    threads: usize,
    idle: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    requests: VecDeque::new(),
    threads: 0,
    idle: 0,
});
static WORK: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Resolves `host`; suspends the caller meanwhile.
///
/// # Errors
/// What getaddrinfo says; no thread could be started.
pub(super) fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    if std::thread::panicking() {
        return system_lookup(&host, port); // cannot park while unwinding
    }
    let answer = Answer::default();
    submit(Request {
        host,
        port,
        answer: answer.clone(),
        caller: hub::current_control().task.clone(),
    })?;
    loop {
        if let Some(result) = answer.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return result;
        }
        match park::park(WaitReason::external("the resolver")) {
            Ok(()) => {}
            Err(ParkError::Deadlock(report)) => timer::no_deadlock(report),
            Err(ParkError::Unwinding) => unreachable!("checked above"),
        }
    }
}

fn submit(request: Request) -> io::Result<()> {
    let mut pool = pool();
    pool.requests.push_back(request);
    if pool.idle >= pool.requests.len() || pool.threads == THREADS {
        WORK.notify_one();
        return Ok(());
    }
    pool.threads += 1;
    let started = std::thread::Builder::new()
        .name("rustlet-resolver".into())
        .spawn(run);
    if let Err(error) = started {
        pool.threads -= 1;
        if pool.threads == 0 {
            pool.requests.pop_back();
            return Err(error);
        }
        WORK.notify_one(); // those that run will get to it
    }
    Ok(())
}

/// A resolver thread.
fn run() {
    let mut guard = pool();
    loop {
        if let Some(request) = guard.requests.pop_front() {
            drop(guard);
            let result = system_lookup(&request.host, request.port);
            *request
                .answer
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = Some(result);
            park::unpark(&request.caller);
            drop(request);
            guard = pool();
            continue;
        }
        guard.idle += 1;
        let (next, waited) = WORK
            .wait_timeout(guard, IDLE)
            .unwrap_or_else(PoisonError::into_inner);
        guard = next;
        guard.idle -= 1;
        if waited.timed_out() && guard.requests.is_empty() {
            guard.threads -= 1;
            return;
        }
    }
}

fn system_lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}
