//! [`Group`]: greenlets that are joined and killed together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::crew::{Crew, Job};
use super::roster::Key;
use crate::scheduler::{Greenlet, Handle, spawn, spawn_local};
use crate::sync::waiter::{NotGranted, deadline_in};

pub(super) const JOINING: &str = "joining a group";
pub(super) const KILLING: &str = "killing a group";

/// Greenlets that are joined and killed together. gevent's `pool.Group`.
///
/// A member leaves when it ends: by itself, by a panic, or killed, be it before it started. The handles that
/// spawning returns are ordinary ones, which give the values. Dropping the group detaches: its greenlets go on.
///
/// ```
/// use rustlet::Group;
/// let group = Group::new();
/// let squares: Vec<_> = (1..=3).map(|n| group.spawn(move || n * n)).collect();
/// assert_eq!(group.len(), 3);
/// group.join();
/// assert!(group.is_empty());
/// let sum: i32 = squares.into_iter().map(|greenlet| greenlet.join().unwrap()).sum();
/// assert_eq!(sum, 14);
/// ```
pub struct Group {
    crew: Arc<Crew>,
}

impl Default for Group {
    fn default() -> Self {
        Group {
            crew: Crew::shared(Crew::UNLIMITED),
        }
    }
}

impl Group {
    /// A group without members.
    pub fn new() -> Self {
        Group::default()
    }

    /// Spawns a member, as [`crate::spawn`].
    ///
    /// # Panics
    /// As [`crate::spawn`].
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let key = self.crew.try_reserve().expect("a group has no limit");
        start(&self.crew, key, f)
    }

    /// Spawns a member that stays on this thread, as [`crate::spawn_local`].
    ///
    /// # Panics
    /// As [`crate::spawn`].
    #[track_caller]
    pub fn spawn_local<F, T>(&self, f: F) -> Greenlet<T>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let key = self.crew.try_reserve().expect("a group has no limit");
        start_here(&self.crew, key, f)
    }

    /// Makes a greenlet a member; false if it is one already or has ended. Looks at all members.
    ///
    /// It leaves with the first of its links ([`Greenlet::link`]), so before those who wait for its end go on.
    pub fn add(&self, greenlet: impl Into<Handle>) -> bool {
        let greenlet = greenlet.into();
        if greenlet.is_finished() || self.crew.contains(greenlet.task()) {
            return false;
        }
        let key = self.crew.try_reserve().expect("a group has no limit");
        adopt(&self.crew, key, &greenlet);
        true
    }

    /// Takes a member out, which goes on; false if it is none. Looks at all members.
    pub fn discard(&self, greenlet: impl Into<Handle>) -> bool {
        self.crew.discard(greenlet.into().task())
    }

    /// Waits until the group is empty. It returns if it was so once, even if others have spawned into
    /// it before the caller comes to run.
    ///
    /// How the members ended does not matter here: their handles say it.
    ///
    /// # Panics
    /// If it would have to wait and cannot: on a thread's own stack when nothing can ever end the members
    /// ([`crate::Deadlock`]), or in a destructor that runs because of a panic or a kill.
    ///
    /// A member that joins its own group waits for ever.
    pub fn join(&self) {
        join(&self.crew);
    }

    /// As [`Group::join`], for no longer than `limit`; whether it was empty.
    ///
    /// # Panics
    /// As [`Group::join`].
    pub fn join_timeout(&self, limit: Duration) -> bool {
        join_timeout(&self.crew, limit)
    }

    /// Kills all members, and waits until the group is empty. What is spawned into it meanwhile is killed
    /// before it starts.
    ///
    /// A member that kills its own group is killed last: then this does not wait, but unwinds.
    ///
    /// # Panics
    /// As [`Group::join`]; the kills are delivered all the same.
    ///
    /// ```
    /// let group = rustlet::Group::new();
    /// let member = group.spawn(|| rustlet::sleep(std::time::Duration::MAX));
    /// group.kill();
    /// assert!(member.join().unwrap_err().is_killed());
    /// ```
    pub fn kill(&self) {
        kill(&self.crew);
    }

    /// As [`Group::kill`], but waits for no longer than `limit`; whether it was empty.
    ///
    /// # Panics
    /// As [`Group::join`].
    pub fn kill_timeout(&self, limit: Duration) -> bool {
        kill_timeout(&self.crew, limit)
    }

    /// Kills those who are members now, without waiting. A member that calls it unwinds at once.
    pub fn kill_nowait(&self) {
        self.crew.kill_members();
    }

    /// How many members there are now.
    pub fn len(&self) -> usize {
        self.crew.len()
    }

    /// Whether there is no member now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the greenlet is a member. Looks at all members.
    pub fn contains(&self, greenlet: impl Into<Handle>) -> bool {
        self.crew.contains(greenlet.into().task())
    }

    /// The members, in the order in which they came.
    pub fn handles(&self) -> Vec<Handle> {
        handles(&self.crew)
    }
}

impl IntoIterator for &Group {
    type Item = Handle;
    type IntoIter = std::vec::IntoIter<Handle>;

    /// The members at the time of the call.
    fn into_iter(self) -> Self::IntoIter {
        self.handles().into_iter()
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("len", &self.len()).finish()
    }
}

// What a pool does in the same way.

/// Spawns a member, which any worker may start.
#[track_caller]
pub(super) fn start<F, T>(crew: &Arc<Crew>, key: Key, f: F) -> Greenlet<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let job = Job::new(f, crew.clone(), key);
    let greenlet = spawn(move || job.run());
    // On another worker it may have left already; then its place is no more.
    crew.enter(key, greenlet.task().clone());
    greenlet
}

/// Spawns a member that stays on this thread.
#[track_caller]
pub(super) fn start_here<F, T>(crew: &Arc<Crew>, key: Key, f: F) -> Greenlet<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let job = Job::new(f, crew.clone(), key);
    let greenlet = spawn_local(move || job.run());
    crew.enter(key, greenlet.task().clone());
    greenlet
}

/// Makes a greenlet that runs already a member, in a place that was reserved.
pub(super) fn adopt(crew: &Arc<Crew>, key: Key, greenlet: &Handle) {
    // Left when the link is called, or taken back.
    let leaves = Job::new(|| (), crew.clone(), key);
    crew.enter(key, greenlet.task().clone());
    greenlet.link(move |_| leaves.run());
}

pub(super) fn join(crew: &Crew) {
    if let Err(error) = crew.join(None) {
        error.panic(JOINING);
    }
}

pub(super) fn join_timeout(crew: &Crew, limit: Duration) -> bool {
    within(limit, JOINING, |deadline| crew.join(Some(deadline)))
}

pub(super) fn kill(crew: &Crew) {
    if let Err(error) = crew.kill(None) {
        error.panic(KILLING);
    }
}

pub(super) fn kill_timeout(crew: &Crew, limit: Duration) -> bool {
    within(limit, KILLING, |deadline| crew.kill(Some(deadline)))
}

/// Waits with a deadline; false if it came.
pub(super) fn within(
    limit: Duration,
    operation: &str,
    wait: impl FnOnce(&crate::timer::Deadline) -> Result<(), NotGranted>,
) -> bool {
    match wait(&deadline_in(limit)) {
        Ok(()) => true,
        Err(error) => {
            error.timed_out_or_panic(operation);
            false
        }
    }
}

pub(super) fn handles(crew: &Crew) -> Vec<Handle> {
    crew.tasks().into_iter().map(Handle::new).collect()
}
