//! [`Shared`]: the state that handles, acceptors and connections share.
//!
//! ```text
//!   New ──start──► Started ──close, a fatal error, a thread's end──► Closed
//!    └──────────────────────────close───────────────────────────────────┘
//! ```
//! | file | of it |
//! |---|---|
//! | `shared` | the phases, and the pauses |
//! | [`membership`](super::membership) | who comes, begins and leaves |
//! | [`ending`](super::ending) | waiting for the end, and stopping |
//!
//! - All of it is behind one std lock, held for a few lines and never across a suspension: connections leave in
//!   destructors, where a lock that suspends may not be waited for.
//! - The events say about the state what their names say, and are set and cleared under its lock; who
//!   waits for one and then looks cannot miss anything.
//! - A kill is never sent under the lock: one's own raises at once.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Endpoint;
use super::builder::Options;
use super::members::{Members, Role};
use super::slots::Slot;
use crate::scheduler::{self, Handle};
use crate::sync::Event;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Started,
    Closed,
}

/// What a connection's greenlet takes when it begins.
pub(super) struct Cargo<E: Endpoint> {
    pub(super) item: E::Item,
    pub(super) peer: E::Addr,
    pub(super) slot: Slot,
}

pub(super) struct State<E: Endpoint> {
    pub(super) phase: Phase,
    /// Empty once closed.
    endpoints: Vec<Arc<E>>,
    /// Whether there ought to be acceptors.
    accepting: bool,
    /// Whether the supervisor has seen to them.
    has_acceptors: bool,
    /// Acceptors of an older one have been killed.
    pub(super) generation: u64,
    pub(super) members: Members<Cargo<E>>,
    /// Members have been killed; who comes to be known later is, too.
    pub(super) doomed: bool,
    failure: Option<io::Error>,
    /// Connections that were accepted and got no stack, with the reason: the supervisor tells the hook.
    pub(super) lost: Vec<(E::Addr, io::Error)>,
    /// Until when acceptors pause because of those, and how long that is in all.
    rest: Option<(Instant, Duration)>,
}

pub(super) struct Shared<E: Endpoint> {
    state: Mutex<State<E>>,
    pub(super) addrs: Box<[E::Addr]>,
    /// For each endpoint, the worker that is to accept from it, if one is.
    pub(super) workers: Box<[Option<usize>]>,
    pub(super) options: Options<E::Addr>,
    /// The supervisor has something to look at.
    pub(super) word: Event,
    pub(super) closed: Event,
    /// No greenlet of the server is there, but for those given up.
    pub(super) drained: Event,
    /// Nor, but for those that wait for it.
    pub(super) others_drained: Event,
}

impl<E: Endpoint> Shared<E> {
    pub(super) fn new(
        endpoints: Vec<(E, Option<usize>)>,
        options: Options<E::Addr>,
    ) -> io::Result<Self> {
        let (endpoints, workers): (Vec<E>, Vec<_>) = endpoints.into_iter().unzip();
        let addrs: io::Result<_> = endpoints.iter().map(E::local_addr).collect();
        let [drained, others_drained] = [(); 2].map(|()| {
            let event = Event::new();
            event.set();
            event
        });
        Ok(Shared {
            state: Mutex::new(State {
                phase: Phase::New,
                endpoints: endpoints.into_iter().map(Arc::new).collect(),
                accepting: true,
                has_acceptors: false,
                generation: 0,
                members: Members::default(),
                doomed: false,
                failure: None,
                lost: Vec::new(),
                rest: None,
            }),
            addrs: addrs?,
            workers: workers.into(),
            options,
            word: Event::new(),
            closed: Event::new(),
            drained,
            others_drained,
        })
    }

    /// Nothing under the lock panics, but for a want of memory.
    pub(super) fn state(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called under the lock whenever the members have changed.
    pub(super) fn tell_of_members(&self, state: &State<E>) {
        for (event, is_so) in [
            (&self.drained, state.members.is_empty()),
            (&self.others_drained, state.members.all_wait()),
        ] {
            match is_so {
                true => event.set(),
                false => event.clear(),
            }
        }
    }

    pub(super) fn is_started(&self) -> bool {
        self.state().phase == Phase::Started
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().phase == Phase::Closed
    }

    pub(super) fn connections(&self) -> usize {
        self.state().members.connections()
    }

    /// What ended accepting. An `io::Error` cannot be cloned; this is as good.
    pub(super) fn failure(&self) -> Option<io::Error> {
        let state = self.state();
        let failure = state.failure.as_ref()?;
        Some(match failure.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(failure.kind(), failure.to_string()),
        })
    }

    pub(super) fn describe(&self, mut server: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        server
            .field("addrs", &self.addrs)
            .field("started", &self.is_started())
            .field("closed", &self.is_closed())
            .field("connections", &self.connections())
            .finish()
    }

    // ------------------------------------------------------------------------ phases

    /// New → Started.
    ///
    /// # Errors
    /// `InvalidInput` in any other phase.
    pub(super) fn start(&self) -> io::Result<()> {
        let mut state = self.state();
        let error = match state.phase {
            Phase::New => {
                state.phase = Phase::Started;
                return Ok(());
            }
            Phase::Started => "the server was started already",
            Phase::Closed => "the server is closed",
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, error))
    }

    /// Takes [`Shared::start`] back.
    pub(super) fn did_not_start(&self) {
        let mut state = self.state();
        if state.phase == Phase::Started {
            state.phase = Phase::New;
        }
    }

    /// Any phase → Closed.
    pub(super) fn close(&self, failure: Option<io::Error>) {
        let (endpoints, acceptors) = {
            let mut state = self.state();
            if state.phase == Phase::Closed {
                return;
            }
            state.phase = Phase::Closed;
            state.failure = failure;
            let acceptors = state.end_acceptors();
            self.closed.set();
            self.word.set();
            (core::mem::take(&mut state.endpoints), acceptors)
        };
        // Before anything else runs: from here on nobody gets in. The descriptors close with the acceptors.
        for endpoint in &endpoints {
            endpoint.close();
        }
        kill_others(&acceptors);
    }

    pub(super) fn stop_accepting(&self) {
        let acceptors = {
            let mut state = self.state();
            state.accepting = false;
            state.end_acceptors()
        };
        kill_others(&acceptors);
    }

    pub(super) fn start_accepting(&self) {
        let mut state = self.state();
        state.accepting = true;
        self.word.set();
        drop(state);
    }

    /// The endpoints that lack acceptors, and the generation these will be of. For the supervisor;
    /// `None` once the server is closed.
    pub(super) fn wants_acceptors(&self) -> Option<(Vec<Arc<E>>, u64)> {
        let mut state = self.state();
        if state.phase == Phase::Closed {
            return None;
        }
        if !state.accepting || state.has_acceptors {
            return Some((Vec::new(), state.generation));
        }
        state.has_acceptors = true;
        Some((state.endpoints.clone(), state.generation))
    }

    /// Connections that the supervisor has to tell of. If there are any, acceptors pause from now on, for so long.
    pub(super) fn take_lost(&self) -> (Vec<(E::Addr, io::Error)>, Duration) {
        let mut state = self.state();
        if state.lost.is_empty() {
            return Default::default();
        }
        let Options {
            shortest_pause,
            longest_pause,
            ..
        } = self.options;
        let now = Instant::now();
        // In a row, if the last pause was not long ago.
        let pause = match state.rest {
            Some((until, pause)) if now.saturating_duration_since(until) <= pause => {
                pause.saturating_mul(2).min(longest_pause)
            }
            _ => shortest_pause,
        };
        state.rest = now.checked_add(pause).map(|until| (until, pause));
        (core::mem::take(&mut state.lost), pause)
    }

    /// How much of such a pause is left.
    pub(super) fn left_to_rest(&self) -> Option<Duration> {
        let (until, _) = self.state().rest?;
        let left = until.saturating_duration_since(Instant::now());
        Some(left).filter(|left| !left.is_zero())
    }

    /// Whether an acceptor of `generation` is to go on.
    pub(super) fn accepts(&self, generation: u64) -> bool {
        let state = self.state();
        state.phase == Phase::Started && state.generation == generation
    }
}

impl<E: Endpoint> State<E> {
    /// No acceptor is current any more; those that were are to be killed.
    fn end_acceptors(&mut self) -> Vec<Handle> {
        self.has_acceptors = false;
        self.generation += 1;
        let keys = self
            .members
            .choose(|role, _| matches!(role, Role::Acceptor(_)));
        self.members.handles(&keys)
    }
}

/// Kills without waiting, sparing the caller: an acceptor that closes its server, in the hook, finds out
/// by itself.
pub(super) fn kill_others(handles: &[Handle]) {
    if handles.is_empty() {
        return;
    }
    let me = scheduler::current().id();
    for handle in handles.iter().filter(|handle| handle.id() != me) {
        handle.kill();
    }
}
