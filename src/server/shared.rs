//! [`Shared`]: the state that handles, acceptors and connections share.
//!
//! ```text
//!   New ──start──► Started ──close, a fatal error, the thread's end──► Closed
//!    └──────────────────────────close───────────────────────────────────┘
//! ```
//! - All of it is behind one std lock, held for a few lines and never across a suspension: connections leave in
//!   destructors, where a lock that suspends may not be waited for.
//! - The events say about the state what their names say, and are set and cleared under its lock; who
//!   waits for one and then looks cannot miss anything.
//! - A kill is never sent under the lock: one's own raises at once.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::builder::Options;
use super::members::{Key, Members, Role, Standing};
use crate::io::net::TcpListener;
use crate::scheduler::{self, Handle};
use crate::sync::Event;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Started,
    Closed,
}

struct State {
    phase: Phase,
    /// Empty once closed.
    listeners: Vec<Arc<TcpListener>>,
    /// Whether there ought to be acceptors.
    accepting: bool,
    /// Whether the supervisor has seen to them.
    has_acceptors: bool,
    /// Acceptors of an older one have been killed.
    generation: u64,
    members: Members,
    /// Members have been killed; who comes to be known later is, too.
    doomed: bool,
    failure: Option<io::Error>,
}

pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) addrs: Box<[SocketAddr]>,
    pub(super) options: Options,
    /// The supervisor has something to look at.
    pub(super) word: Event,
    pub(super) closed: Event,
    /// No greenlet of the server is there, but for those given up.
    drained: Event,
    /// Nor, but for those that wait for it.
    others_drained: Event,
}

impl Shared {
    pub(super) fn new(listeners: Vec<TcpListener>, options: Options) -> io::Result<Self> {
        let addrs: io::Result<_> = listeners.iter().map(TcpListener::local_addr).collect();
        let [drained, others_drained] = [(); 2].map(|()| {
            let event = Event::new();
            event.set();
            event
        });
        Ok(Shared {
            state: Mutex::new(State {
                phase: Phase::New,
                listeners: listeners.into_iter().map(Arc::new).collect(),
                accepting: true,
                has_acceptors: false,
                generation: 0,
                members: Members::default(),
                doomed: false,
                failure: None,
            }),
            addrs: addrs?,
            options,
            word: Event::new(),
            closed: Event::new(),
            drained,
            others_drained,
        })
    }

    /// Nothing under the lock panics, but for a want of memory.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called under the lock whenever the members have changed.
    fn tell_of_members(&self, state: &State) {
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

    // ------------------------------------------------------------------------ phases

    /// New → Started.
    ///
    /// # Errors
    /// `InvalidInput` in any other phase.
    pub(super) fn begin(&self) -> io::Result<()> {
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

    /// Takes [`Shared::begin`] back.
    pub(super) fn did_not_begin(&self) {
        let mut state = self.state();
        if state.phase == Phase::Started {
            state.phase = Phase::New;
        }
    }

    /// Any phase → Closed.
    pub(super) fn close(&self, failure: Option<io::Error>) {
        let (listeners, acceptors) = {
            let mut state = self.state();
            if state.phase == Phase::Closed {
                return;
            }
            state.phase = Phase::Closed;
            state.failure = failure;
            let acceptors = state.end_acceptors();
            self.closed.set();
            self.word.set();
            (core::mem::take(&mut state.listeners), acceptors)
        };
        // Before anything else runs: from here on nobody gets in. The descriptors close with the acceptors.
        for listener in &listeners {
            listener.close();
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

    /// The listeners that lack acceptors, and the generation these will be of. For the supervisor;
    /// `None` once the server is closed.
    pub(super) fn wants_acceptors(&self) -> Option<(Vec<Arc<TcpListener>>, u64)> {
        let mut state = self.state();
        if state.phase == Phase::Closed {
            return None;
        }
        if !state.accepting || state.has_acceptors {
            return Some((Vec::new(), state.generation));
        }
        state.has_acceptors = true;
        Some((state.listeners.clone(), state.generation))
    }

    /// Whether an acceptor of `generation` is to go on.
    pub(super) fn accepts(&self, generation: u64) -> bool {
        let state = self.state();
        state.phase == Phase::Started && state.generation == generation
    }

    // ------------------------------------------------------------------------ members

    /// Announces a greenlet; `None` once the server is closed.
    pub(super) fn enter(self: &Arc<Self>, role: Role) -> Option<Membership> {
        let mut state = self.state();
        if state.phase == Phase::Closed {
            return None;
        }
        let key = state.members.enter(role);
        self.tell_of_members(&state);
        Some(Membership {
            shared: self.clone(),
            key,
        })
    }

    /// Notes the handle of a greenlet that was announced.
    pub(super) fn note(&self, key: Key, handle: &Handle) {
        let mut state = self.state();
        let Some(role) = state.members.note(key, handle) else {
            return;
        };
        // Whoever has killed its like in the meantime, on another thread, did not know it.
        let late = match role {
            Role::Acceptor(generation) => generation != state.generation,
            Role::Connection | Role::Supervisor => state.doomed,
        };
        drop(state);
        if late {
            handle.kill();
        }
    }

    /// The calling greenlet or thread, which is about to wait for the members to end.
    pub(super) fn caller(&self) -> Caller<'_> {
        let id = scheduler::current().id();
        let mut state = self.state();
        let key = state.members.find(id);
        let before = key.and_then(|key| state.members.set_standing(key, Standing::Waiting));
        self.tell_of_members(&state);
        Caller {
            shared: self,
            member: key.zip(before),
        }
    }
}

/// Who waits for the members to end. One of them is itself not waited for by the others meanwhile.
pub(super) struct Caller<'a> {
    shared: &'a Shared,
    /// The caller's key if it is a member, and how it stood before.
    member: Option<(Key, Standing)>,
}

impl Caller<'_> {
    /// Set when all have ended for whom this caller has to wait.
    pub(super) fn drained(&self) -> &Event {
        match self.member {
            None => &self.shared.drained,
            Some(_) => &self.shared.others_drained,
        }
    }

    fn waits_for(&self, standing: Standing) -> bool {
        match standing {
            Standing::Counted => true,
            Standing::Waiting => self.member.is_none(),
            Standing::GivenUp => false,
        }
    }

    /// Kills all whom it waits for, and tells how many connections these are.
    pub(super) fn kill(&self) -> usize {
        let (handles, connections) = {
            let mut state = self.shared.state();
            state.doomed = true;
            let keys = state.members.choose(|_, standing| self.waits_for(standing));
            (
                state.members.handles(&keys),
                state.members.connections_among(&keys),
            )
        };
        kill_others(&handles);
        connections
    }

    /// Gives up all whom it waits for, and tells how many connections these are.
    pub(super) fn give_up(&self) -> usize {
        let mut state = self.shared.state();
        let keys = state.members.choose(|_, standing| self.waits_for(standing));
        for &key in &keys {
            state.members.set_standing(key, Standing::GivenUp);
        }
        self.shared.tell_of_members(&state);
        state.members.connections_among(&keys)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        if let Some((key, before)) = self.member {
            let mut state = self.shared.state();
            state.members.set_standing(key, before);
            self.shared.tell_of_members(&state);
        }
    }
}

impl State {
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
fn kill_others(handles: &[Handle]) {
    if handles.is_empty() {
        return;
    }
    let me = scheduler::current().id();
    for handle in handles.iter().filter(|handle| handle.id() != me) {
        handle.kill();
    }
}

/// A greenlet's place among the members, which its closure owns.
pub(super) struct Membership {
    shared: Arc<Shared>,
    pub(super) key: Key,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.members.leave(self.key);
        self.shared.tell_of_members(&state);
    }
}
