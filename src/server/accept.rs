//! The greenlets of a server: the supervisor, the acceptors and the connections.
//!
//! # Accepting
//! A slot comes first, then the connection: while all slots are taken, clients wait in the backlog, where a
//! server of several processes would let another one have them. An acceptor never keeps a slot while it waits
//! for clients, or those of one listener could shut out those of another.
//!
//! # Errors of accept(2)
//! | error | then |
//! |---|---|
//! | would block | wait for the listener |
//! | `ECONNABORTED`, `EINTR` | the client has gone, a signal came: the next one |
//! | `EBADF`, `EINVAL`, `ENOTSOCK`, `EOPNOTSUPP` | it is no listener (any more): the server closes with this error |
//! | the rest: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`, the network's | pause, longer each time |

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

use rustix::io::Errno;

use super::incident::{Incident, Outcome};
use super::members::Role;
use super::shared::{Membership, Shared};
use crate::io::net::{TcpListener, TcpStream};
use crate::scheduler::{self, Greenlet, Handle, Killed};
use crate::sync::OwnedPermit;
use crate::timer;

/// Starts the server on this thread.
pub(super) fn start<F, R>(shared: &Arc<Shared>, handler: Rc<F>) -> io::Result<()>
where
    F: Fn(TcpStream, SocketAddr) -> R + 'static,
    R: Outcome,
{
    shared.begin()?;
    let supervisor = {
        let shared = shared.clone();
        move || supervise(&shared, &handler)
    };
    let builder = scheduler::Builder::new().name("server");
    spawn(shared, Role::Supervisor, builder, supervisor)
        .map(drop)
        .inspect_err(|_| shared.did_not_begin())
}

/// Spawns a greenlet of the server. One that comes when it is closed is not wanted, and dropped.
///
/// # Errors
/// No greenlet can be had.
fn spawn(
    shared: &Arc<Shared>,
    role: Role,
    builder: scheduler::Builder,
    f: impl FnOnce() + 'static,
) -> io::Result<Option<Handle>> {
    let Some(membership) = shared.enter(role) else {
        return Ok(None);
    };
    let key = membership.key;
    let greenlet: Greenlet<()> = builder.spawn_local(move || {
        let _membership: Membership = membership;
        f();
    })?;
    let handle = greenlet.handle();
    shared.note(key, &handle);
    Ok(Some(handle))
}

/// Sees to it that there are acceptors when there ought to be, until the server is closed.
fn supervise<F, R>(shared: &Arc<Shared>, handler: &Rc<F>)
where
    F: Fn(TcpStream, SocketAddr) -> R + 'static,
    R: Outcome,
{
    /// At the end of the thread, when it is killed, too.
    struct Close<'a>(&'a Shared);
    impl Drop for Close<'_> {
        fn drop(&mut self) {
            self.0.close(None);
        }
    }

    let _close = Close(shared);
    loop {
        // Before looking: a word that comes later than that is not lost.
        shared.word.clear();
        let Some((listeners, generation)) = shared.wants_acceptors() else {
            return;
        };
        for (listener, addr) in listeners.into_iter().zip(&shared.addrs) {
            let acceptor = Acceptor {
                shared: shared.clone(),
                handler: handler.clone(),
                listener,
                generation,
            };
            let builder = scheduler::Builder::new().name(format!("server on {addr}"));
            let spawned = spawn(shared, Role::Acceptor(generation), builder, move || {
                acceptor.run();
            });
            if let Err(error) = spawned {
                return shared.close(Some(error));
            }
        }
        shared.word.wait();
    }
}

/// Accepts from one listener.
struct Acceptor<F> {
    shared: Arc<Shared>,
    handler: Rc<F>,
    listener: Arc<TcpListener>,
    generation: u64,
}

impl<F, R> Acceptor<F>
where
    F: Fn(TcpStream, SocketAddr) -> R + 'static,
    R: Outcome,
{
    fn run(self) {
        // A panic of the hook must not leave a server that seems to accept.
        match catch_unwind(AssertUnwindSafe(|| self.accept())) {
            Ok(()) => {}
            Err(payload) => {
                if self.shared.accepts(self.generation) && !payload.is::<Killed>() {
                    self.shared
                        .close(Some(io::Error::other("the server's error hook panicked")));
                }
                resume_unwind(payload);
            }
        }
    }

    fn accept(&self) {
        let options = &self.shared.options;
        let mut pause = options.shortest_pause;
        let mut in_a_row = 0;
        while self.shared.accepts(self.generation) {
            if in_a_row == options.max_accept {
                in_a_row = 0;
                scheduler::yield_now();
                continue;
            }
            let slot = options.slots.take();
            let incident = match self.listener.try_accept() {
                Ok((stream, peer)) => {
                    in_a_row += 1;
                    match self.serve(stream, peer, slot) {
                        Ok(()) => {
                            pause = options.shortest_pause;
                            continue;
                        }
                        Err(error) => Incident::Spawn { peer, error, pause },
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    in_a_row = 0;
                    drop(slot);
                    match self.listener.wait_readable() {
                        Ok(()) => continue, // that ends no row of failures yet
                        Err(error) => Incident::Accept { error, pause },
                    }
                }
                Err(error) => {
                    drop(slot);
                    Incident::Accept { error, pause }
                }
            };
            match incident {
                Incident::Accept { error, .. } if is_nothing(&error) => continue,
                Incident::Accept { error, .. } if is_fatal(&error) => {
                    if self.shared.accepts(self.generation) {
                        tracing::error!(target: "rustlet", %error, "server: accept; it closes");
                        self.shared.close(Some(error));
                    }
                    return;
                }
                passing => (options.on_error)(&passing),
            }
            // An acceptor that ended its own generation, in the hook, was not killed.
            if !self.shared.accepts(self.generation) {
                return;
            }
            timer::sleep(pause);
            pause = (pause * 2).min(options.longest_pause);
        }
    }

    /// Gives a connection its greenlet.
    ///
    /// # Errors
    /// None could be had.
    fn serve(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        slot: Option<OwnedPermit>,
    ) -> io::Result<()> {
        let mut builder = scheduler::Builder::new().name(format!("connection from {peer}"));
        if let Some(bytes) = self.shared.options.stack_size {
            builder = builder.stack_size(bytes);
        }
        let (shared, handler) = (self.shared.clone(), self.handler.clone());
        let connection = move || {
            let _slot = slot;
            run(&shared, &*handler, stream, peer);
        };
        if let Some(handle) = spawn(&self.shared, Role::Connection, builder, connection)? {
            self.shared.options.slots.enter(&handle);
        }
        Ok(())
    }
}

/// Runs the handler, and reports what goes wrong in it.
fn run<F, R>(shared: &Shared, handler: &F, stream: TcpStream, peer: SocketAddr)
where
    F: Fn(TcpStream, SocketAddr) -> R,
    R: Outcome,
{
    let report = &shared.options.on_error;
    match catch_unwind(AssertUnwindSafe(|| handler(stream, peer).into_error())) {
        Ok(None) => {}
        Ok(Some(error)) => report(&Incident::Failed {
            peer,
            error: &*error,
        }),
        Err(payload) => {
            if !payload.is::<Killed>() {
                report(&Incident::Panicked {
                    peer,
                    payload: &*payload,
                });
            }
            resume_unwind(payload);
        }
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

/// Whether an error of accept is no concern of the server's.
fn is_nothing(error: &io::Error) -> bool {
    matches!(errno(error), Some(Errno::CONNABORTED | Errno::INTR))
}

/// Whether accept will never succeed again.
fn is_fatal(error: &io::Error) -> bool {
    matches!(
        errno(error),
        Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_place() {
        let error = |errno: Errno| io::Error::from(errno);
        assert!(is_nothing(&error(Errno::CONNABORTED)));
        assert!(is_fatal(&error(Errno::BADF)));
        assert!(is_fatal(&error(Errno::INVAL)));
        for passing in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NETDOWN] {
            assert!(!is_fatal(&error(passing)) && !is_nothing(&error(passing)));
        }
        assert!(!is_fatal(&io::Error::other("no stack")));
    }
}
