//! `tracing` spans follow greenlets: what one has entered is left while it is suspended.
//!
//! A subscriber such as `tracing-subscriber`'s Registry keeps the spans that are entered in a stack *of the OS thread*. So before
//! code is suspended, its spans are exited, innermost first, and when it is resumed they are entered again, outermost
//! first: the way `tracing`'s own `Instrument` treats a future at each poll. The subscriber needs no layer for that,
//! and one that measures how long spans are busy measures right.
//!
//! ```text
//!   greenlet A: enter(a) ── suspended: exit(a) ─────────────────────── resumed: enter(a) ── …
//!   greenlet B:                             enter(b) ── … ── exit(b)
//! ```
//! Without a subscriber a suspension pays one relaxed load for this. With one, each goes the long way, and asks it which span is
//! current.
//!
//! What is exited is remembered on the greenlet's own stack, with the subscriber: a scoped default of the thread
//! ([`tracing::subscriber::with_default`]) may have ended meanwhile. Such a scoped default belongs to the thread, not to a greenlet.
//!
//! The subscriber is called on the stack that is about to be suspended. It must not block by means of this crate.

use tracing::dispatcher::{self, Dispatch};
use tracing::level_filters::LevelFilter;
use tracing::span::Id;

/// Spans within each other, at most: a subscriber that goes on naming a current span must not hang the thread.
const DEEPEST: usize = 1024;

/// Whether there may be spans to leave.
#[inline(always)]
pub(super) fn in_use() -> bool {
    LevelFilter::current() != LevelFilter::OFF
}

/// The spans that the running code had entered, innermost first, until they are [entered again](Left::enter).
#[derive(Debug)]
#[must_use = "they are to be entered again"]
pub(super) struct Left(Option<(Dispatch, Vec<Id>)>);

/// Exits all spans of the running code.
pub(super) fn leave() -> Left {
    if !in_use() {
        return Left(None);
    }
    Left(dispatcher::get_default(|dispatch| {
        let mut left = Vec::new();
        while left.len() < DEEPEST
            && let Some(id) = dispatch.current_span().id()
        {
            dispatch.exit(id);
            left.push(id.clone());
        }
        (!left.is_empty()).then(|| (dispatch.clone(), left))
    }))
}

impl Left {
    /// Enters them again, as they were.
    pub(super) fn enter(self) {
        if let Some((dispatch, left)) = self.0 {
            for id in left.iter().rev() {
                dispatch.enter(id);
            }
        }
    }
}
