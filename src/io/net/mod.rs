//! Sockets that look blocking and yield: the twins of `std::net` and `std::os::unix::net`.
//!
//! Porting is changing a `use` line: names, signatures and errors are std's. The Unix sockets, which std has under
//! [`os::unix::net`](crate::os::unix::net), are there, too. A call that would block
//! suspends the running greenlet and lets the others run; on a thread's own stack it runs them until it can
//! return. In a destructor that runs because of a panic or a kill it blocks the thread instead.
//!
//! Differences from std, all additions but the first:
//! - [`ToSocketAddrs`] is rustlet's own trait of the same shape, so that host names are resolved
//!   without blocking the thread.
//! - `close` on all types: wakes greenlets that wait for the socket, with an error.
//! - [`TcpListener::accept`] and [`UnixListener::accept`] wait a while when descriptors run out, before they report
//!   that.
//! - [`UnixStream::send_with_fds`] and its like, for descriptors that travel with the data; [`lookup_host`];
//!   [`TcpListener::bind_reuse_port`].
//!
//! # How it is built
//! | file | one idea |
//! |---|---|
//! | `tcp_stream`, `tcp_listener`, `udp_socket` (and `udp_options`), `unix_stream`, `unix_listener`, `unix_datagram` | a type each |
//! | `addr`, `resolver`, `unix_addr` | addresses: of names, of host names, of Unix sockets |
//! | `accept` | accepting, and patience when descriptors run out |
//! | `ancillary`, `ucred` | what travels beside the data of Unix sockets: descriptors, credentials |
//! | `shut` | the end that only poll(2) tells of |
//! | `convert`, `raw_fd` | from and into std's types and descriptors |

mod accept;
mod addr;
mod ancillary;
mod convert;
mod raw_fd;
mod resolver;
mod shut;
mod tcp_listener;
mod tcp_stream;
mod ucred;
mod udp_options;
mod udp_socket;
mod unix_addr;
mod unix_datagram;
mod unix_listener;
mod unix_stream;

pub use addr::{ToSocketAddrs, lookup_host};
pub use tcp_listener::{Incoming, IntoIncoming, TcpListener};
pub use tcp_stream::TcpStream;
pub use ucred::UCred;
pub use udp_socket::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::{UnixIncoming, UnixListener};
pub use unix_stream::UnixStream;

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
