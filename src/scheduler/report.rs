//! Naming the greenlet in a panic's report.
//!
//! The panic hook prints the thread's name, which says little when a thread has ten thousand greenlets.
//! The first hub of a process therefore puts one line before whatever hook is installed then: it names
//! the greenlet that panics, and nothing for code outside of greenlets. A hook that the program
//! installs later replaces it; [`crate::current`] gives such a hook the name.

use core::fmt;
use std::panic::{self, Location};
use std::sync::Once;

use super::deadlock::Name;
use super::hub;
use super::interrupt::Raising;
use super::join_error::text;

/// Installs the hook, once per process.
pub(super) fn name_greenlets_in_panics() {
    static ONCE: Once = Once::new();
    // Changing the hook panics in a thread that is unwinding; the next hub will do it then.
    if std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let next = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let hub = hub::existing();
            if let Some(hub) = hub {
                // This unwinding is a panic's, whatever was raised before and caught.
                hub.current().raising.set(Raising::Nothing);
            }
            if let Some(hub) = hub
                && !hub.current().is_main()
            {
                let task = &hub.current().task;
                eprintln!("\n{}:", task.name_and_place());
                tracing::error!(
                    target: "rustlet",
                    id = task.id,
                    name = task.name(),
                    location = info.location().map(tracing::field::display),
                    message = text(info.payload()).unwrap_or("(no text)"),
                    "panic"
                );
            }
            next(info);
        }));
    });
}

/// As [`Name`], with the place where it was spawned.
pub(super) struct NameAndPlace<'a>(
    pub(super) u64,
    pub(super) Option<&'a str>,
    pub(super) &'static Location<'static>,
);

impl fmt::Display for NameAndPlace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (0, _) => Name(0, None).fmt(f),
            (id, Some(name)) => write!(f, "greenlet '{name}' (#{id}, spawned at {})", self.2),
            (id, None) => write!(f, "greenlet #{id} (spawned at {})", self.2),
        }
    }
}
