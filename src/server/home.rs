//! [`Home`]: where a server's greenlets run, and its handler with them.
//!
//! | home | handler | greenlets |
//! |---|---|---|
//! | [`Here`] | need not be `Send` | all on the thread that started the server |
//! | [`Spread`] | `Send + Sync` | any worker may start a connection's; an acceptor is on its listener's worker, if it has one |
//!
//! # Balance
//! Stealing spreads what waits. At low rates nothing waits: mostly the worker that accepts begins a connection before
//! another has come out of its sleep, or that one is always the faster. Where a connection was begun it stays, so one worker would
//! in time have most of a few thousand connections that last. Therefore [`Spread`] counts. If the worker that accepts has
//! more than another one, that gets the connection, *if it sleeps*; if it has fewer than all others, it keeps the connection, *if nothing
//! else is queued there*. Either way the connection begins at once. In all other cases whoever comes first begins it: one
//! that is busy may be stuck, and gets nothing that others could not take from it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Endpoint;
use super::accept;
use super::incident::Outcome;
use super::jobs::Job;
use super::shared::Shared;
use crate::runtime::{RuntimeHandle, worker_index};
use crate::scheduler::{Builder, Greenlet, workers};

/// A worker may have so many connections more than another before that one gets the next.
const SLACK: usize = 4;

/// See the head of this file.
pub(super) trait Home<E: Endpoint>: Clone + 'static {
    /// Spawns a greenlet for the job; on a certain worker, if that is asked for and there are any.
    fn spawn(
        &self,
        builder: Builder,
        worker: Option<usize>,
        job: Job<E, Self>,
    ) -> io::Result<Greenlet<()>>;

    /// The worker that is to have the next connection; `None` for whoever comes first.
    fn choose(&self) -> Option<usize>;

    /// Runs the handler.
    fn serve(&self, shared: &Shared<E>, item: E::Item, peer: E::Addr);
}

/// The thread that started the server.
pub(super) struct Here<F>(pub(super) Rc<F>);

impl<F> Clone for Here<F> {
    fn clone(&self) -> Self {
        Here(self.0.clone())
    }
}

impl<E, F, R> Home<E> for Here<F>
where
    E: Endpoint,
    F: Fn(E::Item, E::Addr) -> R + 'static,
    R: Outcome,
{
    fn spawn(
        &self,
        builder: Builder,
        _worker: Option<usize>,
        job: Job<E, Self>,
    ) -> io::Result<Greenlet<()>> {
        builder.spawn_local(move || job.run())
    }

    fn choose(&self) -> Option<usize> {
        None
    }

    fn serve(&self, shared: &Shared<E>, item: E::Item, peer: E::Addr) {
        accept::serve(shared, peer.clone(), || (self.0)(item, peer));
    }
}

/// The workers of a runtime.
pub(super) struct Spread<F> {
    handler: Arc<F>,
    runtime: RuntimeHandle,
    /// How many handlers each worker runs.
    running: Arc<[AtomicUsize]>,
}

/// A handler counts as running until this is dropped.
struct Running<'a>(Option<&'a AtomicUsize>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.0 {
            running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<F> Spread<F> {
    pub(super) fn new(runtime: &RuntimeHandle, handler: F) -> Self {
        Spread {
            handler: Arc::new(handler),
            runtime: runtime.clone(),
            running: (0..runtime.workers())
                .map(|_| AtomicUsize::new(0))
                .collect(),
        }
    }
}

impl<F> Clone for Spread<F> {
    fn clone(&self) -> Self {
        Spread {
            handler: self.handler.clone(),
            runtime: self.runtime.clone(),
            running: self.running.clone(),
        }
    }
}

impl<E, F, R> Home<E> for Spread<F>
where
    E: Endpoint,
    F: Fn(E::Item, E::Addr) -> R + Send + Sync + 'static,
    R: Outcome,
{
    fn spawn(
        &self,
        builder: Builder,
        worker: Option<usize>,
        job: Job<E, Self>,
    ) -> io::Result<Greenlet<()>> {
        match worker {
            // The listener may have been bound for a larger runtime than this.
            Some(worker) => {
                let worker = worker % self.runtime.workers();
                builder.spawn_on(&self.runtime, worker, move || job.run())
            }
            // From one of its workers this is `spawn`.
            None => builder.spawn_in(&self.runtime, move || job.run()),
        }
    }

    fn choose(&self) -> Option<usize> {
        let here = worker_index()?;
        let running = |worker: usize| {
            self.running
                .get(worker)
                .map(|it| it.load(Ordering::Relaxed))
        };
        let mine = running(here)?;
        let others = (0..self.running.len()).filter(|&worker| worker != here);
        let others = others.filter_map(|worker| Some((running(worker)?, worker)));
        let (least, _) = others.clone().min()?;
        if mine + SLACK < least {
            return workers::nothing_is_queued().then_some(here);
        }
        let sleeps = |worker| self.runtime.team.is_asleep(worker);
        others
            .filter(|&(running, worker)| running + SLACK < mine && sleeps(worker))
            .min()
            .map(|(_, worker)| worker)
    }

    fn serve(&self, shared: &Shared<E>, item: E::Item, peer: E::Addr) {
        let running = worker_index().and_then(|worker| self.running.get(worker));
        running.inspect(|running| {
            running.fetch_add(1, Ordering::Relaxed);
        });
        let _running = Running(running);
        accept::serve(shared, peer.clone(), || (self.handler)(item, peer));
    }
}
