//! [`Builder`]: what can be set before a server is there, of either kind.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::incident::{self, Incident};
use super::shared::Shared;
use super::slots::Slots;
use super::{Endpoint, Listener};
use crate::io::net::{TcpListener, ToSocketAddrs, UdpSocket};
use crate::runtime::RuntimeHandle;
use crate::sync::Semaphore;
use crate::sync::group::Pool;

/// Makes a [`StreamServer`](super::StreamServer) or a [`DatagramServer`](super::DatagramServer).
///
/// ```
/// use rustlet::server::StreamServer;
/// let server = StreamServer::builder()
///     .bind("127.0.0.1:0")?
///     .bind("127.0.0.1:0")?
///     .max_connections(1000)
///     .on_error(|incident| eprintln!("{incident}"))
///     .build()?;
/// assert_eq!(server.local_addrs().len(), 2);
/// # std::io::Result::Ok(())
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<E: Endpoint = TcpListener> {
    /// With the worker that is to accept from each, if one is.
    endpoints: Vec<(E, Option<usize>)>,
    options: Options<E::Addr>,
}

type Hook<A> = dyn Fn(&Incident<'_, A>) + Send + Sync;

/// What was set.
pub(super) struct Options<A> {
    pub(super) slots: Slots,
    pub(super) on_error: Box<Hook<A>>,
    pub(super) shortest_pause: Duration,
    pub(super) longest_pause: Duration,
    pub(super) max_accept: usize,
    pub(super) stack_size: Option<usize>,
}

impl<E: Endpoint> Default for Builder<E> {
    fn default() -> Self {
        Builder {
            endpoints: Vec::new(),
            options: Options::default(),
        }
    }
}

impl<A: fmt::Debug + 'static> Default for Options<A> {
    /// gevent's figures.
    fn default() -> Self {
        Options {
            slots: Slots::Unlimited,
            on_error: Box::new(incident::log::<A>),
            shortest_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(1),
            max_accept: 100,
            stack_size: None,
        }
    }
}

impl Builder<TcpListener> {
    /// Listens on the first of `addr`'s addresses that can be bound, beside what was named before.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(self, addr: A) -> io::Result<Self> {
        Ok(self.listener(TcpListener::bind(addr)?))
    }

    /// Listens on the first of `addr`'s addresses that can be bound with one socket for each worker of `runtime`
    /// ([`TcpListener::bind_reuse_port`]), for [`StreamServer::start_in`](super::StreamServer::start_in) there: each
    /// worker accepts from its own.
    ///
    /// The kernel decides by a hash of both addresses which worker a connection comes to, so that the workers get about as many
    /// each, and accepting itself is spread. That pays where it is much of the work: connections are many and short.
    ///
    /// The price: connections that wait in the backlog of one worker's listener wait for that worker. While it is kept busy by a
    /// long computation or a hidden blocking call nobody else can accept them. (Those that it has accepted and not begun
    /// to serve are taken over by the others.)
    ///
    /// [`local_addrs`](super::StreamServer::local_addrs) then names the address as often as there are workers.
    ///
    /// ```
    /// use rustlet::Runtime;
    /// use rustlet::server::StreamServer;
    /// let runtime = Runtime::builder().workers(2).build()?;
    /// let server = StreamServer::builder().bind_per_worker("127.0.0.1:0", &runtime.handle())?.build()?;
    /// assert_eq!(server.local_addrs(), [server.local_addr(); 2]);
    /// # std::io::Result::Ok(())
    /// ```
    ///
    /// # Errors
    /// As [`TcpListener::bind_reuse_port`].
    pub fn bind_per_worker<A: ToSocketAddrs>(
        mut self,
        addr: A,
        runtime: &RuntimeHandle,
    ) -> io::Result<Self> {
        let first = TcpListener::bind_reuse_port(addr)?;
        let addr = first.local_addr()?;
        self.endpoints.push((first, Some(0)));
        for worker in 1..runtime.workers() {
            let listener = TcpListener::bind_reuse_port(addr)?;
            self.endpoints.push((listener, Some(worker)));
        }
        Ok(self)
    }
}

impl<L: Listener> Builder<L> {
    /// Accepts from `listener`, beside what was named before.
    pub fn listener(mut self, listener: L) -> Self {
        self.endpoints.push((listener, None));
        self
    }
}

impl Builder<UdpSocket> {
    /// Receives from `socket`, beside what was named before.
    pub fn socket(mut self, socket: UdpSocket) -> Self {
        self.endpoints.push((socket, None));
        self
    }
}

impl<E: Endpoint> Builder<E> {
    /// Runs at most `most` handlers at a time. While so many run, nothing is accepted, or received.
    ///
    /// Any number, unless this or [`Builder::pool`] is called: then the limits are memory and descriptors.
    ///
    /// # Panics
    /// If `most` is 0.
    pub fn max_connections(mut self, most: usize) -> Self {
        assert!(most > 0, "a server for no connections");
        self.options.slots = Slots::Own(Arc::new(Semaphore::new(most)));
        self
    }

    /// Runs handlers in `pool`, which may be shared: with another server, or with greenlets of a different kind. While
    /// it is full, nothing is accepted. Replaces [`Builder::max_connections`].
    ///
    /// [`StreamServer::stop`](super::StreamServer::stop) ends the server's own connections and nothing else in the pool.
    ///
    /// ```
    /// use rustlet::Pool;
    /// use rustlet::server::StreamServer;
    /// use std::sync::Arc;
    /// let pool = Arc::new(Pool::new(100));
    /// let plain = StreamServer::builder().bind("127.0.0.1:0")?.pool(pool.clone()).build()?;
    /// let other = StreamServer::builder().bind("127.0.0.1:0")?.pool(pool).build()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn pool(mut self, pool: Arc<Pool>) -> Self {
        self.options.slots = Slots::Shared(pool);
        self
    }

    /// Has `hook` told of what goes wrong, instead of the log ([`tracing`], target `rustlet`, level warn).
    ///
    /// It is called on the greenlet that it happened to. That of an acceptor accepts nothing before it returns. For a server that is
    /// [spread](super::StreamServer::start_in) over workers that may be any of these threads, and several at once.
    pub fn on_error(
        mut self,
        hook: impl Fn(&Incident<'_, E::Addr>) + Send + Sync + 'static,
    ) -> Self {
        self.options.on_error = Box::new(hook);
        self
    }

    /// How long to pause when accepting fails: `shortest` after the first failure, then twice as long each time,
    /// but no longer than `longest`, until one succeeds. 10 ms and 1 s, unless this is called.
    pub fn back_off(mut self, shortest: Duration, longest: Duration) -> Self {
        self.options.shortest_pause = shortest;
        self.options.longest_pause = longest.max(shortest);
        self
    }

    /// How many connections a listener accepts, or datagrams a socket receives, in a row before it lets other greenlets run; 100, unless this is
    /// called. Few make sense where several processes accept from one socket.
    ///
    /// # Panics
    /// If `most` is 0.
    pub fn max_accept(mut self, most: usize) -> Self {
        assert!(most > 0, "a server that accepts nothing");
        self.options.max_accept = most;
        self
    }

    /// The stack size of the handlers' greenlets, as [`crate::Builder::stack_size`].
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size = Some(bytes);
        self
    }

    /// The server, which is bound, and accepts (or receives) nothing yet.
    ///
    /// # Errors
    /// `InvalidInput`, if there is no listener or socket; one of them has no address, because it is no
    /// socket that listens.
    pub fn build(self) -> io::Result<E::Server> {
        if self.endpoints.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server without a listener",
            ));
        }
        let shared = Shared::new(self.endpoints, self.options)?;
        Ok(E::server(Arc::new(shared).into()))
    }
}

impl<E: Endpoint + fmt::Debug> fmt::Debug for Builder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
