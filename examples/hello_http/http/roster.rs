//! [`Roster`]: the connections that there are, so that they can be ended in good order.
//!
//! [`Roster::stop`], and [`Roster::drain`] once nobody enters any more, tell everybody that the answer in work is the last. Who waits for a request has none in work: his stream is shut
//! down for reading, which is its end to him. Neither can miss the other, because each says first and looks then:
//!
//! | a connection | `stop`, `drain` |
//! |---|---|
//! | `idle = true` | `stopping = true` |
//! | looks at `stopping`; ends if it is set | looks at each `idle`; shuts down where it is set |
//!
//! A request that arrived just before is still read behind that, and answered. Std's lock is held for a
//! few lines and never across a suspension.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustlet::net::TcpStream;
use rustlet::sync::{WaitGroup, WaitGroupMember};

#[derive(Debug, Default)]
pub(crate) struct Roster {
    stopping: AtomicBool,
    members: Mutex<Members>,
    present: Arc<WaitGroup>,
}

#[derive(Debug, Default)]
struct Members {
    next: u64,
    connections: HashMap<u64, Arc<Connection>>,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    idle: AtomicBool,
}

/// A connection's place, which it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    roster: Arc<Roster>,
    connection: Arc<Connection>,
    key: u64,
    _present: WaitGroupMember,
}

impl Roster {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in.
    pub(crate) fn enter(self: &Arc<Self>, stream: TcpStream) -> Member {
        let connection = Arc::new(Connection {
            stream,
            idle: AtomicBool::new(false),
        });
        let mut members = self.members();
        let key = members.next;
        members.next += 1;
        members.connections.insert(key, connection.clone());
        drop(members);
        Member {
            roster: self.clone(),
            connection,
            key,
            _present: self.present.member(),
        }
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> usize {
        self.members().connections.len()
    }

    /// Makes the answers in work the last of their connections.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Ends all connections: those that wait for a request at once, the others when they have answered theirs, and those that
    /// have not after `grace` in the middle of it; returns how many these were.
    ///
    /// To be called behind [`Roster::stop`], when nobody enters any more.
    pub(crate) fn drain(&self, grace: Duration) -> usize {
        for connection in self.connections() {
            if connection.idle.load(Ordering::SeqCst) {
                end(&connection.stream, Shutdown::Read);
            }
        }
        if self.present.wait_timeout(grace) {
            return 0;
        }
        let late = self.connections();
        for connection in &late {
            connection.stream.close();
        }
        self.present.wait_timeout(grace);
        late.len()
    }

    fn connections(&self) -> Vec<Arc<Connection>> {
        self.members().connections.values().cloned().collect()
    }
}

/// A connection that has ended already is as good.
fn end(stream: &TcpStream, how: Shutdown) {
    let _: io::Result<()> = stream.shutdown(how);
}

impl Member {
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.connection.stream
    }

    /// Whether the connection is to end with the answer in work.
    pub(crate) fn is_last_answer(&self) -> bool {
        self.roster.is_stopping()
    }

    /// Says that no request is in work, until the guard is dropped. Look at [`Member::is_last_answer`] behind it.
    pub(super) fn idle(&self) -> impl Drop + use<'_> {
        struct Idle<'a>(&'a AtomicBool);
        impl Drop for Idle<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Relaxed);
            }
        }
        self.connection.idle.store(true, Ordering::SeqCst);
        Idle(&self.connection.idle)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.roster.members().connections.remove(&self.key);
    }
}
