//! The greenlets of a server come, begin and leave.
//!
//! ```text
//!                    spawned, but not begun                         running
//!   enter ──spawn──► its cargo and a watch lie with the members ──begin──► it has its cargo ──► leave
//!                      ├─ killed: its closure is dropped ───────────────────────────────────────►│
//!                      └─ it got no stack, or its thread has ended: the closure is kept, or leaked,
//!                         and the watch wakes ──────────────────────────────────────► lost ─────►│
//! ```
//! On the server's own thread a greenlet begins after its spawner has noted its handle ([`Shared::sent`]); on another
//! worker it may begin, and even leave, before. Both sides act under the lock, and the second does what the first has
//! left to do.
//!
//! The supervisor, and the acceptors of the present generation, are *essential*: one that leaves while the server is
//! open closes it, since a server must not seem to accept when nobody does.
//!
//! # Not chosen
//! Leaving everything to the closure's destructor, which is what would be natural: see [`super::members`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::Endpoint;
use super::members::{Key, Role};
use super::shared::{Cargo, Phase, Shared, State};
use crate::scheduler::{self, Greenlet, JoinError, scoped};

/// A greenlet's place among the members, which its closure owns.
pub(super) struct Membership<E: Endpoint> {
    pub(super) shared: Arc<Shared<E>>,
    pub(super) key: Key,
}

impl<E: Endpoint> Drop for Membership<E> {
    fn drop(&mut self) {
        // Of one that got no stack the watch tells, with the reason.
        if !scoped::drops_unrun() {
            self.shared.leave(self.key, None);
        }
    }
}

/// Wakes when a greenlet has ended that did not begin.
struct Watch<E: Endpoint> {
    shared: Arc<Shared<E>>,
    key: Key,
}

impl<E: Endpoint> Wake for Watch<E> {
    /// In a hub's loop: nothing here may wait.
    fn wake(self: Arc<Self>) {
        self.shared.lost(self.key);
    }
}

impl<E: Endpoint> State<E> {
    fn is_essential(&self, role: Role) -> bool {
        self.phase == Phase::Started
            && match role {
                Role::Supervisor => true,
                Role::Acceptor(generation) => generation == self.generation,
                Role::Connection => false,
            }
    }

    /// Whether its like have been killed by somebody who did not know it.
    fn is_too_late(&self, role: Role) -> bool {
        match role {
            Role::Acceptor(generation) => generation != self.generation,
            Role::Connection | Role::Supervisor => self.doomed,
        }
    }
}

impl<E: Endpoint> Shared<E> {
    /// Announces a greenlet; `None` once the server is closed.
    pub(super) fn enter(
        self: &Arc<Self>,
        role: Role,
        cargo: Option<Cargo<E>>,
    ) -> Option<Membership<E>> {
        let mut state = self.state();
        if state.phase == Phase::Closed {
            drop(state); // before the cargo
            return None;
        }
        let key = state.members.enter(role, cargo);
        self.tell_of_members(&state);
        Some(Membership {
            shared: self.clone(),
            key,
        })
    }

    /// A greenlet that was announced has been spawned.
    pub(super) fn sent(self: &Arc<Self>, key: Key, role: Role, greenlet: Greenlet<()>) {
        let handle = greenlet.handle();
        let mut unused = Some(greenlet);
        let mut failure = None;
        let (is_late, is_missed) = {
            let mut state = self.state();
            let state = &mut *state;
            match state.members.get_mut(key) {
                None => (false, state.is_essential(role)),
                Some(member) => {
                    if member.handle.is_none() {
                        member.handle = Some(handle.clone());
                        if let Some(cargo) = &member.cargo {
                            cargo.slot.enter(&handle);
                        }
                        let watch = Arc::new(Watch {
                            shared: self.clone(),
                            key,
                        });
                        failure = unused.as_mut().and_then(|it| poll(it, &watch.into()));
                        member.watch = unused.take();
                    }
                    (state.is_too_late(role), false)
                }
            }
        };
        drop(unused);
        if is_late {
            handle.kill();
        }
        if is_missed {
            self.close(None);
        }
        if let Some(failure) = failure {
            self.leave(key, Some(failure));
        }
    }

    /// The calling greenlet, a member, has begun. What it is to work on; `None` if it needs nothing.
    ///
    /// Unwinds, if it is to be killed.
    pub(super) fn begin(&self, key: Key) -> Option<Cargo<E>> {
        let me = scheduler::current();
        let (cargo, watch, is_late) = {
            let mut state = self.state();
            let state = &mut *state;
            let member = state.members.get_mut(key)?;
            member.handle.get_or_insert_with(|| me.clone());
            let (watch, role) = (member.watch.take(), member.role);
            let cargo = member.cargo.take();
            if let Some(cargo) = &cargo {
                cargo.slot.enter(&me);
            }
            (cargo, watch, state.is_too_late(role))
        };
        drop(watch);
        if is_late {
            me.kill();
        }
        cargo
    }

    /// A member has ended without having begun, and its closure is kept or was leaked.
    fn lost(&self, key: Key) {
        let watch = {
            let mut state = self.state();
            let member = state.members.get_mut(key);
            member.and_then(|member| member.watch.take())
        };
        // Without a watch it has begun.
        if let Some(mut watch) = watch
            && let Some(failure) = poll(&mut watch, Waker::noop())
        {
            self.leave(key, Some(failure));
        }
    }

    /// A member is no more; `failure` is why it did not begin, if it was lost.
    fn leave(&self, key: Key, failure: Option<io::Error>) {
        // Before anybody is told that it has left: its connection is closed then, and its slot is free.
        let (cargo, watch) = {
            let mut state = self.state();
            let Some(member) = state.members.get_mut(key) else {
                return;
            };
            (member.cargo.take(), member.watch.take())
        };
        drop(watch);
        let peer = cargo.map(|cargo| cargo.peer);
        let mut failure = failure;
        let is_missed = {
            let mut state = self.state();
            let Some(member) = state.members.leave(key) else {
                return;
            };
            self.tell_of_members(&state);
            if let Some(peer) = peer
                && let Some(failure) = failure.take_if(|_| state.phase == Phase::Started)
            {
                state.lost.push((peer, failure));
                self.word.set();
            }
            // Of one that was not spawned after all, the spawner takes care.
            member.handle.is_some() && state.is_essential(member.role)
        };
        if is_missed {
            self.close(failure);
        }
    }
}

/// Why a greenlet has ended; `None` if it has not. Then the waker is woken when it does.
fn poll(greenlet: &mut Greenlet<()>, waker: &Waker) -> Option<io::Error> {
    let polled = Future::poll(Pin::new(greenlet), &mut Context::from_waker(waker));
    match polled {
        Poll::Pending => None,
        Poll::Ready(outcome) => {
            Some(outcome.map_or_else(not_begun, |()| io::ErrorKind::Other.into()))
        }
    }
}

fn not_begun(error: JoinError) -> io::Error {
    io::Error::other(error)
}
