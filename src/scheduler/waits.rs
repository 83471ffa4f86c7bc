//! Who waits for whom: the graph of waits whose holder is known, and its cycles.
//!
//! Locks know who holds them, a join knows its greenlet, and queues remember who used their other side
//! last ([`Holder`](super::park::Holder)). Each waiting greenlet so has at most one edge, and a cycle of edges is a deadlock that no
//! timer or socket will end. An edge is *certain* if nobody else can end the wait (locks, joins); a cycle
//! with other edges is a likely deadlock.
//!
//! # Across threads
//! A hub's greenlets are its own thread's. Each hub publishes its waits when it looks; a cycle over several hubs is
//! believed if there was a moment at which all its members waited: each must have been seen in its wait, at an
//! earlier look, before the earliest of the latest looks. Who waits neither takes nor gives up
//! anything, so the edges are those of that moment.
//!
//! # When a hub looks
//! When somebody asks; and a second after one of its greenlets began such a wait, once, when the hub polls
//! or idles. There is no tick: greenlets that wait on are not looked at again, but for two more looks if an
//! edge leads to another thread.

use core::cell::Cell;
use core::fmt;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use super::deadlock::Name;
use super::task::TaskRef;
use crate::sys::ticks;

/// Milliseconds, or half of that, that a greenlet has waited when its hub looks for cycles.
const PATIENCE: u64 = 1000;
/// Looks for one wait, if an edge leads to another thread.
const LOOKS: u8 = 3;

/// Whose end or release is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// The code with the control block at this address.
    Holder(u64),
    /// The greenlet with this number.
    Greenlet(u64),
}

/// One wait.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// The address of its control block.
    pub(super) key: u64,
    pub(super) who: Who,
    pub(super) what: String,
    pub(super) target: Option<Target>,
    pub(super) certain: bool,
    /// When it began, in ticks; too early by up to a turn of the hub.
    pub(super) since: u64,
    /// Tells the waits of one greenlet apart.
    pub(super) number: u32,
    /// When a look found it first, in ticks.
    pub(super) seen: u64,
}

/// A greenlet in a report.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    pub(crate) id: u64,
    pub(crate) name: Option<Box<str>>,
    pub(crate) spawned_at: Option<&'static Location<'static>>,
}

impl Who {
    pub(super) fn new(task: &TaskRef) -> Self {
        Who {
            id: task.id,
            name: task.name().map(Into::into),
            spawned_at: (task.id != 0).then_some(task.spawned_at),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Name(self.id, self.name.as_deref()).fmt(f)?;
        match self.spawned_at {
            Some(place) => write!(f, ", spawned at {place},"),
            None => Ok(()),
        }
    }
}

/// The waits of one hub at one time.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// In ticks.
    pub(super) taken: u64,
    pub(super) waits: Vec<Waiting>,
}

impl Snapshot {
    /// Whether an edge leads to code that does not wait here: it runs, has ended, or is another thread's.
    pub(super) fn leads_elsewhere(&self) -> bool {
        let mut known = HashSet::new();
        for waiting in &self.waits {
            known.insert(Target::Holder(waiting.key));
            known.insert(Target::Greenlet(waiting.who.id));
        }
        self.waits.iter().any(|waiting| {
            waiting
                .target
                .is_some_and(|target| !known.contains(&target))
        })
    }
}

/// Greenlets that wait for each other in a ring: none of them can go on, whatever else happens. Part of what
/// `rustlet::inspect::deadlocks` returns.
///
/// Displayed as one line that says who waits for what, held by whom, and for how long.
#[derive(Clone, Debug)]
pub struct Cycle {
    members: Vec<Member>,
    certain: bool,
}

/// One of a [`Cycle`].
#[derive(Clone, Debug)]
pub struct Member {
    who: Who,
    what: String,
    certain: bool,
    waited: Duration,
}

impl Cycle {
    /// The members: each waits for the next, the last for the first.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether it is a deadlock beyond doubt: all edges are locks and joins. Otherwise a member waits at a queue
    /// whose other side was last used by the next member; others might use it yet.
    pub fn is_certain(&self) -> bool {
        self.certain
    }
}

impl Member {
    /// The greenlet's number; 0 for the code on a thread's own stack.
    pub fn id(&self) -> u64 {
        self.who.id
    }

    /// The name it was given.
    pub fn name(&self) -> Option<&str> {
        self.who.name.as_deref()
    }

    /// Where it was spawned; `None` for the code on a thread's own stack.
    pub fn spawned_at(&self) -> Option<&'static Location<'static>> {
        self.who.spawned_at
    }

    /// What it waits for: "a mutex", "the end of greenlet #7".
    pub fn waits_for(&self) -> &str {
        &self.what
    }

    /// For how long it has waited, to within a millisecond or a turn of its hub.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.certain {
            "deadlock: "
        } else {
            "probable deadlock: "
        })?;
        for (index, member) in self.members.iter().enumerate() {
            let next = &self.members[(index + 1) % self.members.len()];
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(
                f,
                "{} has waited {:.1?} for {} {} {}",
                member.who,
                member.waited,
                member.what,
                if member.certain {
                    "that depends on"
                } else {
                    "last served by"
                },
                Name(next.who.id, next.who.name.as_deref()),
            )?;
        }
        Ok(())
    }
}

/// The cycles among `waits`. Each member has one edge, so each greenlet is in one cycle at most.
fn rings(waits: &[&Waiting]) -> Vec<Vec<usize>> {
    let mut by_key = HashMap::new();
    let mut by_id = HashMap::new();
    for (index, waiting) in waits.iter().enumerate() {
        by_key.insert(waiting.key, index);
        if waiting.who.id != 0 {
            by_id.insert(waiting.who.id, index);
        }
    }
    let next = |index: usize| match waits[index].target? {
        Target::Holder(key) => by_key.get(&key).copied(),
        Target::Greenlet(id) => by_id.get(&id).copied(),
    };
    let mut found = Vec::new();
    // The walk in which each was first visited.
    let mut visited = vec![usize::MAX; waits.len()];
    for start in 0..waits.len() {
        let mut here = Some(start);
        while let Some(index) = here {
            if visited[index] != usize::MAX {
                break;
            }
            visited[index] = start;
            here = next(index);
        }
        let Some(entry) = here.filter(|&index| visited[index] == start) else {
            continue;
        };
        let mut ring = vec![entry];
        let mut here = next(entry);
        while let Some(index) = here.filter(|&index| index != entry) {
            ring.push(index);
            here = next(index);
        }
        found.push(ring);
    }
    found
}

/// Names one wait in the process: the greenlet's key, and the wait's number.
type WaitName = (u64, u32);

/// What all hubs have published, by the numbers of the hubs.
#[derive(Default)]
struct Board {
    hubs: HashMap<u64, Snapshot>,
    /// Cycles that were reported, by the waits of their members.
    reported: HashSet<Vec<WaitName>>,
}

static BOARD: LazyLock<Mutex<Board>> = LazyLock::new(Mutex::default);

/// Publishes the waits of hub `hub`, and returns all cycles known now.
pub(super) fn publish(hub: u64, snapshot: Snapshot) -> Vec<Cycle> {
    let mut board = BOARD.lock().unwrap_or_else(PoisonError::into_inner);
    board.insert(hub, snapshot);
    drop(board);
    published()
}

impl Board {
    fn insert(&mut self, hub: u64, mut snapshot: Snapshot) {
        if let Some(before) = self.hubs.get(&hub) {
            let seen: HashMap<_, _> = before
                .waits
                .iter()
                .map(|waiting| ((waiting.who.id, waiting.number), waiting.seen))
                .collect();
            for waiting in &mut snapshot.waits {
                if let Some(&first) = seen.get(&(waiting.who.id, waiting.number)) {
                    waiting.seen = first;
                }
            }
        }
        self.hubs.insert(hub, snapshot);
    }
}

/// All cycles known now.
pub(super) fn published() -> Vec<Cycle> {
    let board = BOARD.lock().unwrap_or_else(PoisonError::into_inner);
    board.cycles().into_iter().map(|(_, cycle)| cycle).collect()
}

/// As [`publish`], but returns only cycles that were not returned before.
pub(super) fn publish_and_find_new(hub: u64, snapshot: Snapshot) -> Vec<Cycle> {
    let mut board = BOARD.lock().unwrap_or_else(PoisonError::into_inner);
    board.insert(hub, snapshot);
    let mut found = board.cycles();
    let names: HashSet<_> = found.iter().map(|(name, _)| name.clone()).collect();
    found.retain(|(name, _)| !board.reported.contains(name));
    // What is a cycle no more can be forgotten: none comes back with the same beginnings.
    board.reported = names;
    found.into_iter().map(|(_, cycle)| cycle).collect()
}

/// Forgets the waits of a hub that has ended, or has none any more.
pub(super) fn withdraw(hub: u64) {
    let mut board = BOARD.lock().unwrap_or_else(PoisonError::into_inner);
    board.hubs.remove(&hub);
}

impl Board {
    fn cycles(&self) -> Vec<(Vec<WaitName>, Cycle)> {
        let (mut waits, mut taken) = (Vec::new(), Vec::new());
        for snapshot in self.hubs.values() {
            for waiting in &snapshot.waits {
                waits.push(waiting);
                taken.push(snapshot.taken);
            }
        }
        let mut found = Vec::new();
        for ring in rings(&waits) {
            let latest_seen = ring.iter().map(|&index| waits[index].seen).max();
            let earliest_look = ring.iter().map(|&index| taken[index]).min();
            if latest_seen > earliest_look {
                continue;
            }
            let mut name: Vec<_> = ring
                .iter()
                .map(|&index| (waits[index].key, waits[index].number))
                .collect();
            name.sort_unstable();
            found.push((name, Cycle::new(&ring, &waits)));
        }
        found
    }
}

impl Cycle {
    fn new(ring: &[usize], waits: &[&Waiting]) -> Self {
        let now = ticks::now();
        let members = ring.iter().map(|&index| {
            let waiting = waits[index];
            Member {
                who: waiting.who.clone(),
                what: waiting.what.clone(),
                certain: waiting.certain,
                waited: ticks::to_duration(now.saturating_sub(waiting.since)),
            }
        });
        Cycle {
            certain: ring.iter().all(|&index| waits[index].certain),
            members: members.collect(),
        }
    }
}

/// What is told of a cycle when it is found.
type Hook = Box<dyn Fn(&Cycle) + Send + Sync>;

static HOOK: Mutex<Option<Arc<Hook>>> = Mutex::new(None);

/// Replaces what is done with a cycle of waits that is found: by default it is written to standard error, if it is
/// [certain](Cycle::is_certain). `None` restores that.
///
/// The hook runs on the thread that found the cycle, outside of any greenlet, once for each cycle. It should
/// be short, and must not wait. If it panics, the panic is reported and ends there.
pub fn set_deadlock_hook(hook: Option<Hook>) {
    *HOOK.lock().unwrap_or_else(PoisonError::into_inner) = hook.map(Arc::new);
}

/// Tells of `cycle`.
pub(super) fn report(cycle: &Cycle) {
    tracing::error!(target: "rustlet", %cycle, certain = cycle.certain, "cycle of waits");
    let hook = HOOK.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match hook {
        Some(hook) => {
            // A panic was reported by the panic hook, and there is nobody to give it to.
            let _ = catch_unwind(AssertUnwindSafe(|| hook(cycle)));
        }
        None if cycle.certain => eprintln!("rustlet: {cycle}"),
        None => {}
    }
}

/// When a hub should look, and for whom.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Greenlets that wait for a known holder.
    pub(super) traced: Cell<usize>,
    /// Looks that are still to come; 0 if nothing is new.
    looks_left: Cell<u8>,
    /// When to look, in ticks.
    look_at: Cell<u64>,
    published: Cell<bool>,
}

impl Watch {
    /// One more greenlet waits for a known holder; `now` may lag behind.
    #[inline(always)]
    pub(super) fn begin(&self, now: u64) {
        self.traced.set(self.traced.get() + 1);
        if self.looks_left.get() == 0 {
            self.looks_left.set(LOOKS);
            self.look_at.set(now + PATIENCE * ticks::one_millisecond());
        }
    }

    /// One of them has ended its wait.
    #[inline(always)]
    pub(super) fn end(&self) {
        self.traced.set(self.traced.get() - 1);
    }

    /// Whether it is time to look.
    #[inline(always)]
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.looks_left.get() > 0 && now >= self.look_at.get()
    }

    /// For how long the hub may sleep before the next look; `None` if none is to come.
    pub(super) fn next(&self, now: u64) -> Option<Duration> {
        (self.looks_left.get() > 0 && self.traced.get() > 0)
            .then(|| ticks::to_duration(self.look_at.get().saturating_sub(now)))
    }

    /// A look has been taken, from `began` to `ended`; another is wanted if `again`, but not so soon that looking takes
    /// more than a hundredth of the time.
    pub(super) fn looked(&self, began: u64, ended: u64, again: bool) {
        let left = if again { self.looks_left.get() - 1 } else { 0 };
        self.looks_left.set(left);
        let pause = (PATIENCE * ticks::one_millisecond()).max((ended - began) * 100);
        self.look_at.set(ended + pause);
    }

    /// Whether something is published, to be withdrawn; replaced by `now`.
    pub(super) fn replace_published(&self, now: bool) -> bool {
        self.published.replace(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn waiting(key: u64, target: Option<Target>) -> Waiting {
        Waiting {
            key,
            who: Who {
                id: key,
                name: None,
                spawned_at: None,
            },
            what: "a mutex".to_owned(),
            target,
            certain: true,
            since: 0,
            number: 0,
            seen: 0,
        }
    }

    proptest! {
        /// A greenlet is in a ring exactly if following the edges from it leads back to it.
        #[test]
        fn rings_are_those_who_reach_themselves(targets in prop::collection::vec(prop::option::of((0u64..14, any::<bool>())), 1..12)) {
            let waits: Vec<_> = (0..).zip(&targets).map(|(key, target)| {
                waiting(key + 1, target.map(|(other, joins)| if joins { Target::Greenlet(other + 1) } else { Target::Holder(other + 1) }))
            }).collect();
            let found = rings(&waits.iter().collect::<Vec<_>>());
            for start in 0..targets.len() {
                let mut here = start;
                let mut back = false;
                for _ in 0..targets.len() {
                    match targets[here] {
                        Some((next, _)) if (next as usize) < targets.len() => here = next as usize,
                        _ => break,
                    }
                    if here == start {
                        back = true;
                        break;
                    }
                }
                let rings_with_it = found.iter().filter(|ring| ring.contains(&start)).count();
                prop_assert_eq!(rings_with_it, usize::from(back));
            }
        }
    }

    #[test]
    fn a_cycle_over_two_hubs_needs_a_moment_at_which_all_waited() {
        let mut board = Board::default();
        let snapshot = |taken, number, key, other| Snapshot {
            taken,
            waits: vec![Waiting {
                number,
                seen: taken,
                ..waiting(key, Some(Target::Holder(other)))
            }],
        };
        // The first was seen before the second, so it may have ended its wait before the other began.
        board.insert(1, snapshot(10, 7, 1, 2));
        board.insert(2, snapshot(20, 5, 2, 1));
        assert!(board.cycles().is_empty());
        // It waits again, or still?
        board.insert(1, snapshot(30, 8, 1, 2));
        assert!(board.cycles().is_empty());
        board.insert(2, snapshot(40, 5, 2, 1));
        assert_eq!(board.cycles().len(), 1);
    }
}
