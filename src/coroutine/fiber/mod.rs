//! What the sanitizers are told of switches and of a coroutine's end. Nothing, unless the library is built for one.
//!
//! Each coroutine has a [`Fiber`] in its head, and these calls belong to the switch:
//!
//! ```text
//!   create: new ── resume: enter ─► entry … suspend: leave ─► … resume: enter ─► … entry returns: end ─► finish: destroy
//! ```
//! | built with | sanitizer | told here |
//! |---|---|---|
//! | `--cfg rustlet_tsan` (ci/tsan.sh) | ThreadSanitizer | who runs: `tsan` |
//! | `--cfg rustlet_asan` (ci/asan.sh) | AddressSanitizer | that its copies of locals can go: `asan`; the switches are told by corosensei's feature `sanitizer` |
//!
//! Which memory is a stack, and free, is told by `stack::checked`. Otherwise a fiber has no bytes and these functions no code.

#[cfg(all(rustlet_asan, rustlet_tsan))]
compile_error!("rustlet_asan and rustlet_tsan are two builds: a program has one sanitizer");

#[cfg(rustlet_asan)]
mod asan;
#[cfg(not(any(rustlet_asan, rustlet_tsan)))]
mod none;
#[cfg(rustlet_tsan)]
mod tsan;

#[cfg(rustlet_asan)]
pub(super) use asan::Fiber;
#[cfg(not(any(rustlet_asan, rustlet_tsan)))]
pub(super) use none::Fiber;
#[cfg(rustlet_tsan)]
pub(super) use tsan::Fiber;
