//! The greenlets of a server: who is waited for, and killed, at its end.
//!
//! ```text
//!   enter ──► spawn ──► sent: its handle is noted ──► leave
//!               └─────► begin: takes its cargo     ──► leave
//! ```
//! A greenlet is entered before it is spawned and leaves when its closure is dropped, be it at its end or
//! because it was killed before it ran. In between it may begin, on another worker, before its spawner comes to note its
//! handle. What it needs to begin (the connection, its slot) is its *cargo*, and lies here: the scheduler keeps the
//! closures of greenlets that get no stack until there is one, and these must not keep a client waiting and a slot taken.
//!
//! A plain data structure: [`super::membership`] has the protocol, [`super::shared`] the lock. What it returns is to be
//! dropped without that lock.

use std::collections::HashMap;

use crate::scheduler::{Greenlet, Handle};

/// What a greenlet does for its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Supervisor,
    /// Of a generation: each pause of accepting ends one.
    Acceptor(u64),
    Connection,
}

/// Names a member; no two of a server have the same.
pub(super) type Key = u64;

/// How a member stands to those who wait for the end of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is waited for.
    Counted,
    /// It waits itself. The other members do not wait for it, lest two wait for each other.
    Waiting,
    /// It was killed and did not end. Nobody waits for it.
    GivenUp,
}

pub(super) struct Member<C> {
    pub(super) role: Role,
    /// Known when it was sent, or has begun.
    pub(super) handle: Option<Handle>,
    /// What it has not taken yet; `None` from the beginning for those that need nothing.
    pub(super) cargo: Option<C>,
    /// Tells that the greenlet has ended without having begun.
    pub(super) watch: Option<Greenlet<()>>,
    standing: Standing,
}

pub(super) struct Members<C> {
    members: HashMap<Key, Member<C>>,
    next: Key,
    /// How many there are of each role and standing that somebody asks for.
    connections: usize,
    waiting: usize,
    given_up: usize,
}

impl<C> Default for Members<C> {
    fn default() -> Self {
        Members {
            members: HashMap::new(),
            next: 0,
            connections: 0,
            waiting: 0,
            given_up: 0,
        }
    }
}

impl<C> Members<C> {
    pub(super) fn enter(&mut self, role: Role, cargo: Option<C>) -> Key {
        let key = self.next;
        self.next += 1;
        self.connections += usize::from(role == Role::Connection);
        let member = Member {
            role,
            handle: None,
            cargo,
            watch: None,
            standing: Standing::Counted,
        };
        self.members.insert(key, member);
        key
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Member<C>> {
        self.members.get_mut(&key)
    }

    pub(super) fn leave(&mut self, key: Key) -> Option<Member<C>> {
        self.set_standing(key, Standing::Counted);
        let member = self.members.remove(&key)?;
        self.connections -= usize::from(member.role == Role::Connection);
        Some(member)
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections
    }

    /// Whether there is nobody for whom an outsider would wait.
    pub(super) fn is_empty(&self) -> bool {
        self.members.len() == self.given_up
    }

    /// Whether there is nobody for whom another member would wait.
    pub(super) fn all_wait(&self) -> bool {
        self.members.len() == self.given_up + self.waiting
    }

    /// The member whose greenlet has this number.
    pub(super) fn find(&self, id: u64) -> Option<Key> {
        let is_it = |member: &Member<C>| member.handle.as_ref().is_some_and(|it| it.id() == id);
        self.members
            .iter()
            .find(|(_, member)| is_it(member))
            .map(|(&key, _)| key)
    }

    /// Sets how a member stands, and tells how it stood.
    pub(super) fn set_standing(&mut self, key: Key, new: Standing) -> Option<Standing> {
        let member = self.members.get_mut(&key)?;
        let old = core::mem::replace(&mut member.standing, new);
        for (which, count) in [
            (Standing::Waiting, &mut self.waiting),
            (Standing::GivenUp, &mut self.given_up),
        ] {
            *count = *count + usize::from(new == which) - usize::from(old == which);
        }
        Some(old)
    }

    /// The members that `which` chooses.
    pub(super) fn choose(&self, which: impl Fn(Role, Standing) -> bool) -> Vec<Key> {
        let chosen = |member: &Member<C>| which(member.role, member.standing);
        self.members
            .iter()
            .filter(|(_, member)| chosen(member))
            .map(|(&key, _)| key)
            .collect()
    }

    /// The handles of those of `keys` that are known.
    pub(super) fn handles(&self, keys: &[Key]) -> Vec<Handle> {
        let members = keys.iter().filter_map(|key| self.members.get(key));
        members.filter_map(|member| member.handle.clone()).collect()
    }

    /// How many of `keys` are connections.
    pub(super) fn connections_among(&self, keys: &[Key]) -> usize {
        let members = keys.iter().filter_map(|key| self.members.get(key));
        members
            .filter(|member| member.role == Role::Connection)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_waited_for() {
        let mut members = Members::<()>::default();
        assert!(members.is_empty() && members.all_wait());
        let [one, two] = [(); 2].map(|()| members.enter(Role::Connection, None));
        assert!(!members.is_empty() && !members.all_wait());
        assert_eq!(
            members.set_standing(one, Standing::Waiting),
            Some(Standing::Counted)
        );
        members.leave(two);
        assert!(!members.is_empty(), "outsiders wait for one that waits");
        assert!(members.all_wait(), "members do not");
        members.set_standing(one, Standing::GivenUp);
        assert!(members.is_empty() && members.all_wait());
        assert_eq!(members.connections(), 1);
        members.leave(one);
        assert!(members.is_empty() && members.all_wait());
        assert_eq!(members.connections(), 0);
        assert_eq!(members.set_standing(one, Standing::Waiting), None);
        let three = members.enter(Role::Supervisor, None);
        assert!(!members.is_empty());
        members.set_standing(three, Standing::Waiting);
        members.leave(three);
        members.enter(Role::Acceptor(0), None);
        assert!(
            !members.all_wait(),
            "one that left while waiting is not counted on"
        );
    }
}
