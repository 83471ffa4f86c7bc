//! Servers: [`StreamServer`] accepts TCP connections and gives each a greenlet.
//!
//! There is no `DatagramServer` yet: it waits for UDP.
//!
//! # How it is built
//! | file | one idea |
//! |---|---|
//! | `builder` | what can be set before a server is there |
//! | `shared` | the state that handles, acceptors and connections share |
//! | `members` | the greenlets of a server: who is waited for, and killed at the end |
//! | `accept` | the loop that accepts: pausing when full, backing off from errors |
//! | `slots` | how many handlers may run |
//! | `incident` | what can go wrong, as the hook of the user is told |
//!
//! ```text
//!   start ──spawns──► supervisor ──spawns──► acceptor (one a listener) ──spawns──► connection
//!                         ▲                      ▲
//!    start_accepting ─────┘     stop_accepting ──┘ kills it; close kills all acceptors
//! ```
//! The handler stays on the thread that started the server, in the frames of these greenlets, so it need
//! not be `Send`. The handle ([`StreamServer`]) does not know its type and may be used from any
//! thread; where it must make something run there, it leaves a word for the supervisor.
//!
//! # Not chosen
//! - The handler as a field of the handle, as in gevent: either every handler is `Send`, or no handle is.
//! - A callback of the reactor that accepts, as in gevent: acceptors are plain blocking code, whose pauses are
//!   sleeps and whose end is a kill.
//! - Closing the connection when the handler returns, as gevent does, whoever may still hold it. Here the
//!   handler owns its stream: one that it keeps is dropped, and so closed, as it returns, panics or is
//!   killed; one that it gave away belongs to somebody else.

mod accept;
mod builder;
mod incident;
mod members;
mod shared;
mod slots;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::io::net::{TcpListener, TcpStream, ToSocketAddrs};
use shared::Shared;

pub use builder::Builder;
pub use incident::{Incident, Outcome};

/// For how long [`StreamServer::stop`] waits for handlers that it has killed.
const GRACE: Duration = Duration::from_secs(1);

/// A server for TCP connections: accepts, and runs a handler for each connection in a greenlet of its own.
/// gevent's `StreamServer`.
///
/// ```
/// use rustlet::net::TcpStream;
/// use rustlet::server::StreamServer;
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let server = StreamServer::bind("127.0.0.1:0")?;
/// server.start(|mut stream: TcpStream, peer| writeln!(stream, "hello, {peer}"))?;
///
/// let mut text = String::new();
/// TcpStream::connect(server.local_addr())?.read_to_string(&mut text)?;
/// assert!(text.starts_with("hello, 127.0.0.1:"));
///
/// server.stop(Duration::from_secs(1));
/// assert!(TcpStream::connect(server.local_addr()).is_err());
/// # std::io::Result::Ok(())
/// ```
///
/// # Life
/// A server listens from the moment that it is made (connections queue up in the backlog), accepts once it is
/// [started](StreamServer::start), and ends with [`close`](StreamServer::close) or
/// [`stop`](StreamServer::stop); it is not started again after that. It also closes when its thread ends.
///
/// This is a handle: its clones stand for the same server, on any thread. Dropping the last one does not stop a
/// server that was started, as dropping a greenlet's handle does not kill the greenlet. One that was not started
/// stops listening.
///
/// # Connections
/// The handler gets the stream and the address of the peer, and owns the stream: it is closed when the handler
/// returns, panics or is killed, unless the handler gave it away. A panic, or an error that the handler returns,
/// concerns its own connection alone; [`Builder::on_error`] hears of it.
///
/// [`Builder::max_connections`] bounds how many handlers run at a time. When so many run, the server stops
/// accepting until one has ended, and further clients wait in the backlog.
///
/// TLS needs nothing from the server: the handler makes a TLS session around its stream, and a
/// handshake then keeps nobody else waiting (`examples/gevent/wsgiserver_ssl.rs` shows it with `rustls`).
#[derive(Clone)]
pub struct StreamServer {
    shared: Arc<Shared>,
}

impl StreamServer {
    /// A server that listens on the first of `addr`'s addresses that can be bound.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<StreamServer> {
        StreamServer::builder().bind(addr)?.build()
    }

    /// A server that accepts from `listener`.
    ///
    /// # Errors
    /// The listener has no address: it is no socket that listens.
    pub fn new(listener: TcpListener) -> io::Result<StreamServer> {
        StreamServer::builder().listener(listener).build()
    }

    /// For more than one listener, a bound on connections, and the rest of what can be set.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Begins to accept, on the calling thread, which needs to block or yield for anything to happen.
    ///
    /// `handler` returns nothing, or a `Result` whose error is reported.
    ///
    /// # Errors
    /// `InvalidInput`, if the server was started or closed before; no greenlet can be spawned
    /// ([`crate::Builder::spawn`]).
    pub fn start<F, R>(&self, handler: F) -> io::Result<()>
    where
        F: Fn(TcpStream, SocketAddr) -> R + 'static,
        R: Outcome,
    {
        accept::start(&self.shared, Rc::new(handler))
    }

    /// [`start`](StreamServer::start)s, and [`wait`](StreamServer::wait)s until the server has ended.
    ///
    /// A kill or a timeout that interrupts it closes the server. Connections go on then.
    ///
    /// # Errors
    /// As these two.
    ///
    /// # Panics
    /// As [`wait`](StreamServer::wait).
    ///
    /// ```
    /// use rustlet::net::TcpStream;
    /// use rustlet::server::StreamServer;
    /// let server = StreamServer::bind("127.0.0.1:0")?;
    /// let (address, itself) = (server.local_addr(), server.clone());
    /// let client = rustlet::spawn(move || TcpStream::connect(address).map(drop));
    /// server.serve_forever(move |_, _| itself.close())?; // until the first connection
    /// client.join().unwrap()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn serve_forever<F, R>(&self, handler: F) -> io::Result<()>
    where
        F: Fn(TcpStream, SocketAddr) -> R + 'static,
        R: Outcome,
    {
        struct CloseIfUnwound<'a>(&'a StreamServer);
        impl Drop for CloseIfUnwound<'_> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.close();
                }
            }
        }

        self.start(handler)?;
        let _guard = CloseIfUnwound(self);
        self.wait()
    }

    /// Waits until the server is closed and the last of its connections has ended, other than the caller's.
    ///
    /// # Errors
    /// What ended accepting for good, as soon as it has. Connections go on then.
    ///
    /// # Panics
    /// On a thread's own stack, if nothing can ever close the server or end a connection
    /// ([`crate::Deadlock`]); in a destructor that runs because of a panic or a kill, if it would have to wait.
    pub fn wait(&self) -> io::Result<()> {
        self.shared.closed.wait();
        if let Some(failure) = self.shared.failure() {
            return Err(failure);
        }
        self.shared.caller().drained().wait();
        Ok(())
    }

    /// Stops listening, now: further clients are refused, those in the backlog too, and nothing is
    /// accepted any more. Connections go on. Never waits; a second time it does nothing.
    ///
    /// The socket itself stops listening, so clones of the listener see it.
    pub fn close(&self) {
        self.shared.close(None);
    }

    /// Ends the server: [`close`](StreamServer::close)s it, gives the connections `timeout` to end, kills those that have
    /// not, and waits up to another second until they have unwound.
    ///
    /// The caller may be one of the server's own connections: that is neither waited for nor killed, and goes on. A
    /// second call, at the same time or later, does the same with what is left.
    ///
    /// gevent leaves connections running if the server has no pool; here they are ended in both cases.
    /// [`close`](StreamServer::close) leaves them.
    ///
    /// In a destructor that runs because of a panic or a kill it cannot wait: it closes, and kills without
    /// waiting.
    pub fn stop(&self, timeout: Duration) -> Stopped {
        self.shared.close(None);
        let caller = self.shared.caller();
        if std::thread::panicking() {
            let killed = caller.kill();
            return Stopped {
                killed,
                left: killed,
            };
        }
        // A wait of zero would let them run; they are to have no time at all.
        if !timeout.is_zero() && caller.drained().wait_timeout(timeout) {
            return Stopped::default();
        }
        let killed = caller.kill();
        let left = match caller.drained().wait_timeout(GRACE) {
            true => 0,
            false => caller.give_up(),
        };
        Stopped { killed, left }
    }

    /// Stops accepting, without closing: clients wait in the backlog. Connections go on.
    ///
    /// On the server's own thread nothing is accepted once this has returned; from another thread, soon
    /// after it.
    pub fn stop_accepting(&self) {
        self.shared.stop_accepting();
    }

    /// Accepts again after [`stop_accepting`](StreamServer::stop_accepting). Does nothing on a server that accepts, was
    /// not started, or is closed.
    pub fn start_accepting(&self) {
        self.shared.start_accepting();
    }

    /// The address of its (first) listener. It stays the same when the server is closed.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.addrs[0]
    }

    /// The addresses of all its listeners.
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

    /// How many connections have a greenlet now.
    pub fn connections(&self) -> usize {
        self.shared.connections()
    }

    /// Whether as many handlers run as may: accepting pauses. gevent's `full()`.
    pub fn is_full(&self) -> bool {
        self.shared.options.slots.is_full()
    }
}

impl fmt::Debug for StreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamServer")
            .field("addrs", &self.shared.addrs)
            .field("started", &self.is_started())
            .field("closed", &self.is_closed())
            .field("connections", &self.connections())
            .finish()
    }
}

/// What [`StreamServer::stop`] had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Connections that had not ended in time and were killed.
    pub killed: usize,
    /// Of these, how many have not ended yet: their handlers catch the kill, or use the processor
    /// without a pause.
    pub left: usize,
}
