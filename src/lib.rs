//! Greenlets for Rust: stackful coroutines with a round-robin scheduler, and I/O that looks
//! blocking and yields.
//!
//! ```
//! use rustlet::net::{TcpListener, TcpStream};
//! use std::io::{Read, Write};
//!
//! // An echo server: one greenlet a connection, plain blocking code.
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let addr = listener.local_addr()?;
//! rustlet::spawn(move || {
//!     for stream in listener.incoming() {
//!         let mut stream = stream.unwrap();
//!         rustlet::spawn(move || std::io::copy(&mut &stream, &mut &stream));
//!     }
//! });
//!
//! // A hundred clients, on the same thread.
//! let clients: Vec<_> = (0..100)
//!     .map(|n: u8| {
//!         rustlet::spawn(move || {
//!             let mut stream = TcpStream::connect(addr)?;
//!             stream.write_all(&[n; 10])?;
//!             let mut echo = [0; 10];
//!             stream.read_exact(&mut echo)?;
//!             std::io::Result::Ok(echo == [n; 10])
//!         })
//!     })
//!     .collect();
//! for client in clients {
//!     assert!(client.join().unwrap()?);
//! }
//! # std::io::Result::Ok(())
//! ```
//!
//! There is nothing to start: a thread's scheduler (its *hub*) comes to life when the thread first
//! spawns or blocks. [`spawn`] only schedules; whatever blocks lets the others run, in `main`
//! as in greenlets. For many cores there is [`Runtime`], whose worker threads share what is spawned on them.
//!
//! # What is guaranteed
//! - A greenlet stays on the thread where it first ran; values on its stack need not be `Send`. That is the thread that spawned it,
//!   or, on a worker of a [`Runtime`], one of its workers.
//! - On one thread first runs are in the order of spawning. [`yield_now`] is a fair round robin, under which timers and
//!   sockets go on. An operation that finds data ready does not switch, but 128 of them in
//!   a row do.
//! - A panic ends its own greenlet, and comes out of [`Greenlet::join`].
//! - [`Greenlet::kill`] and [`timeout`] unwind from the suspension point; destructors run. Code
//!   that catches the unwinding gets it again at its next suspension.
//! - A greenlet never suspends while it is unwinding: in a destructor that runs because of a
//!   panic or a kill, I/O and [`sleep`] block the thread, and a join fails.
//! - An operation of [`sync`] that a kill or a timeout interrupts has not happened: no item, permit or wake-up
//!   is lost.
//! - When nothing can ever wake the code on a thread's own stack, it gets a [`Deadlock`] error that lists
//!   who waits for what; operations whose errors cannot say it panic with that report. Not so while the process has
//!   another thread, which might still set the event or put the item: then locks, queues and parks are waited for without end, even if that thread
//!   ends later. Threads of the pool behind [`unblock`], files and name look-ups count, as do the watch of [`inspect::watch_stalls`] and the
//!   harness of `cargo test`. Joins need no such caution, and rings of waits are reported all the same ([`inspect`]).
//! - Overflowing a greenlet's stack ends the process with a message that names it.
//! - When a thread ends (`main` included), its greenlets are killed.
//!
//! # What is shared
//! Greenlets of a thread share its thread-locals, errno, signal mask and floating-point control
//! words. Code that keeps a thread-local borrowed across a call that suspends will see other
//! greenlets' borrows.
//!
//! # Futures, and features
//! [`block_on`] waits for any future; [`Greenlet`] is one. [`io::Io`] and the stream types implement the traits of `futures-io`, `tokio` and `hyper`
//! under Cargo features of these names, all off by default.
//!
//! # Profiles
//! Kills, timeouts and panics unwind. With `panic = "abort"` each of them ends the process; the rest
//! works.
//!
//! # Logging
//! The library emits [`tracing`] events with the target `rustlet`: spawn and finish, and work that a worker took over (trace), kill, throw,
//! the beginning and end of workers (debug), limits met, stalls, incidents of servers, greenlets abandoned by their thread (warn), panics and uncaught throws, deadlocks
//! and rings of waits, want of a stack, descriptors that cannot be polled or accepted from (error). Spans follow greenlets: what
//! one has entered is never current in another.

#[cfg(not(target_os = "linux"))]
compile_error!("rustlet supports Linux");

mod coroutine;
pub mod inspect;
pub mod io;
mod reactor;
mod runtime;
mod scheduler;
pub mod server;
pub mod stack;
pub mod sync;
mod sys;
mod timer;
mod util;

/// std's paths for what it has under the name of a platform, so that porting is changing a `use` line.
pub mod os {
    /// As [`std::os::unix`].
    pub mod unix {
        /// As [`std::os::unix::net`].
        pub mod net {
            pub use crate::io::net::{
                UCred, UnixDatagram, UnixIncoming as Incoming, UnixListener, UnixStream,
            };
            #[doc(no_inline)]
            pub use std::os::unix::net::SocketAddr;
        }
    }
}

pub use coroutine::raw;
pub use io::block_on::block_on;
pub use io::offload::{self, spawn_blocking, unblock};
#[cfg(feature = "hyper")]
pub use io::poll::{Executor, HyperTimer};
#[doc(no_inline)]
pub use io::{fs, net, process, signal};
pub use runtime::{
    FutureHandle, Runtime, RuntimeBuilder, RuntimeHandle, RuntimeMetrics, Unclean, WorkerMetrics,
    run, spawn_future, spawn_on, worker_index,
};
pub use scheduler::{
    Builder, Deadlock, Ended, Greenlet, Handle, HubStats, JoinError, Killed, LinkId, LocalKey,
    Uncaught, UncaughtHook, Waitable, current, park, set_uncaught_hook, spawn, spawn_local, stats,
    take_uncaught_hook, yield_now,
};
pub use sync::group::{
    AsCompleted, Group, IMap, IMapUnordered, Pool, PoolFull, Results, Scope, ScopedGreenlet,
    TaskGroup, When, as_completed, gather, gather_settled, scope, shield, wait_until,
};
pub use sync::queue;
pub use timer::{
    Elapsed, IWait, Sleep, iwait, joinall, killall, killall_timeout, park_timeout, sleep,
    sleep_until, spawn_later, timeout, timeout_at, wait, with_timeout,
};
