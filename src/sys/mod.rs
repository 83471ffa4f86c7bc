//! The only place that talks to the kernel.
//!
//! Everything here goes by raw system calls: through `rustix`, whose Linux backend issues the
//! instruction itself, or through [`syscall`] for what rustix does not offer. No libc *function*
//! that a program could replace is called on the paths that coroutines take: in a program whose
//! libc symbols are ours, `libc::read` here would be our own cooperative `read`. The `libc` crate
//! is named under this directory for its constants, its structures and the few calls that nobody
//! replaces (`sigaction`).
//!
//! Modules here know nothing of stacks, greenlets or schedulers; they speak of ranges, file
//! descriptors and signals. Each holds one subject and says itself who may call it.
#![allow(unsafe_code)] // System calls are made here, and nowhere else.

pub(crate) mod clock;
pub(crate) mod epoll;
pub(crate) mod exit;
pub(crate) mod fork;
pub(crate) mod guard;
pub(crate) mod means;
pub(crate) mod mem;
pub(crate) mod nowait;
pub(crate) mod proc;
pub(crate) mod short_lock;
pub(crate) mod signal;
pub(crate) mod signal_delivery;
pub(crate) mod socket;
pub(crate) mod stack_sample;
pub(crate) mod syscall;
pub(crate) mod thread;
pub(crate) mod ticks;
