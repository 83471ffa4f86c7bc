//! What can go wrong while serving ([`Incident`]), and what a handler may return ([`Outcome`]).

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Something that went wrong and did not end the server: what [`super::Builder::on_error`] is told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incident<'a> {
    /// Accepting failed, mostly because descriptors ran out. It is tried again after `pause`.
    Accept {
        /// What accept(2) said.
        error: io::Error,
        /// Doubles with each failure in a row.
        pause: Duration,
    },
    /// No greenlet could be had for a connection, which was closed. The next is accepted after `pause`.
    Spawn {
        /// The other end of the connection.
        peer: SocketAddr,
        /// The text names the limit and the remedy.
        error: io::Error,
        /// Doubles with each failure in a row.
        pause: Duration,
    },
    /// A handler returned an error.
    Failed {
        /// The other end of the connection.
        peer: SocketAddr,
        /// What the handler returned.
        error: &'a (dyn Error + 'static),
    },
    /// A handler panicked. The panic hook has reported it already.
    Panicked {
        /// The other end of the connection.
        peer: SocketAddr,
        /// The panic's payload.
        payload: &'a (dyn Any + Send),
    },
}

impl fmt::Display for Incident<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incident::Accept { error, pause } => {
                write!(f, "accept: {error}; trying again in {pause:?}")
            }
            Incident::Spawn { peer, error, .. } => {
                write!(f, "no greenlet for the connection from {peer}: {error}")
            }
            Incident::Failed { peer, error } => {
                write!(f, "the connection from {peer} failed: {error}")
            }
            Incident::Panicked { peer, payload } => {
                let text = text(*payload).unwrap_or("a payload that is no text");
                write!(
                    f,
                    "the handler of the connection from {peer} panicked: {text}"
                )
            }
        }
    }
}

/// A panic's message, if that is what its payload is.
fn text(payload: &(dyn Any + Send)) -> Option<&str> {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| payload.downcast_ref::<&'static str>().copied())
}

/// The hook unless the user set another: everything goes to the log, but a panic, which is there
/// already.
pub(super) fn log(incident: &Incident<'_>) {
    if !matches!(incident, Incident::Panicked { .. }) {
        tracing::warn!(target: "rustlet", "server: {incident}");
    }
}

/// What the handler of a connection may return: nothing, or a `Result`.
///
/// The value of an `Ok` is dropped, so that `io::copy` and its like can be a handler's last line; an `Err` goes to
/// [`super::Builder::on_error`].
pub trait Outcome {
    /// The error, if it is one.
    fn into_error(self) -> Option<Box<dyn Error>>;
}

impl Outcome for () {
    fn into_error(self) -> Option<Box<dyn Error>> {
        None
    }
}

impl<T, E: Into<Box<dyn Error>>> Outcome for Result<T, E> {
    fn into_error(self) -> Option<Box<dyn Error>> {
        self.err().map(Into::into)
    }
}
