//! What goes wrong between raw greenlets, and the payload that ends one.
//!
//! Misuse that a program can foresee is an error value ([`SetParentError`]); misuse that is a bug is
//! a panic with a text that says which greenlet and why. Ending a greenlet from outside is an
//! unwinding with [`GreenletExit`].

use core::fmt;

/// The payload with which a raw greenlet is unwound when it is to end: by
/// [`Greenlet::throw_exit`](super::Greenlet::throw_exit), by [`exit`](super::exit), or because its
/// last handle was dropped.
///
/// It is raised without running the panic hook. Destructors run; code that uses
/// [`std::panic::catch_unwind`] can recognise it by downcasting the payload, and should pass it on
/// with [`std::panic::resume_unwind`]. If nobody catches it, the greenlet has ended and its exit
/// value goes to its parent as if the closure had returned it.
///
/// It names the greenlet it was raised for. Passed on in another one, it is a panic like any other.
#[derive(Debug)]
#[non_exhaustive]
pub struct GreenletExit {
    /// The greenlet that is to end; 0 for a main greenlet, which no exit ends.
    pub(super) greenlet: u64,
}

impl fmt::Display for GreenletExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("raw greenlet is told to exit")
    }
}

/// Why a greenlet's parent cannot be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetParentError {
    /// The new parent is the greenlet itself or one of its descendants.
    Cycle,
    /// A main greenlet has no parent.
    Main,
    /// The two greenlets belong to different scheduled greenlets, or one to the thread itself.
    OtherContext,
}

impl fmt::Display for SetParentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cycle => "cyclic parent chain",
            Self::Main => "a main greenlet has no parent",
            Self::OtherContext => "the parent belongs to another context",
        })
    }
}

impl core::error::Error for SetParentError {}
