//! What the coroutine layer needs of the processor beside corosensei: one file per architecture,
//! the same two functions in each.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{prefetch, stack_pointer};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{prefetch, stack_pointer};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("rustlet supports x86_64 and aarch64; see arch-notes/README.md to add another");
