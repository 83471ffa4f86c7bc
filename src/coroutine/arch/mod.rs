//! What the coroutine layer needs of the processor beside corosensei: one file per architecture,
//! the same two functions in each.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "riscv64")]
mod riscv64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::{prefetch, stack_pointer};
#[cfg(target_arch = "riscv64")]
pub(crate) use riscv64::{prefetch, stack_pointer};
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::{prefetch, stack_pointer};

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
)))]
compile_error!(
    "rustlet supports x86_64, aarch64 and riscv64; see arch-notes/README.md to add another"
);
