//! What the greenlets of a server do, how they are spawned, and the first of them, the supervisor.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::Endpoint;
use super::accept::Acceptor;
use super::home::Home;
use super::incident::Incident;
use super::members::Role;
use super::membership::Membership;
use super::shared::{Cargo, Shared};
use crate::scheduler::{Builder, Killed};

/// The closure of a greenlet, as a type, so that it is `Send` if the home is.
pub(super) struct Job<E: Endpoint, H> {
    task: Task<E>,
    home: H,
    // The last to be dropped.
    membership: Membership<E>,
}

enum Task<E> {
    Supervise,
    Accept {
        endpoint: Arc<E>,
        /// Which of the server's it is.
        index: usize,
        generation: u64,
    },
    Serve,
}

impl<E: Endpoint, H: Home<E>> Job<E, H> {
    pub(super) fn run(self) {
        let Job {
            membership,
            home,
            task,
        } = self;
        // The last to be dropped here, too, since it was bound first.
        let shared = &membership.shared;
        let cargo = shared.begin(membership.key);
        match task {
            Task::Supervise => guarded(shared, || true, || supervise(shared, &home)),
            Task::Accept {
                endpoint,
                index: _,
                generation,
            } => {
                let acceptor = Acceptor {
                    shared,
                    home: &home,
                    endpoint,
                    generation,
                };
                guarded(shared, || shared.accepts(generation), || acceptor.run());
            }
            Task::Serve => {
                // Not the endpoint: its descriptor closes when nobody accepts any more.
                if let Some(Cargo { item, peer, slot }) = cargo {
                    let _slot = slot;
                    home.serve(shared, item, peer);
                }
            }
        }
    }
}

/// Runs what calls the user's hook. A panic of that must not leave a server that seems to accept: it closes, with an error.
fn guarded<E: Endpoint>(shared: &Shared<E>, matters: impl Fn() -> bool, f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        if !payload.is::<Killed>() && matters() {
            shared.close(Some(io::Error::other("the server's error hook panicked")));
        }
        resume_unwind(payload);
    }
}

/// Starts the server.
pub(super) fn start<E: Endpoint, H: Home<E>>(shared: &Arc<Shared<E>>, home: H) -> io::Result<()> {
    shared.start()?;
    let builder = Builder::new().name("server");
    spawn(shared, &home, Task::Supervise, None, builder).inspect_err(|_| shared.did_not_start())
}

/// Gives a connection its greenlet.
///
/// # Errors
/// None could be had.
pub(super) fn spawn_connection<E: Endpoint, H: Home<E>>(
    shared: &Arc<Shared<E>>,
    home: &H,
    cargo: Cargo<E>,
) -> io::Result<()> {
    let mut builder = Builder::new().name(format!("serving {:?}", cargo.peer));
    if let Some(bytes) = shared.options.stack_size {
        builder = builder.stack_size(bytes);
    }
    spawn(shared, home, Task::Serve, Some(cargo), builder)
}

/// Spawns a greenlet of the server. One that comes when it is closed is not wanted, and dropped.
///
/// # Errors
/// No greenlet can be had.
fn spawn<E: Endpoint, H: Home<E>>(
    shared: &Arc<Shared<E>>,
    home: &H,
    task: Task<E>,
    cargo: Option<Cargo<E>>,
    builder: Builder,
) -> io::Result<()> {
    let (role, worker) = match &task {
        Task::Supervise => (Role::Supervisor, None),
        Task::Serve => (Role::Connection, home.choose()),
        Task::Accept {
            endpoint: _,
            index,
            generation,
        } => (Role::Acceptor(*generation), shared.workers[*index]),
    };
    let Some(membership) = shared.enter(role, cargo) else {
        return Ok(());
    };
    let key = membership.key;
    let job = Job {
        membership,
        home: home.clone(),
        task,
    };
    let greenlet = home.spawn(builder, worker, job)?;
    shared.sent(key, role, greenlet);
    Ok(())
}

/// Sees to it that there are acceptors when there ought to be, and tells of connections that got no stack, until the
/// server is closed.
fn supervise<E: Endpoint, H: Home<E>>(shared: &Arc<Shared<E>>, home: &H) {
    loop {
        // Before looking: a word that comes later than that is not lost.
        shared.word.clear();
        let (lost, pause) = shared.take_lost();
        for (peer, error) in lost {
            (shared.options.on_error)(&Incident::Spawn { peer, error, pause });
        }
        let Some((endpoints, generation)) = shared.wants_acceptors() else {
            return;
        };
        for (index, endpoint) in endpoints.into_iter().enumerate() {
            let name = format!("server on {:?}", shared.addrs[index]);
            let task = Task::Accept {
                endpoint,
                index,
                generation,
            };
            let builder = Builder::new().name(name);
            if let Err(error) = spawn(shared, home, task, None, builder) {
                return shared.close(Some(error));
            }
        }
        shared.word.wait();
    }
}
