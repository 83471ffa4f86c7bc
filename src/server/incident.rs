//! What can go wrong while serving ([`Incident`]), and what a handler may return ([`Outcome`]).

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Something that went wrong and did not end the server: what [`super::Builder::on_error`] is told. Peers have
/// addresses of type `A`: those of TCP and UDP, unless the server is one for Unix sockets.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incident<'a, A = SocketAddr> {
    /// Accepting failed, mostly because descriptors ran out, or receiving did. It is tried again after `pause`.
    Accept {
        /// What accept(2) or recv(2) said.
        error: io::Error,
        /// Doubles with each failure in a row.
        pause: Duration,
    },
    /// No greenlet could be had for a connection, which was closed, or a datagram, which was dropped. The next is
    /// taken after `pause`.
    Spawn {
        /// The other end of the connection.
        peer: A,
        /// The text names the limit and the remedy.
        error: io::Error,
        /// Doubles with each failure in a row.
        pause: Duration,
    },
    /// A handler returned an error.
    Failed {
        /// The other end of the connection.
        peer: A,
        /// What the handler returned.
        error: &'a (dyn Error + 'static),
    },
    /// A handler panicked. The panic hook has reported it already.
    Panicked {
        /// The other end of the connection.
        peer: A,
        /// The panic's payload.
        payload: &'a (dyn Any + Send),
    },
}

impl<A: fmt::Debug> fmt::Display for Incident<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incident::Accept { error, pause } => {
                write!(f, "accept: {error}; trying again in {pause:?}")
            }
            Incident::Spawn { peer, error, .. } => {
                write!(f, "no greenlet for {peer:?}: {error}")
            }
            Incident::Failed { peer, error } => {
                write!(f, "serving {peer:?} failed: {error}")
            }
            Incident::Panicked { peer, payload } => {
                let text = text(*payload).unwrap_or("a payload that is no text");
                write!(f, "the handler for {peer:?} panicked: {text}")
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
pub(super) fn log<A: fmt::Debug>(incident: &Incident<'_, A>) {
    if !matches!(incident, Incident::Panicked { .. }) {
        tracing::warn!(target: "rustlet", "server: {incident}");
    }
}

/// What a handler may return: nothing, or a `Result`.
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
