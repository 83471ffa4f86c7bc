//! The options of a `UdpSocket`, which std's socket sets: system calls that never block.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::UdpSocket;

impl UdpSocket {
    /// Allows sending to broadcast addresses (`SO_BROADCAST`).
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.inner().set_broadcast(broadcast)
    }

    /// Whether sending to broadcast addresses is allowed.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.inner().broadcast()
    }

    /// Whether multicast datagrams come back to this machine's own sockets (`IP_MULTICAST_LOOP`). No effect on
    /// an IPv6 socket.
    pub fn set_multicast_loop_v4(&self, multicast_loop_v4: bool) -> io::Result<()> {
        self.inner().set_multicast_loop_v4(multicast_loop_v4)
    }

    /// The option that [`UdpSocket::set_multicast_loop_v4`] sets.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.inner().multicast_loop_v4()
    }

    /// The time to live of multicast datagrams (`IP_MULTICAST_TTL`); 1 at first: they stay in the local
    /// network. No effect on an IPv6 socket.
    pub fn set_multicast_ttl_v4(&self, multicast_ttl_v4: u32) -> io::Result<()> {
        self.inner().set_multicast_ttl_v4(multicast_ttl_v4)
    }

    /// The option that [`UdpSocket::set_multicast_ttl_v4`] sets.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.inner().multicast_ttl_v4()
    }

    /// Whether multicast datagrams come back to this machine's own sockets (`IPV6_MULTICAST_LOOP`). No effect on
    /// an IPv4 socket.
    pub fn set_multicast_loop_v6(&self, multicast_loop_v6: bool) -> io::Result<()> {
        self.inner().set_multicast_loop_v6(multicast_loop_v6)
    }

    /// The option that [`UdpSocket::set_multicast_loop_v6`] sets.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.inner().multicast_loop_v6()
    }

    /// Joins the group `multiaddr`, on the interface that has the address `interface`, or on one that the system
    /// chooses if that is unspecified (`IP_ADD_MEMBERSHIP`).
    pub fn join_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner().join_multicast_v4(multiaddr, interface)
    }

    /// Joins the group `multiaddr`, on the interface of this number, or on any if it is 0
    /// (`IPV6_ADD_MEMBERSHIP`).
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner().join_multicast_v6(multiaddr, interface)
    }

    /// Takes [`UdpSocket::join_multicast_v4`] back.
    pub fn leave_multicast_v4(&self, multiaddr: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.inner().leave_multicast_v4(multiaddr, interface)
    }

    /// Takes [`UdpSocket::join_multicast_v6`] back.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.inner().leave_multicast_v6(multiaddr, interface)
    }

    /// Sets the time to live of outgoing packets.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner().set_ttl(ttl)
    }

    /// The time to live of outgoing packets.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner().ttl()
    }

    /// The socket's pending error, which it clears.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner().take_error()
    }
}
