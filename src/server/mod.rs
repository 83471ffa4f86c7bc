//! Servers: [`StreamServer`] accepts connections and gives each a greenlet; [`DatagramServer`] does so with UDP
//! datagrams.
//!
//! # How it is built
//! | file | one idea |
//! |---|---|
//! | `builder` | what can be set before a server is there |
//! | `endpoint` | what a server takes its work from, and what differs between the kinds |
//! | `datagram` | the face of a `DatagramServer` |
//! | `shared` | the state that handles, acceptors and connections share |
//! | `members` | the greenlets of a server: who is waited for, and killed at the end |
//! | `membership` | how they come, begin and leave, on whatever worker |
//! | `ending` | waiting for the end, and bringing it about |
//! | `home` | where they run: on one thread, or on a runtime's workers |
//! | `jobs` | what they do; the supervisor |
//! | `accept` | the loop that accepts: pausing when full, backing off from errors |
//! | `slots` | how many handlers may run |
//! | `incident` | what can go wrong, as the hook of the user is told |
//!
//! ```text
//!   start ──spawns──► supervisor ──spawns──► acceptor (one a listener) ──spawns──► connection
//!                         ▲                      ▲
//!    start_accepting ─────┘     stop_accepting ──┘ kills it; close kills all acceptors
//! ```
//! The handler lies in the frames of these greenlets. With [`start`](StreamServer::start) all of them stay on the calling
//! thread, so it need not be `Send`. With [`start_in`](StreamServer::start_in) they are spread over a runtime's workers: a connection's
//! greenlet is fresh when it is spawned, so an idle worker takes it. The handle ([`StreamServer`]) does not know the
//! handler's type and may be used from any thread; where it must make something run there, it leaves a word for the supervisor.
//!
//! # Not chosen
//! - That `start` spreads by itself when a worker calls it: whether the handler must be `Send` cannot depend on the caller's
//!   thread. The name says where, as [`crate::Builder::spawn_in`] does, and any thread may call it.
//! - Several acceptors on one listener, one a worker: each connection would wake all of them, to no use for all but one.
//! - The handler as a field of the handle, as in gevent: either every handler is `Send`, or no handle is.
//! - A callback of the reactor that accepts, as in gevent: acceptors are plain blocking code, whose pauses are
//!   sleeps and whose end is a kill.
//! - Closing the connection when the handler returns, as gevent does, whoever may still hold it. Here the
//!   handler owns its stream: one that it keeps is dropped, and so closed, as it returns, panics or is
//!   killed; one that it gave away belongs to somebody else.

mod accept;
mod builder;
mod datagram;
mod ending;
mod endpoint;
mod home;
mod incident;
mod jobs;
mod members;
mod membership;
mod shared;
mod slots;

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::io::net::{TcpListener, ToSocketAddrs, UnixListener};
use crate::runtime::RuntimeHandle;
use home::{Here, Spread};
use shared::Shared;

pub use builder::Builder;
pub use datagram::DatagramServer;
pub use endpoint::{Endpoint, Listener};
pub use incident::{Incident, Outcome};

/// A server for connections: accepts, and runs a handler for each connection in a greenlet of its own. gevent's
/// `StreamServer`.
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
/// For Unix sockets it is a `StreamServer<UnixListener>`:
///
/// ```
/// use rustlet::net::{UnixListener, UnixStream};
/// use rustlet::server::StreamServer;
/// use std::io::{Read, Write};
/// use std::time::Duration;
///
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("socket");
/// let server = StreamServer::new(UnixListener::bind(&path)?)?;
/// server.start(|mut stream: UnixStream, _peer| stream.write_all(b"hello"))?;
///
/// let mut text = String::new();
/// UnixStream::connect(&path)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// server.stop(Duration::from_secs(1));
/// # std::io::Result::Ok(())
/// ```
///
/// # Life
/// A server listens from the moment that it is made (connections queue up in the backlog), accepts once it is
/// [started](StreamServer::start), and ends with [`close`](StreamServer::close) or
/// [`stop`](StreamServer::stop); it is not started again after that. It also closes when its thread ends.
/// Its connections are served by the thread that starts it, or by all [workers of a runtime](StreamServer::start_in).
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
pub struct StreamServer<L: Listener = TcpListener> {
    shared: Arc<Shared<L>>,
}

impl<L: Listener> Clone for StreamServer<L> {
    fn clone(&self) -> Self {
        StreamServer {
            shared: self.shared.clone(),
        }
    }
}

impl StreamServer {
    /// A server that listens on the first of `addr`'s addresses that can be bound.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<StreamServer> {
        StreamServer::builder().bind(addr)?.build()
    }

    /// For more than one listener, a bound on connections, and the rest of what can be set.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl StreamServer<UnixListener> {
    /// [`StreamServer::builder`] for Unix sockets.
    ///
    /// ```
    /// use rustlet::net::UnixListener;
    /// use rustlet::server::StreamServer;
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("socket");
    /// let server = StreamServer::unix_builder()
    ///     .listener(UnixListener::bind(path)?)
    ///     .max_connections(100)
    ///     .build()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn unix_builder() -> Builder<UnixListener> {
        Builder::default()
    }
}

impl<L: Listener> StreamServer<L> {
    /// A server that accepts from `listener`.
    ///
    /// # Errors
    /// The listener has no address: it is no socket that listens.
    pub fn new(listener: L) -> io::Result<StreamServer<L>> {
        Builder::<L>::default().listener(listener).build()
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
        F: Fn(L::Item, L::Addr) -> R + 'static,
        R: Outcome,
    {
        jobs::start(&self.shared, Here(Rc::new(handler)))
    }

    /// As [`start`](StreamServer::start), but spread over the workers of a runtime, from any thread.
    ///
    /// Any worker may start a connection's greenlet: the one that accepts, or one that has nothing to do. So a worker that is
    /// stuck does not hold back connections that have not been begun. Where a handler has started it stays; so that connections that
    /// last do not all come to be where they were accepted, a worker that has few of them and sleeps is given the next.
    ///
    /// One worker accepts from a listener, unless each has one of its own ([`Builder::bind_per_worker`]). While that worker is
    /// stuck, by a handler that blocks its thread for instance, clients wait in the backlog.
    ///
    /// Limits ([`Builder::max_connections`], [`Builder::pool`]), pauses and the end hold for all workers together. The server
    /// closes when the worker ends on which it accepts, that is, with the runtime, whose
    /// [`shutdown`](crate::Runtime::shutdown) waits for servers that were not closed as for any greenlet: close or stop them first.
    ///
    /// ```
    /// use rustlet::Runtime;
    /// use rustlet::net::TcpStream;
    /// use rustlet::server::StreamServer;
    /// use std::io::{Read, Write};
    /// use std::time::Duration;
    ///
    /// let runtime = Runtime::builder().workers(2).build()?;
    /// let server = StreamServer::bind("127.0.0.1:0")?;
    /// server.start_in(&runtime.handle(), |mut stream: TcpStream, _| {
    ///     write!(stream, "served by worker {:?}", rustlet::worker_index())
    /// })?;
    ///
    /// let mut text = String::new();
    /// TcpStream::connect(server.local_addr())?.read_to_string(&mut text)?;
    /// assert!(text.starts_with("served by worker Some"));
    ///
    /// server.stop(Duration::from_secs(1));
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput`, if the server was started or closed before; the runtime is shutting down or has ended.
    pub fn start_in<F, R>(&self, runtime: &RuntimeHandle, handler: F) -> io::Result<()>
    where
        F: Fn(L::Item, L::Addr) -> R + Send + Sync + 'static,
        R: Outcome,
    {
        jobs::start(&self.shared, Spread::new(runtime, handler))
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
        F: Fn(L::Item, L::Addr) -> R + 'static,
        R: Outcome,
    {
        self.start(handler)?;
        self.shared.wait_to_the_end()
    }

    /// [`start_in`](StreamServer::start_in)s, and [`wait`](StreamServer::wait)s until the server has ended, as
    /// [`serve_forever`](StreamServer::serve_forever).
    ///
    /// # Errors
    /// As these.
    ///
    /// # Panics
    /// As [`wait`](StreamServer::wait).
    pub fn serve_forever_in<F, R>(&self, runtime: &RuntimeHandle, handler: F) -> io::Result<()>
    where
        F: Fn(L::Item, L::Addr) -> R + Send + Sync + 'static,
        R: Outcome,
    {
        self.start_in(runtime, handler)?;
        self.shared.wait_to_the_end()
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
        self.shared.wait()
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
        self.shared.stop(timeout)
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
    pub fn local_addr(&self) -> L::Addr {
        self.shared.addrs[0].clone()
    }

    /// The addresses of all its listeners.
    pub fn local_addrs(&self) -> &[L::Addr] {
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

impl<L: Listener> fmt::Debug for StreamServer<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe(f.debug_struct("StreamServer"))
    }
}

/// What [`StreamServer::stop`] and [`DatagramServer::stop`] had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Connections (or datagrams) whose handlers had not ended in time and were killed.
    pub killed: usize,
    /// Of these, how many have not ended yet: their handlers catch the kill, or use the processor
    /// without a pause.
    pub left: usize,
}
