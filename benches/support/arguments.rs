//! What cargo and criterion pass to a bench that is not criterion's.
//!
//! `cargo bench` passes `--bench`; `cargo test --benches` passes nothing, or whatever stands behind
//! `--`; people pass `--test` to try all benches quickly. So a full run needs `--bench` without
//! `--test`, as criterion has it; all else is a smoke test, which takes a second and proves only that
//! the bench still works. Arguments that nobody here knows are ignored.

use std::str::FromStr;

/// Whether to run quickly, without meaning the figures.
pub(crate) fn is_smoke_test() -> bool {
    has("--test") || !has("--bench")
}

/// Whether the flag was given.
pub(crate) fn has(flag: &str) -> bool {
    std::env::args().skip(1).any(|argument| argument == flag)
}

/// What stands behind `name`, if it was given and can be read as a `T`.
pub(crate) fn value<T: FromStr>(name: &str) -> Option<T> {
    let mut arguments = std::env::args().skip(1);
    arguments.find(|argument| argument == name)?;
    arguments.next()?.parse().ok()
}
