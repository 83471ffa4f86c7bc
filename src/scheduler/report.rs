//! Naming the greenlet in a panic's report.
//!
//! The panic hook prints the thread's name, which says little when a thread has ten thousand greenlets.
//! The first hub of a process therefore puts one line before whatever hook is installed then: it names
//! the greenlet that panics, and nothing for code outside of greenlets. A hook that the program
//! installs later replaces it; [`crate::current`] gives such a hook the name.

use std::panic;
use std::sync::Once;

use super::deadlock::Name;
use super::hub;
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
            if let Some(hub) = hub::existing()
                && !hub.current().is_main()
            {
                let task = &hub.current().task;
                eprintln!("\n{}:", Name(task.id, task.name()));
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
