//! [`Builder`]: what can be set before a server is there.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::StreamServer;
use super::incident::{self, Incident};
use super::shared::Shared;
use super::slots::Slots;
use crate::io::net::{TcpListener, ToSocketAddrs};
use crate::sync::Semaphore;
use crate::sync::group::Pool;

/// Makes a [`StreamServer`].
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
#[derive(Default)]
pub struct Builder {
    listeners: Vec<TcpListener>,
    options: Options,
}

type Hook = dyn Fn(&Incident<'_>) + Send + Sync;

/// What was set.
pub(super) struct Options {
    pub(super) slots: Slots,
    pub(super) on_error: Box<Hook>,
    pub(super) shortest_pause: Duration,
    pub(super) longest_pause: Duration,
    pub(super) max_accept: usize,
    pub(super) stack_size: Option<usize>,
}

impl Default for Options {
    /// gevent's figures.
    fn default() -> Self {
        Options {
            slots: Slots::Unlimited,
            on_error: Box::new(incident::log),
            shortest_pause: Duration::from_millis(10),
            longest_pause: Duration::from_secs(1),
            max_accept: 100,
            stack_size: None,
        }
    }
}

impl Builder {
    /// Listens on the first of `addr`'s addresses that can be bound, beside what was named before.
    ///
    /// # Errors
    /// As [`TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(self, addr: A) -> io::Result<Self> {
        Ok(self.listener(TcpListener::bind(addr)?))
    }

    /// Accepts from `listener`, beside what was named before.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Runs at most `most` handlers at a time. While so many run, nothing is accepted.
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
    /// [`StreamServer::stop`] ends the server's own connections and nothing else in the pool. If greenlets of
    /// another thread spawn into the pool, too, a connection for which no slot is left after all runs, and the listener
    /// accepts the next when it has got one.
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
    /// It is called on the greenlet that it happened to. That of an acceptor accepts nothing before it returns.
    pub fn on_error(mut self, hook: impl Fn(&Incident<'_>) + Send + Sync + 'static) -> Self {
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

    /// How many connections a listener accepts in a row before it lets other greenlets run; 100, unless this is
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

    /// The server, which listens, and accepts nothing yet.
    ///
    /// # Errors
    /// `InvalidInput`, if there is no listener; a listener has no address, because it is no socket that
    /// listens.
    pub fn build(self) -> io::Result<StreamServer> {
        if self.listeners.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a server without a listener",
            ));
        }
        Ok(StreamServer {
            shared: Arc::new(Shared::new(self.listeners, self.options)?),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}
