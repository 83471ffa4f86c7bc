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
//! as in greenlets.
//!
//! # What is guaranteed
//! - A greenlet stays on the thread that spawned it; values on its stack need not be `Send`.
//! - First runs are in the order of spawning. [`yield_now`] is a fair round robin, under which timers and
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
//!   who waits for what; operations whose errors cannot say it panic with that report.
//! - Overflowing a greenlet's stack ends the process with a message that names it.
//! - When a thread ends (`main` included), its greenlets are killed.
//!
//! # What is shared
//! Greenlets of a thread share its thread-locals, errno, signal mask and floating-point control
//! words. Code that keeps a thread-local borrowed across a call that suspends will see other
//! greenlets' borrows.
//!
//! # Profiles
//! Kills, timeouts and panics unwind. With `panic = "abort"` each of them ends the process; the rest
//! works.
//!
//! # Logging
//! The library emits [`tracing`] events with the target `rustlet`: spawn and finish (trace), kill
//! (debug), limits met (warn), panic and deadlock (error).

#[cfg(not(target_os = "linux"))]
compile_error!("rustlet supports Linux");

mod coroutine;
pub mod inspect;
mod io;
mod reactor;
mod runtime;
mod scheduler;
pub mod server;
pub mod stack;
pub mod sync;
mod sys;
mod timer;
mod util;

pub use coroutine::raw;
pub use io::net;
pub use runtime::run;
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
    Elapsed, IWait, iwait, joinall, killall, killall_timeout, park_timeout, sleep, sleep_until,
    spawn_later, timeout, timeout_at, wait, with_timeout,
};
