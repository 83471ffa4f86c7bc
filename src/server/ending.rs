//! Waiting for the end of a server, and bringing it about.
//!
//! Whoever waits may be one of the server's own greenlets. That one is itself not waited for by the others meanwhile, lest
//! two wait for each other.

use std::io;
use std::time::Duration;

use super::members::{Key, Standing};
use super::shared::{Shared, kill_others};
use super::{Endpoint, Stopped};
use crate::scheduler;
use crate::sync::Event;

/// For how long [`Shared::stop`] waits for handlers that it has killed.
const GRACE: Duration = Duration::from_secs(1);

impl<E: Endpoint> Shared<E> {
    /// See [`super::StreamServer::wait`].
    pub(super) fn wait(&self) -> io::Result<()> {
        self.closed.wait();
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        self.caller().drained().wait();
        Ok(())
    }

    /// [`Shared::wait`], which closes the server if it is interrupted.
    pub(super) fn wait_to_the_end(&self) -> io::Result<()> {
        struct CloseIfUnwound<'a, E: Endpoint>(&'a Shared<E>);
        impl<E: Endpoint> Drop for CloseIfUnwound<'_, E> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.close(None);
                }
            }
        }

        let _guard = CloseIfUnwound(self);
        self.wait()
    }

    /// See [`super::StreamServer::stop`].
    pub(super) fn stop(&self, timeout: Duration) -> Stopped {
        self.close(None);
        let caller = self.caller();
        if crate::scheduler::cannot_suspend() {
            let killed = caller.kill();
            return Stopped {
                killed,
                left: killed,
            };
        }
        // A wait of zero would let them run; they are to have no time at all.
        if !timeout.is_zero() && caller.drained().wait_timeout(timeout) {
            return Stopped::default();
        }
        let killed = caller.kill();
        let left = match caller.drained().wait_timeout(GRACE) {
            true => 0,
            false => caller.give_up(),
        };
        Stopped { killed, left }
    }

    /// The calling greenlet or thread, which is about to wait for the members to end.
    pub(super) fn caller(&self) -> Caller<'_, E> {
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
pub(super) struct Caller<'a, E: Endpoint> {
    shared: &'a Shared<E>,
    /// The caller's key if it is a member, and how it stood before.
    member: Option<(Key, Standing)>,
}

impl<E: Endpoint> Caller<'_, E> {
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

impl<E: Endpoint> Drop for Caller<'_, E> {
    fn drop(&mut self) {
        if let Some((key, before)) = self.member {
            let mut state = self.shared.state();
            state.members.set_standing(key, before);
            self.shared.tell_of_members(&state);
        }
    }
}
