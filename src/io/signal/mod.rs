//! Signals of the process, waited for as anything else.
//!
//! ```
//! use rustlet::signal::{SignalKind, signal};
//! let hangups = signal(SignalKind::hangup())?;
//! let reloader = rustlet::spawn(move || hangups.recv());
//! rustlet::yield_now(); // it waits
//! # fn send(kind: SignalKind) -> std::io::Result<()> {
//! #     let signal = rustix::process::Signal::from_named_raw(kind.as_raw_value()).unwrap();
//! #     Ok(rustix::process::kill_process(rustix::process::getpid(), signal)?)
//! # }
//! send(SignalKind::hangup())?; // as `kill -HUP` would
//! assert_eq!(reloader.join().unwrap()?, 1);
//! # std::io::Result::Ok(())
//! ```
//!
//! # What is guaranteed
//! - Each [`Signals`] sees every kind of signal that is delivered after it was made: if one came since it last looked, its
//!   next [`recv`](Signals::recv) returns, and says how many came. (The kernel itself makes one of several that wait for a
//!   thread to take them, but for real-time signals.)
//! - Any number of them, of any thread, with or without greenlets. A signal wakes an idle hub at once, and is seen
//!   by a busy one when it next looks at its descriptors. Until then the thread it is delivered to is interrupted for a
//!   few hundred nanoseconds; interrupted system calls are restarted.
//! - A handler that was installed before the first `Signals` of its kind is still called, by ours.
//!
//! # What a program gives up
//! From the first `Signals` of a kind on, the default action does not happen any more: a program that listens to
//! SIGINT is not ended by Ctrl-C. That remains so when all `Signals` have been dropped. Otherwise a server whose listener is
//! just being started anew would be ended by a SIGHUP in that moment. [`restore`] puts back what was before, for
//! example to have the second Ctrl-C end a program that does not manage to end in good order.
//!
//! `SIGPIPE` is ignored in Rust programs (a write to a pipe without readers fails with `BrokenPipe`), and std gives
//! children the default action back. Listening to it changes neither. Children that are executed get the
//! default actions for all signals that this program listens to; which signals they block is not touched.
//!
//! A process made by a bare fork(2), without executing a program, has the handlers too: signals it gets wake this process's
//! listeners, which find nothing and wait again.

mod kind;
mod signals;

pub use kind::SignalKind;
pub use signals::{Iter, Signals};

use std::io;

use crate::sys::signal_delivery;

/// Listens to signals of one kind, from now on: [`Signals::new`].
///
/// # Errors
/// See there.
pub fn signal(kind: SignalKind) -> io::Result<Signals> {
    Signals::new(kind)
}

/// Waits for the next Ctrl-C (`SIGINT`).
///
/// From the first call on, Ctrl-C does not end the program any more, also between the calls: see
/// [the module's page](self). What comes between two calls is not waited for; a [`Signals`] misses none.
///
/// ```no_run
/// rustlet::signal::ctrl_c()?;
/// println!("good bye");
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// As [`Signals::new`] and [`Signals::recv`].
pub fn ctrl_c() -> io::Result<()> {
    signal(SignalKind::interrupt())?.recv().map(drop)
}

/// Puts back what happened upon a signal of this kind before the program first listened to it: mostly, the default
/// action. Returns whether there was something to put back; there is not, if nobody has listened, or if
/// other code has installed its own handler since.
///
/// [`Signals`] of this kind that exist hear no more until somebody makes a new one.
///
/// ```
/// use rustlet::signal::{SignalKind, restore, signal};
/// let listener = signal(SignalKind::user_defined2())?;
/// assert!(restore(SignalKind::user_defined2())?); // such a signal would now end the program
/// assert!(!restore(SignalKind::user_defined2())?);
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// `InvalidInput` for a number that is no signal's.
pub fn restore(kind: SignalKind) -> io::Result<bool> {
    Ok(signal_delivery::restore(kind.as_raw_value())?)
}
