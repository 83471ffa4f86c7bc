//! tokio-postgres, as it is, in blocking style: a greenlet drives each connection, others ask and wait.
//!
//! ```text
//!   any greenlet: block_on(client.query(…)) ──channel──► the driver's greenlet ◄──► Io<UnixStream> ◄──► PostgreSQL
//!                                                          └── notifications ──► rustlet::queue
//! ```

use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustlet::io::Io;
use rustlet::queue::Queue;
use rustlet::{Greenlet, block_on};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, Notification};

/// A connection, with the greenlet that drives it.
pub(crate) struct Database {
    pub(crate) client: Client,
    /// What others have `NOTIFY`d.
    pub(crate) notifications: Arc<Queue<Notification>>,
    driver: Greenlet<Result<(), Error>>,
}

impl Database {
    /// Connects over any stream of the kind.
    pub(crate) fn over<S>(stream: S) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut config = Config::new();
        config.user("postgres").dbname("postgres");
        let (client, mut connection) = block_on(config.connect_raw(stream, NoTls))?;
        let notifications = Arc::new(Queue::new());
        let queue = notifications.clone();
        let driver = rustlet::spawn(move || {
            while let Some(message) = block_on(poll_fn(|cx| connection.poll_message(cx))) {
                if let AsyncMessage::Notification(notification) = message? {
                    let _ = queue.put(notification);
                }
            }
            Ok(())
        });
        Ok(Database {
            client,
            notifications,
            driver,
        })
    }

    /// Connects to the server's Unix socket.
    pub(crate) fn connect(socket: &Path) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Database::over(unix(socket)?)?)
    }

    /// Says goodbye, and waits until the connection has ended.
    pub(crate) fn close(self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        drop(self.client);
        Ok(self.driver.join()??)
    }
}

/// A connection to a Unix socket. (Connecting to one never takes long.)
pub(crate) fn unix(socket: &Path) -> io::Result<Io<std::os::unix::net::UnixStream>> {
    Io::new(std::os::unix::net::UnixStream::connect(socket)?)
}

/// Asks the server to give up what `client` has it do. The query then fails, and the connection is free.
pub(crate) fn cancel(
    client: &Client,
    socket: PathBuf,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    Ok(block_on(
        client
            .cancel_token()
            .cancel_query_raw(unix(&socket)?, NoTls),
    )?)
}
