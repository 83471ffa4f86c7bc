//! The protocols between threads, run by [loom] under every interleaving and every value that a weak load may see.
//!
//! The files that are checked are those of the library, included by `#[path]`. What they name and loom
//! cannot run (context switches, system calls) has a twin here, as small as can be:
//!
//! | checked | twin of what it needs |
//! |---|---|
//! | `sys/short_lock.rs` | `sys`: a nap is a yield |
//! | `scheduler/inbox.rs` | `scheduler::task` (counted, flags), `scheduler::bell` (a condition variable) |
//! | `scheduler/workers/{idle, announce, worker, injector}.rs` | `crossbeam_deque`; `scheduler::workers`: a team; the hub's loop is in the model |
//! | the flags of `scheduler/{task, park, interrupt}.rs` | all of it: `scheduler::task` |
//! | `sync/waiter.rs`, `sync/permits.rs` | `scheduler::{sleeper, park}`: a thread that waits, and its token |
//! | `sync/queue`, `sync/mpmc` | `timer`: a deadline that comes when the model says so; `scheduler::hub`: no budget |
//! | `io/offload/{pool, slot}.rs` | `sys::thread`: a thread of loom's; who waits is a thread with a token, as above |
//! | all | `util::primitive`: loom's atomics, cells and locks |
//!
//! Each thread of a model stands for a hub with one greenlet, or for a thread of a pool. Within a hub nothing runs at the same time,
//! so there is nothing for loom to find.
//!
//! ```text
//! cargo run --release --manifest-path tests/loom/Cargo.toml                 # all; a minute or two
//! cargo run --release --manifest-path tests/loom/Cargo.toml -- permits      # those whose name has it
//! LOOM_MAX_PREEMPTIONS=5 …                                                  # more thorough than 4
//! LOOM_LOG=trace LOOM_LOCATION=1 …                                          # what happened before a failure
//! ```
//!
//! A model that fails panics: `deadlock` is a lost wake-up, `Causality violation` (or `Concurrent … accesses`) something that was
//! used without the order that makes it safe, an assertion the loss of an item or a permit.
//!
//! With the feature `threads`, and another crate under the name of loom, the same models run as ordinary threads, for
//! ThreadSanitizer: `tests/tsan`, `ci/tsan.sh`.
//!
//! A program and not tests, because `cfg(test)` would bring in the unit tests of the included files, which run threads of their own.
//!
//! Not checked here: the budget, the hub's own bookkeeping, and what no model of [`models::all`] does. Loom knows no
//! sequentially consistent order between *different* atomics' loads and stores unless a fence stands between them; the inbox's
//! argument (`inbox.rs`, Sleeping) needs one. See [`util::primitive`].
//!
//! [loom]: https://docs.rs/loom
#![allow(dead_code, unused_imports)] // The included files have more than the models use.
#![allow(clippy::arc_with_non_send_sync)] // Loom checks what is shared, and better than the types.

#[cfg(not(feature = "threads"))]
extern crate self as crossbeam_deque;

#[cfg(not(feature = "threads"))]
mod deque;
mod io;
mod models;
mod scheduler;
mod sync;
mod sys;
mod timer;
mod util;

use std::time::Instant;

#[cfg(not(feature = "threads"))]
pub(crate) use deque::{Steal, Stealer, Worker}; // as `crossbeam_deque`

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let start = Instant::now();
    let mut count = 0;
    for &(name, keeps, run) in models::all() {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        println!("{}: {}", name, keeps);
        let before = Instant::now();
        run();
        println!(
            "    {} executions, {:.1} s",
            models::executions(),
            before.elapsed().as_secs_f32()
        );
        count += 1;
    }
    assert!(count > 0, "no model has {wanted:?} in its name");
    println!(
        "{count} models passed in {:.0} s",
        start.elapsed().as_secs_f32()
    );
}
