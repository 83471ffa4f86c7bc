//! What groups and pools are made of: members, slots, and who waits for either.
//!
//! ```text
//!   reserve ──► a place, and a slot ──► the greenlet is spawned with the Place in its closure ──► enter
//!   Place dropped: the closure has run, unwound, or never will ──► leave: member out, slot back
//! ```
//! A member leaves when its closure does: at its return, when it unwinds, or when it was killed before it
//! started; before the greenlet's locals are dropped and its outcome is announced. The slot that comes free is
//! handed to the first who waits for one, so spawners are served in the order in which they came. Who was
//! handed one has it: a kill that comes later is raised at the next suspension ([`crate::sync::waiter`]).
//!
//! A member that is discarded keeps its place, empty, until it ends: its key must not be used again before.
//!
//! # Not chosen
//! Registering with the task's end instead. It is told of the end a little later, and it costs two more atomic
//! operations and, for members that are joined too, an allocation: as much as the rest of a spawn. But it would be told
//! also of greenlets that get no stack, or are abandoned at the end of their thread, whose closures are kept for long or leaked, and
//! their places with them. Such ends are rare, so all crews are asked then ([`lost`]).
#![allow(unsafe_code)] // Links waiters, which are on the stack of the code that waits.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::roster::{Key, Roster};
use crate::scheduler::park::WaitReason;
use crate::scheduler::{TaskRef, interrupt, scoped};
use crate::sync::waiter::{NotGranted, WaitQueue, Waiter, WakeUp};
use crate::sys::short_lock::ShortLock;
use crate::timer::Deadline;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Crew {
    /// How many members there may be.
    limit: usize,
    state: ShortLock<State>,
}

#[derive(Debug)]
struct State {
    places: Roster<Holder>,
    /// Places that are not discarded.
    members: usize,
    /// Slots that nobody has; meaningless without a limit.
    free: usize,
    /// They wait for a slot.
    spawners: WaitQueue,
    /// They wait until a slot is free, but do not take it.
    onlookers: WaitQueue,
    /// They wait until there is no member.
    joiners: WaitQueue,
    /// Kills that are going on: who enters meanwhile is killed too.
    kills: usize,
}

#[derive(Debug)]
enum Holder {
    /// About to be spawned.
    Reserved,
    Member(TaskRef),
    Discarded,
}

/// A member's place; left when it is dropped.
#[derive(Debug)]
pub(super) struct Place<C: Deref<Target = Crew>> {
    pub(super) crew: C,
    pub(super) key: Key,
}

impl<C: Deref<Target = Crew>> Drop for Place<C> {
    #[inline]
    fn drop(&mut self) {
        self.crew.leave(self.key);
    }
}

/// Runs `f` and then leaves `place`, however it ends.
pub(super) struct Job<F, C: Deref<Target = Crew>> {
    // Dropped in this order.
    f: F,
    place: Place<C>,
}

impl<F, C: Deref<Target = Crew>> Job<F, C> {
    pub(super) fn new(f: F, crew: C, key: Key) -> Self {
        Job {
            f,
            place: Place { crew, key },
        }
    }

    #[inline]
    pub(super) fn run<T>(self) -> T
    where
        F: FnOnce() -> T,
    {
        let _place = self.place;
        (self.f)()
    }
}

/// All crews that outlive a frame, to be told of members that are lost.
struct Crews {
    all: Vec<Weak<Crew>>,
    /// How many make it worth looking for those that are gone.
    sweep_at: usize,
}

static CREWS: Mutex<Crews> = Mutex::new(Crews {
    all: Vec::new(),
    sweep_at: 64,
});

/// A greenlet is done without its closure having run to its end or been dropped: it may be a member somewhere.
fn lost(task: &TaskRef) {
    let crews = CREWS.lock().unwrap_or_else(PoisonError::into_inner);
    let all: Vec<_> = crews.all.iter().filter_map(Weak::upgrade).collect();
    drop(crews);
    for crew in all {
        let key = crew.state.lock().find(task);
        if let Some(key) = key {
            crew.leave(key);
        }
    }
}

impl Crew {
    pub(super) const UNLIMITED: usize = usize::MAX;

    /// A crew for a group or a pool.
    pub(super) fn shared(limit: usize) -> Arc<Self> {
        let crew = Arc::new(Crew::new(limit));
        scoped::when_lost(lost);
        let mut crews = CREWS.lock().unwrap_or_else(PoisonError::into_inner);
        if crews.all.len() >= crews.sweep_at {
            crews.all.retain(|crew| crew.strong_count() > 0);
            crews.sweep_at = 2 * crews.all.len() + 64;
        }
        crews.all.push(Arc::downgrade(&crew));
        drop(crews);
        crew
    }

    pub(super) fn new(limit: usize) -> Self {
        Crew {
            limit,
            state: ShortLock::new(State {
                places: Roster::new(),
                members: 0,
                free: limit,
                spawners: WaitQueue::new(),
                onlookers: WaitQueue::new(),
                joiners: WaitQueue::new(),
                kills: 0,
            }),
        }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// A place, if a slot is free.
    #[inline]
    pub(super) fn try_reserve(&self) -> Option<Key> {
        let mut state = self.state.lock();
        if state.free == 0 {
            return None;
        }
        if self.limit != Self::UNLIMITED {
            state.free -= 1;
        }
        Some(state.place())
    }

    /// A place, when a slot is free.
    pub(super) fn reserve(&self, deadline: Option<&Deadline>) -> Result<Key, NotGranted> {
        if let Some(key) = self.try_reserve() {
            return Ok(key);
        }
        let waiter = Waiter::new();
        let mut state = self.state.lock();
        if state.free > 0 {
            state.free -= 1;
            return Ok(state.place());
        }
        let reason = WaitReason::external("a slot of a pool");
        enqueue(&mut state.spawners, &waiter);
        drop(state);
        waiter.wait(&reason, deadline, || {
            self.state.lock().spawners.remove(&waiter)
        })?;
        Ok(self.state.lock().place())
    }

    /// Puts the greenlet into its place. If the crew is being killed, it is killed before it starts.
    #[inline]
    pub(super) fn enter(&self, key: Key, task: TaskRef) {
        let mut state = self.state.lock();
        let doomed = (state.kills > 0).then(|| task.clone());
        if let Some(holder) = state.places.get_mut(key) {
            *holder = Holder::Member(task);
        }
        drop(state);
        if let Some(task) = doomed {
            interrupt::kill(&task);
        }
    }

    /// The place is left for ever.
    #[inline]
    fn leave(&self, key: Key) {
        let mut state = self.state.lock();
        let holder = state.places.remove(key);
        let wake_up = match holder {
            None | Some(Holder::Discarded) => WakeUp::NONE,
            Some(_) => state.member_left(),
        };
        drop(state);
        wake_up.send();
        drop(holder);
    }

    /// Takes a member out before its end; false if it is none.
    pub(super) fn discard(&self, task: &TaskRef) -> bool {
        let mut state = self.state.lock();
        let Some(key) = state.find(task) else {
            return false;
        };
        let holder = state.places.get_mut(key).expect("just found");
        let before = core::mem::replace(holder, Holder::Discarded);
        let wake_up = state.member_left();
        drop(state);
        wake_up.send();
        drop(before);
        true
    }

    pub(super) fn contains(&self, task: &TaskRef) -> bool {
        self.state.lock().find(task).is_some()
    }

    /// How many members there are.
    pub(super) fn len(&self) -> usize {
        self.state.lock().members
    }

    /// How many slots are free.
    pub(super) fn free(&self) -> usize {
        self.state.lock().free
    }

    /// The members, in the order in which they came.
    pub(super) fn tasks(&self) -> Vec<TaskRef> {
        self.state.lock().tasks()
    }

    /// Waits until there is no member, once.
    pub(super) fn join(&self, deadline: Option<&Deadline>) -> Result<(), NotGranted> {
        let waiter = Waiter::new();
        let mut state = self.state.lock();
        if state.members == 0 {
            return Ok(());
        }
        // External even if all members are of this thread: others may spawn some while it waits.
        let reason = WaitReason::external("the end of a group's greenlets");
        enqueue(&mut state.joiners, &waiter);
        drop(state);
        let cancel = || self.state.lock().joiners.remove(&waiter);
        waiter.wait(&reason, deadline, cancel).map(|_| ())
    }

    /// Waits until a slot is free.
    pub(super) fn wait_available(&self, deadline: Option<&Deadline>) -> Result<(), NotGranted> {
        let waiter = Waiter::new();
        let mut state = self.state.lock();
        if state.free > 0 {
            return Ok(());
        }
        let reason = WaitReason::external("a free slot of a pool");
        enqueue(&mut state.onlookers, &waiter);
        drop(state);
        let cancel = || self.state.lock().onlookers.remove(&waiter);
        waiter.wait(&reason, deadline, cancel).map(|_| ())
    }

    /// Kills all members, those too that come while it waits for them to end.
    ///
    /// A member that calls this is killed last, and unwinds.
    pub(super) fn kill(&self, deadline: Option<&Deadline>) -> Result<(), NotGranted> {
        struct Kill<'a>(&'a Crew);
        impl Drop for Kill<'_> {
            fn drop(&mut self) {
                self.0.state.lock().kills -= 1;
            }
        }

        self.state.lock().kills += 1;
        let _kill = Kill(self);
        if self.kill_members() {
            // Unwinding already: it ends when that is over.
            return Ok(());
        }
        self.join(deadline)
    }

    /// Kills those who are members now. A member that calls this is killed last and unwinds; if it unwinds
    /// already, this returns true.
    pub(super) fn kill_members(&self) -> bool {
        let tasks = self.state.lock().tasks();
        let me = scoped::current_task();
        let mut one_of_them = false;
        for task in tasks {
            if task.is(&me) {
                one_of_them = true;
            } else {
                interrupt::kill(&task);
            }
        }
        if one_of_them {
            interrupt::kill(&me);
            scoped::raise_pending();
        }
        one_of_them
    }
}

impl State {
    #[inline]
    fn place(&mut self) -> Key {
        self.members += 1;
        self.places.push(Holder::Reserved)
    }

    /// A slot has come free.
    #[inline]
    fn member_left(&mut self) -> WakeUp {
        self.members -= 1;
        if self.members == 0 && !self.joiners.is_empty() {
            self.joiners.grant_all(1);
        }
        if self.free == Crew::UNLIMITED {
            return WakeUp::NONE;
        }
        if let Some(spawner) = self.spawners.pop() {
            return spawner.grant(1);
        }
        self.free += 1;
        if !self.onlookers.is_empty() {
            self.onlookers.grant_all(1);
        }
        WakeUp::NONE
    }

    fn tasks(&self) -> Vec<TaskRef> {
        let holders = self.places.iter().map(|(_, holder)| holder);
        let tasks = holders.filter_map(|holder| match holder {
            Holder::Member(task) => Some(task.clone()),
            _ => None,
        });
        tasks.collect()
    }

    fn find(&self, task: &TaskRef) -> Option<Key> {
        let mut places = self.places.iter();
        let found = places.find(|(_, holder)| matches!(holder, Holder::Member(it) if it.is(task)));
        found.map(|(key, _)| key)
    }
}

/// Appends a waiter, under the lock.
fn enqueue(queue: &mut WaitQueue, waiter: &Waiter) {
    // SAFETY: the callers keep the waiter on their frame, and come to its `wait` next, with a cancel that
    // removes it from this queue.
    unsafe { queue.push(waiter) }
}
