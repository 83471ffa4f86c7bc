//! The face of a [`DatagramServer`]. What it does is what a `StreamServer` does, with datagrams.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::builder::Builder;
use super::endpoint::Datagram;
use super::home::{Here, Spread};
use super::incident::Outcome;
use super::shared::Shared;
use super::{Stopped, jobs};
use crate::io::net::{ToSocketAddrs, UdpSocket};
use crate::runtime::RuntimeHandle;

/// A server for UDP: receives, and runs a handler for each datagram in a greenlet of its own. gevent's
/// `DatagramServer`.
///
/// ```
/// use rustlet::net::UdpSocket;
/// use rustlet::server::DatagramServer;
/// use std::time::Duration;
///
/// let server = DatagramServer::bind("127.0.0.1:0")?;
/// server.start(|socket, data, peer| socket.send_to(&data.to_ascii_uppercase(), peer))?;
///
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", server.local_addr())?;
/// let mut buf = [0; 16];
/// let len = client.recv(&mut buf)?;
/// assert_eq!(&buf[..len], b"HELLO");
/// server.stop(Duration::from_secs(1));
/// # std::io::Result::Ok(())
/// ```
///
/// # Life
/// A server is bound from the moment that it is made (the system keeps some datagrams for it), receives once it is
/// [started](DatagramServer::start), and ends with [`close`](DatagramServer::close) or
/// [`stop`](DatagramServer::stop); it is not started again after that. It also closes when its thread ends.
///
/// This is a handle: its clones stand for the same server, on any thread. Dropping the last one does not stop a
/// server that was started.
///
/// # Handlers
/// The handler gets the socket by which the datagram came, the bytes, and the address of the sender. It may answer by
/// that socket or not at all. A panic, or an error that the handler returns, concerns its own datagram alone;
/// [`Builder::on_error`] hears of it.
///
/// [`Builder::max_connections`] and [`Builder::pool`] bound how many handlers run at a time. When so many run, the server
/// stops receiving until one has ended; datagrams wait in the buffer of the socket, and the system drops what
/// that has no room for.
pub struct DatagramServer {
    pub(super) shared: Arc<Shared<UdpSocket>>,
}

impl Clone for DatagramServer {
    fn clone(&self) -> Self {
        DatagramServer {
            shared: self.shared.clone(),
        }
    }
}

impl DatagramServer {
    /// A server whose socket is bound to the first of `addr`'s addresses that can be.
    ///
    /// # Errors
    /// As [`UdpSocket::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<DatagramServer> {
        DatagramServer::new(UdpSocket::bind(addr)?)
    }

    /// A server that receives from `socket`. A read timeout of the socket counts as an error when it passes
    /// ([`Builder::on_error`]).
    ///
    /// # Errors
    /// The socket has no address.
    pub fn new(socket: UdpSocket) -> io::Result<DatagramServer> {
        DatagramServer::builder().socket(socket).build()
    }

    /// For more than one socket, a bound on handlers, and the rest of what can be set.
    ///
    /// ```
    /// use rustlet::net::UdpSocket;
    /// use rustlet::server::DatagramServer;
    /// let server = DatagramServer::builder()
    ///     .socket(UdpSocket::bind("127.0.0.1:0")?)
    ///     .max_connections(100)
    ///     .build()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn builder() -> Builder<UdpSocket> {
        Builder::default()
    }

    /// Begins to receive, on the calling thread, which needs to block or yield for anything to happen.
    ///
    /// `handler` returns nothing, or a `Result` whose error is reported.
    ///
    /// # Errors
    /// `InvalidInput`, if the server was started or closed before; no greenlet can be spawned
    /// ([`crate::Builder::spawn`]).
    pub fn start<F, R>(&self, handler: F) -> io::Result<()>
    where
        F: Fn(&UdpSocket, Vec<u8>, SocketAddr) -> R + 'static,
        R: Outcome,
    {
        let handler =
            move |datagram: Datagram, peer| handler(&datagram.socket, datagram.data, peer);
        jobs::start(&self.shared, Here(Rc::new(handler)))
    }

    /// As [`start`](DatagramServer::start), but spread over the workers of a runtime, from any thread: one worker receives from a
    /// socket, and any may run a handler. As [`StreamServer::start_in`](super::StreamServer::start_in).
    ///
    /// # Errors
    /// `InvalidInput`, if the server was started or closed before; the runtime is shutting down or has ended.
    pub fn start_in<F, R>(&self, runtime: &RuntimeHandle, handler: F) -> io::Result<()>
    where
        F: Fn(&UdpSocket, Vec<u8>, SocketAddr) -> R + Send + Sync + 'static,
        R: Outcome,
    {
        let handler =
            move |datagram: Datagram, peer| handler(&datagram.socket, datagram.data, peer);
        jobs::start(&self.shared, Spread::new(runtime, handler))
    }

    /// [`start`](DatagramServer::start)s, and [`wait`](DatagramServer::wait)s until the server has ended.
    ///
    /// A kill or a timeout that interrupts it closes the server. Handlers go on then.
    ///
    /// # Errors
    /// As these two.
    ///
    /// # Panics
    /// As [`wait`](DatagramServer::wait).
    pub fn serve_forever<F, R>(&self, handler: F) -> io::Result<()>
    where
        F: Fn(&UdpSocket, Vec<u8>, SocketAddr) -> R + 'static,
        R: Outcome,
    {
        self.start(handler)?;
        self.shared.wait_to_the_end()
    }

    /// [`start_in`](DatagramServer::start_in)s, and [`wait`](DatagramServer::wait)s until the server has ended, as
    /// [`serve_forever`](DatagramServer::serve_forever).
    ///
    /// # Errors
    /// As these.
    ///
    /// # Panics
    /// As [`wait`](DatagramServer::wait).
    pub fn serve_forever_in<F, R>(&self, runtime: &RuntimeHandle, handler: F) -> io::Result<()>
    where
        F: Fn(&UdpSocket, Vec<u8>, SocketAddr) -> R + Send + Sync + 'static,
        R: Outcome,
    {
        self.start_in(runtime, handler)?;
        self.shared.wait_to_the_end()
    }

    /// Waits until the server is closed and the last of its handlers has ended, other than the caller's.
    ///
    /// # Errors
    /// What ended receiving for good, as soon as it has. Handlers go on then.
    ///
    /// # Panics
    /// As [`StreamServer::wait`](super::StreamServer::wait).
    pub fn wait(&self) -> io::Result<()> {
        self.shared.wait()
    }

    /// Stops receiving, for good. Handlers go on, and can answer; the sockets are closed with the last of them. Never
    /// waits; a second time it does nothing.
    ///
    /// On the server's own thread nothing is received once this has returned; from another thread, soon
    /// after it.
    pub fn close(&self) {
        self.shared.close(None);
    }

    /// Ends the server: [`close`](DatagramServer::close)s it, gives the handlers `timeout` to end, kills those that have
    /// not, and waits up to another second until they have unwound. As
    /// [`StreamServer::stop`](super::StreamServer::stop).
    pub fn stop(&self, timeout: Duration) -> Stopped {
        self.shared.stop(timeout)
    }

    /// Stops receiving, without closing: datagrams wait in the socket's buffer, as many as that has room for.
    /// Handlers go on.
    ///
    /// On the server's own thread nothing is received once this has returned; from another thread, soon
    /// after it.
    pub fn stop_accepting(&self) {
        self.shared.stop_accepting();
    }

    /// Receives again after [`stop_accepting`](DatagramServer::stop_accepting). Does nothing on a server that receives,
    /// was not started, or is closed.
    pub fn start_accepting(&self) {
        self.shared.start_accepting();
    }

    /// The address of its (first) socket. It stays the same when the server is closed.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.addrs[0]
    }

    /// The addresses of all its sockets.
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.shared.addrs
    }

    /// Whether it was started and not closed since. gevent's `started`.
    pub fn is_started(&self) -> bool {
        self.shared.is_started()
    }

    /// Whether it was closed. gevent's `closed`.
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// How many handlers have a greenlet now.
    pub fn handlers(&self) -> usize {
        self.shared.connections()
    }

    /// Whether as many handlers run as may: receiving pauses. gevent's `full()`.
    pub fn is_full(&self) -> bool {
        self.shared.options.slots.is_full()
    }
}

impl fmt::Debug for DatagramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe(f.debug_struct("DatagramServer"))
    }
}
