//! A look at a running program: deadlocks that are not the end of everything, and threads that are stuck.
//!
//! # Deadlocks
//! When nothing at all can wake the code on a thread's own stack, it gets a [`Deadlock`](crate::Deadlock) error. But a
//! program with one live timer or socket never comes to that, and greenlets that wait for each other's
//! locks would wait in silence. So each thread also looks, a second after one of its greenlets began to wait
//! for somebody who is known, whether the waits form a ring; [`deadlocks`] looks now.
//!
//! Who is known: the holder of a lock, the greenlet that is joined, and whoever used the other side of a queue
//! last. The latter is a guess, so a ring with such a wait in it is called probable
//! ([`Cycle::is_certain`]): a client and a server that exchange messages and wait for the next look just so.
//!
//! ```
//! use rustlet::sync::Mutex;
//! use std::rc::Rc;
//!
//! let forks = Rc::new([Mutex::new(()), Mutex::new(())]);
//! let philosophers: Vec<_> = (0..2)
//!     .map(|n| {
//!         let forks = forks.clone();
//!         rustlet::spawn_local(move || {
//!             let _left = forks[n].lock();
//!             rustlet::yield_now();
//!             let _right = forks[1 - n].lock();
//!         })
//!     })
//!     .collect();
//! rustlet::yield_now();
//! rustlet::yield_now();
//!
//! let deadlocks = rustlet::inspect::deadlocks();
//! assert_eq!(deadlocks.len(), 1);
//! assert_eq!(deadlocks[0].members().len(), 2);
//! assert!(deadlocks[0].to_string().contains("for a mutex"));
//!
//! philosophers[0].kill().unwrap(); // one starves, the other can eat
//! assert!(rustlet::inspect::deadlocks().is_empty());
//! ```
//!
//! # Stalls
//! Greenlets share their thread by letting go of it. One that computes for long, or calls something that blocks the
//! thread behind the library's back (a C library's `connect`, a lock of std that is held for long), keeps all others of its
//! thread from running, and nothing in the program's behaviour says who it was. [`watch_stalls`] starts a thread that notices, off by default; [`stalls()`] and the
//! hook ([`set_stall_hook`]) name the greenlet and have its native backtrace.

mod stall_watch;
mod stalls;

pub use crate::scheduler::{Cycle, Member, cycles as deadlocks, set_deadlock_hook};
pub use stall_watch::{StallWatch, set_stall_hook, stalls, watch_stalls};
pub use stalls::{Stall, StallFrame};
