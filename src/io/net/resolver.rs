//! Host names: `getaddrinfo` on a pool of threads, while the greenlet is parked.
//!
//! A pool of its own and not the one of [`crate::unblock`]: a hundred files on a slow disk do not keep names waiting, nor names that
//! nobody answers for the files. A greenlet that is killed or times out leaves its request running; the answer is dropped.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::OnceLock;

use crate::io::offload::{Limits, ThreadPool};

/// Requests that run at the same time. getaddrinfo mostly waits for the network.
const THREADS: usize = 16;

static POOL: OnceLock<ThreadPool> = OnceLock::new();

/// Resolves `host`; suspends the caller meanwhile.
///
/// # Errors
/// What getaddrinfo says.
pub(super) fn lookup(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let pool = POOL.get_or_init(|| ThreadPool::with_limits(Limits::new().threads(THREADS)));
    pool.unblock(move || Ok((host.as_str(), port).to_socket_addrs()?.collect()))
}
