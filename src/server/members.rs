//! The greenlets of a server: who is waited for, and killed, at its end.
//!
//! A greenlet is entered before it is spawned and leaves when its closure is dropped, be it at its end or
//! because it was killed before it ran; its handle is noted in between, when there is one. A plain data
//! structure: [`super::shared`] has the lock.

use std::collections::HashMap;

use crate::scheduler::Handle;

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

#[derive(Debug)]
struct Member {
    role: Role,
    handle: Option<Handle>,
    standing: Standing,
}

#[derive(Debug, Default)]
pub(super) struct Members {
    members: HashMap<Key, Member>,
    next: Key,
    /// How many there are of each role and standing that somebody asks for.
    connections: usize,
    waiting: usize,
    given_up: usize,
}

impl Members {
    pub(super) fn enter(&mut self, role: Role) -> Key {
        let key = self.next;
        self.next += 1;
        self.connections += usize::from(role == Role::Connection);
        let member = Member {
            role,
            handle: None,
            standing: Standing::Counted,
        };
        self.members.insert(key, member);
        key
    }

    /// Notes the handle of a member, unless it has left; tells what it does.
    pub(super) fn note(&mut self, key: Key, handle: &Handle) -> Option<Role> {
        let member = self.members.get_mut(&key)?;
        member.handle = Some(handle.clone());
        Some(member.role)
    }

    pub(super) fn leave(&mut self, key: Key) {
        self.set_standing(key, Standing::Counted);
        if let Some(member) = self.members.remove(&key) {
            self.connections -= usize::from(member.role == Role::Connection);
        }
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
        let is_it = |member: &Member| member.handle.as_ref().is_some_and(|it| it.id() == id);
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
        let chosen = |member: &Member| which(member.role, member.standing);
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
        let mut members = Members::default();
        assert!(members.is_empty() && members.all_wait());
        let [one, two] = [(); 2].map(|()| members.enter(Role::Connection));
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
        let three = members.enter(Role::Supervisor);
        assert!(!members.is_empty());
        members.set_standing(three, Standing::Waiting);
        members.leave(three);
        members.enter(Role::Acceptor(0));
        assert!(
            !members.all_wait(),
            "one that left while waiting is not counted on"
        );
    }
}
