//! TCP sockets that look blocking and yield: the twins of `std::net`.
//!
//! Porting is changing a `use` line: names, signatures and errors are std's. A call that would block
//! suspends the running greenlet and lets the others run; on a thread's own stack it runs them until it can
//! return. In a destructor that runs because of a panic or a kill it blocks the thread instead.
//!
//! Differences from std, all additions but the first:
//! - [`ToSocketAddrs`] is rustlet's own trait of the same shape, so that host names are resolved
//!   without blocking the thread.
//! - `close` on both types: wakes greenlets that wait for the socket, with an error.
//! - [`TcpListener::accept`] waits a while when descriptors run out, before it reports that.

mod addr;
mod raw_fd;
mod resolver;
mod tcp_listener;
mod tcp_stream;

pub use addr::ToSocketAddrs;
pub use tcp_listener::{Incoming, IntoIncoming, TcpListener};
pub use tcp_stream::TcpStream;

#[doc(no_inline)]
pub use std::net::{
    AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6,
};

use std::io;

/// Tries `f` with each address of `addrs` until one succeeds, as std does.
fn each_addr<A: ToSocketAddrs, T>(
    addrs: A,
    mut f: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addrs.to_socket_addrs()? {
        match f(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "could not resolve to any addresses",
        )
    }))
}
