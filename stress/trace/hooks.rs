//! What is said of uncaught throws and of deadlocks while programs run: nothing, if they are the programs' own.
//!
//! Programs throw what nobody catches and lock each other out on purpose, and each would be printed. So the first
//! check of a process puts a hook before the one that is there, which leaves out the programs' payloads; deadlocks are not
//! told of at all. A hook that is set later replaces these.
//!
//! Rejected: setting the old hook again after each check. It would be the old one in a new box every time, and a thousand boxes deep
//! after a thousand checks.

use std::sync::Once;

use super::world::Payload;

pub(super) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        rustlet::inspect::set_deadlock_hook(Some(Box::new(|_| {})));
        let before = rustlet::take_uncaught_hook();
        rustlet::set_uncaught_hook(move |uncaught| match &before {
            _ if uncaught.payload().is::<Payload>() => {}
            Some(before) => before(uncaught),
            // As the library does without a hook: a panic has been reported by its own.
            None if uncaught.is_thrown() => eprintln!("\n{uncaught}"),
            None => {}
        });
    });
}
