//! The sending side: handlers, a timer of the kernel's, and who sends to which thread.
#![allow(unsafe_code)] // signal handlers, timers and tgkill

use std::hint::black_box;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fastrand::Rng;

use crate::workload::{Context, Failure, ensure};

/// How often each handler has run.
static ON_ALTERNATE: AtomicU64 = AtomicU64::new(0);
static ON_ANY: AtomicU64 = AtomicU64::new(0);
/// How often the first ran on another stack than it asked for.
static ELSEWHERE: AtomicU64 = AtomicU64::new(0);
/// What the handlers compute, lest it be optimised away.
static SINK: AtomicU64 = AtomicU64::new(0);

/// The signals of those handlers.
const SIGNALS: [i32; 2] = [libc::SIGUSR1, libc::SIGUSR2];

/// ThreadSanitizer keeps signals back and calls handlers itself, on whatever stack it is.
const STACKS_ARE_TOLD: bool = !cfg!(rustlet_tsan);

extern "C" fn on_alternate(_: i32) {
    let mut now = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: reads the alternate stack in force into `now`; async-signal-safe on Linux, and it leaves errno alone when
    // it succeeds, as it does for a valid address.
    let on_it = unsafe {
        libc::sigaltstack(ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().ss_flags & libc::SS_ONSTACK != 0
    };
    if STACKS_ARE_TOLD && !on_it {
        ELSEWHERE.fetch_add(1, Ordering::Relaxed);
    }
    ON_ALTERNATE.fetch_add(1, Ordering::Relaxed);
    scribble();
}

extern "C" fn on_any(_: i32) {
    ON_ANY.fetch_add(1, Ordering::Relaxed);
    scribble();
}

/// Uses memory below the stack pointer, general registers and vector registers. Everything must be as before when the
/// handler has returned, or the code that was interrupted computes something else.
#[inline(never)]
fn scribble() {
    let mut room = [0_u64; 256];
    for (nth, word) in room.iter_mut().enumerate() {
        *word = black_box(!0 - nth as u64);
    }
    let words = black_box(&room);
    let whole = words
        .iter()
        .fold(0, |all: u64, word| all.rotate_left(5) ^ word);
    let parts: f64 = words.iter().map(|word| *word as f64 * 1.5).sum();
    SINK.store(whole ^ parts.to_bits(), Ordering::Relaxed);
}

/// The handlers, until it is dropped. Neither restarts system calls, so all of them may say EINTR.
pub(super) struct Handlers {
    before: [libc::sigaction; 2],
}

impl Handlers {
    pub(super) fn install() -> io::Result<Handlers> {
        for counter in [&ON_ALTERNATE, &ON_ANY, &ELSEWHERE] {
            counter.store(0, Ordering::Relaxed);
        }
        let alternate = (on_alternate as extern "C" fn(i32), libc::SA_ONSTACK);
        let any = (on_any as extern "C" fn(i32), 0);
        Ok(Handlers {
            before: [replace(SIGNALS[0], alternate)?, replace(SIGNALS[1], any)?],
        })
    }

    /// How often they ran, once all senders have ended.
    pub(super) fn check(&self, sent: u64) -> Result<u64, Failure> {
        let [alternate, any, elsewhere] =
            [&ON_ALTERNATE, &ON_ANY, &ELSEWHERE].map(|counter| counter.load(Ordering::Relaxed));
        ensure!(
            elsewhere == 0,
            "{elsewhere} of {alternate} handlers with SA_ONSTACK ran on another stack than the alternate one"
        );
        // Some that wait for the same thread are made one by the kernel, so there is no more to say.
        ensure!(
            sent == 0 || alternate + any > 0,
            "{sent} signals were sent, and none was delivered"
        );
        Ok(alternate + any)
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        for (signal, before) in SIGNALS.iter().zip(&self.before) {
            // SAFETY: an action that sigaction gave. All senders have ended, so nothing of this signal is on its way but
            // what waits for this thread, which gets it no later than on the way out of this call's predecessor.
            unsafe { libc::sigaction(*signal, before, ptr::null_mut()) };
        }
    }
}

fn replace(
    signal: i32,
    (handler, flags): (extern "C" fn(i32), i32),
) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: an all-zero action is valid (no flags, empty mask); its handler is a function of the right type that does
    // what a handler may: atomics and its own stack. If sigaction succeeds, it has filled `before`.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = flags;
        match libc::sigaction(signal, &raw const action, before.as_mut_ptr()) {
            0 => Ok(before.assume_init()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// A thread of this process, as tgkill names it.
pub(super) type Tid = i32;

pub(super) fn own_tid() -> Tid {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// Sends `signal` to a thread of this process; false if too many wait already, or the thread has ended.
pub(super) fn send(to: Tid, signal: i32) -> bool {
    // SAFETY: takes three numbers. The signals that are sent here are handled, and `to` was a thread of this process.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), to, signal) == 0 }
}

/// A timer that sends one of the handled signals to one thread, until it is dropped.
pub(super) struct Timer(libc::timer_t);

// SAFETY: a number of this process's, which any thread may use.
unsafe impl Send for Timer {}

impl Timer {
    /// `None` where the system has no such timers (some emulators).
    pub(super) fn start(to: Tid, every: Duration, rng: &mut Rng) -> Option<Timer> {
        let mut timer = MaybeUninit::<libc::timer_t>::uninit();
        let step = libc::timespec {
            tv_sec: every.as_secs() as libc::time_t,
            tv_nsec: every.subsec_nanos().into(),
        };
        let times = libc::itimerspec {
            it_interval: step,
            it_value: step,
        };
        // SAFETY: an all-zero sigevent is valid; `timer` is filled if the first call succeeds; both structures outlive
        // the calls, which keep nothing of them.
        unsafe {
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNALS[rng.usize(..SIGNALS.len())];
            event.sigev_notify_thread_id = to;
            if libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr()) != 0 {
                return None;
            }
            let timer = Timer(timer.assume_init());
            libc::timer_settime(timer.0, 0, &raw const times, ptr::null_mut());
            Some(timer)
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: made by timer_create, and deleted here alone.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// What all senders share.
pub(super) struct Storm {
    pub(super) context: Context,
    /// Real-time signals, which the kernel queues and never makes one of several, and how many of each are left to send.
    pub(super) counted: Vec<(i32, AtomicU64)>,
    /// Others that were sent.
    pub(super) sent: AtomicU64,
    over: AtomicBool,
}

impl Storm {
    pub(super) fn new(context: Context, kinds: usize, each: u64) -> Storm {
        let kinds = (0..kinds as i32).map(|nth| (libc::SIGRTMIN() + 1 + nth, AtomicU64::new(each)));
        Storm {
            context,
            counted: kinds.collect(),
            sent: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// One signal to one of `threads`.
    pub(super) fn strike(&self, threads: &[Tid], rng: &mut Rng) {
        let to = threads[rng.usize(..threads.len())];
        if rng.bool() {
            let (signal, left) = &self.counted[rng.usize(..self.counted.len())];
            self.send_counted(to, *signal, left);
        } else if send(to, SIGNALS[rng.usize(..SIGNALS.len())]) {
            self.sent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One of a kind, if any is left to send. False if none is.
    fn send_counted(&self, to: Tid, signal: i32, left: &AtomicU64) -> bool {
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        if taken.is_ok() && !send(to, signal) {
            left.fetch_add(1, Ordering::Relaxed); // the queue is full
        }
        taken.is_ok()
    }

    /// Sends what is left to the calling thread.
    pub(super) fn finish(&self) {
        for (signal, left) in &self.counted {
            while self.send_counted(own_tid(), *signal, left) {}
        }
    }
}

/// Threads that send until it is dropped.
pub(super) struct Senders {
    storm: Arc<Storm>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    pub(super) fn start(storm: &Arc<Storm>, many: usize, to: &[Tid], rng: &mut Rng) -> Senders {
        let threads = (0..many).map(|_| {
            let (storm, to, mut rng) = (storm.clone(), to.to_vec(), rng.fork());
            std::thread::spawn(move || {
                while !storm.over.load(Ordering::Relaxed) {
                    storm.strike(&to, &mut rng);
                    let pause = Duration::from_micros(rng.u64(..200)) * storm.context.slowdown;
                    std::thread::sleep(pause);
                }
            })
        });
        Senders {
            storm: storm.clone(),
            threads: threads.collect(),
        }
    }
}

impl Drop for Senders {
    fn drop(&mut self) {
        self.storm.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a sender does not panic");
        }
    }
}
