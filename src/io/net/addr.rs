//! `ToSocketAddrs`: as std's, but host names are resolved off the hub's thread.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::{iter, option, slice, vec};

use super::resolver;

/// What can be turned into socket addresses; the twin of [`std::net::ToSocketAddrs`], with the same
/// implementations.
///
/// Resolving a host name suspends the greenlet, while a resolver thread asks the system
/// (`getaddrinfo`). Addresses in numbers need no thread.
///
/// ```
/// use rustlet::net::ToSocketAddrs;
/// let mut addrs = "127.0.0.1:80".to_socket_addrs()?;
/// assert_eq!(addrs.next(), Some("127.0.0.1:80".parse().unwrap()));
/// assert!(("localhost", 80).to_socket_addrs()?.all(|addr| addr.ip().is_loopback()));
/// # std::io::Result::Ok(())
/// ```
pub trait ToSocketAddrs {
    /// The addresses, in the order in which they should be tried.
    type Iter: Iterator<Item = SocketAddr>;

    /// Converts, resolving a host name if need be.
    ///
    /// # Errors
    /// The text is no address (`InvalidInput`), or the name cannot be resolved.
    fn to_socket_addrs(&self) -> io::Result<Self::Iter>;
}

/// The addresses of `host`, in the order in which they should be tried: `"example.org:80"`, `("example.org", 80)`, and
/// whatever else is [`ToSocketAddrs`].
///
/// Resolving a host name suspends the greenlet. The system asks (`getaddrinfo`), so `/etc/hosts`,
/// `nsswitch.conf` and the order of RFC 6724 are what the rest of the system has. gevent's `socket.getaddrinfo`.
///
/// A kill or a timeout ends the wait; the system's own search goes on for itself.
///
/// ```
/// let addrs: Vec<_> = rustlet::net::lookup_host("localhost:80")?.collect();
/// assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
/// # std::io::Result::Ok(())
/// ```
///
/// # Errors
/// The text is no address (`InvalidInput`), or the name cannot be resolved.
pub fn lookup_host<A: ToSocketAddrs>(
    host: A,
) -> io::Result<impl Iterator<Item = SocketAddr> + use<A>> {
    host.to_socket_addrs()
}

macro_rules! is_one_address {
    ($($t:ty),* $(,)?) => {$(
        impl ToSocketAddrs for $t {
            type Iter = option::IntoIter<SocketAddr>;
            fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
                Ok(Some(SocketAddr::from(*self)).into_iter())
            }
        }
    )*};
}

is_one_address!(
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6,
    (IpAddr, u16),
    (Ipv4Addr, u16),
    (Ipv6Addr, u16),
);

impl ToSocketAddrs for (&str, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)].into_iter()),
            Err(_) => resolver::lookup(host.to_owned(), port).map(Vec::into_iter),
        }
    }
}

impl ToSocketAddrs for (String, u16) {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (&*self.0, self.1).to_socket_addrs()
    }
}

/// `host:port`.
impl ToSocketAddrs for str {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        if let Ok(addr) = self.parse::<SocketAddr>() {
            return Ok(vec![addr].into_iter());
        }
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let (host, port) = self
            .rsplit_once(':')
            .ok_or_else(|| invalid("invalid socket address: expected host:port"))?;
        let port: u16 = port.parse().map_err(|_| invalid("invalid port value"))?;
        (host, port).to_socket_addrs()
    }
}

impl ToSocketAddrs for String {
    type Iter = vec::IntoIter<SocketAddr>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}

impl<'a> ToSocketAddrs for &'a [SocketAddr] {
    type Iter = iter::Cloned<slice::Iter<'a, SocketAddr>>;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.iter().cloned())
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {
    type Iter = T::Iter;
    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        (**self).to_socket_addrs()
    }
}
