//! Cooperative I/O: types that mirror `std`, name for name.
//!
//! [`fs`], [`net`], [`process`] and [`signal`] are also at the crate's root. [`Io`] and [`wait_fd`] are for
//! what has no type here.

pub(crate) mod block_on;
mod copy;
pub mod fs;
pub mod net;
pub mod offload;
mod pipe;
pub(crate) mod poll;
pub mod process;
pub mod signal;
mod source;
mod stdio;
mod wrapper;

pub use copy::{Splice, WaitReadable, WaitWritable, copy, send_file, splice};
pub use pipe::{PipeReader, PipeWriter, pipe};

pub use crate::reactor::Interest;
pub use wrapper::{Io, wait_fd};

pub use stdio::{Stderr, StderrLock, Stdin, StdinLock, Stdout, StdoutLock, stderr, stdin, stdout};
