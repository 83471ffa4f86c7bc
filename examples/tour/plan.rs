//! Who asks what and when: a pure function of the client's number, so that two runs (and the greenlets'
//! and the threads') do the same.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::page::fnv1a;

/// Clients that connect to one address. A pair of addresses has some 28,000 ports to connect
/// from, so more clients get more addresses: the whole of 127.0.0.0/8 is this machine.
const CLIENTS_PER_ADDRESS: usize = 20_000;
/// Between the starts of two clients: 10,000 have connected after two seconds.
const BETWEEN_STARTS: Duration = Duration::from_micros(200);

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) clients: usize,
    /// Clients that there are descriptors for at the same time.
    pub(crate) at_once: usize,
    /// Of each client.
    pub(crate) requests: usize,
    /// After each request, on average.
    pub(crate) pause: Duration,
}

impl Plan {
    /// How long a client waits before it connects.
    pub(crate) fn start(&self, client: usize) -> Duration {
        BETWEEN_STARTS * client as u32
    }

    /// How long a client waits after a request: between half the pause and one and a half. One that had to
    /// wait for a place makes up for it.
    pub(crate) fn pause(&self, client: usize, request: usize) -> Duration {
        if client >= self.at_once {
            return Duration::ZERO;
        }
        let hash = fnv1a(&[client.to_le_bytes(), request.to_le_bytes()].concat());
        self.pause.mul_f64(0.5 + (hash % 1024) as f64 / 1024.0)
    }

    pub(crate) fn path(&self, client: usize, request: usize) -> String {
        format!("/client/{client}/request/{request}")
    }

    /// Responses that there must be in the end.
    pub(crate) fn total(&self) -> u64 {
        self.clients as u64 * self.requests as u64
    }

    /// Where to listen; the system chooses the ports.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let count = self.clients.div_ceil(CLIENTS_PER_ADDRESS) as u32;
        (0..count).map(|n| {
            let host = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + n);
            SocketAddr::new(IpAddr::V4(host), 0)
        })
    }

    /// The address that a client connects to.
    pub(crate) fn pick(&self, addresses: &[SocketAddr], client: usize) -> SocketAddr {
        addresses[client / CLIENTS_PER_ADDRESS]
    }
}
