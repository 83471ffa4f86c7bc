//! The hierarchical timing wheel: which deadlines are due, as a pure data structure.
//!
//! No clock and no operating system: whoever owns the wheel tells it the time, as nanoseconds since
//! any fixed origin, and gets back the values whose deadlines have come. The rest of `timer` gives
//! the values their meaning.
//!
//! # Picture
//! Time is cut into ticks of [`Wheel::TICK_NS`]. A deadline belongs to the first tick that starts
//! at or after it, so an entry that fires when its tick starts is never early and less than one
//! tick late. Eight levels of 64 slots take six bits of the tick each; with the 16 bits inside a
//! tick that is the whole of a `u64`.
//!
//! ```text
//!  deadline, rounded up   63    58 57    52       27    22 21    16 15        0
//!                        ┌────────┬────────┬─ ·· ─┬────────┬────────┬──────────┐
//!                        │ level 7│ level 6│      │ level 1│ level 0│  0 ·· 0  │
//!                        └────────┴────────┴─ ·· ─┴────────┴────────┴──────────┘
//!  one slot lasts          9.1 y    52 d             4.2 ms   65.5 µs
//! ```
//!
//! An entry is on the level of the **highest digit in which its tick differs from the wheel's
//! tick**, in the slot which that digit names. Where an entry is, is therefore a function of the
//! two ticks and nothing else, and three facts follow on which everything here stands:
//!
//! 1. Every occupied slot is ahead of the wheel's own digit on its level, and all of a level's
//!    entries come before all of the next level's. So the lowest set bit of the lowest level that
//!    has one is the earliest slot.
//! 2. Entries of one tick are always in one list. Lists are appended to and moved front to back, so
//!    entries of equal deadline stay in the order of insertion without a sequence number.
//! 3. The wheel's tick may move anywhere up to and into the earliest slot, and only that slot's
//!    entries change place.
//!
//! [`Wheel::advance`] uses the third: it takes the earliest slot, moves the wheel's tick to the
//! slot's end or to `now`, whichever is first, and places the slot's entries anew: those whose tick
//! has come on the *due* list, the others on lower levels. It fires what is due and repeats. One
//! call moves an entry at most once and looks at occupied slots only, however far time jumps.
//!
//! Two lists are in no level: *due*, and *never* for deadlines in the last tick of all, whose end
//! no `u64` can name. An endless sleep saturates to `u64::MAX` and is there: kept, counted, open to
//! cancel, but it does not fire and asks for no wake-up.
//!
//! # Who may call what
//! The owner alone, through `&mut`: one hub has one wheel. `fire` cannot reach the wheel, the
//! borrow forbids it; what it wants to insert, it notes and inserts after `advance`. If `fire`
//! panics, the entry it was given is gone, every other is where the next `advance` finds it, and
//! the time of the call cut short does not count as given.
//!
//! # Memory
//! Nodes are in one `Vec` and name each other by index, which keeps this file safe Rust. A node is
//! 24 bytes and the `Option<T>`; freed nodes are used again, last freed first. Neither the nodes
//! nor the scratch for sorting (16 bytes for each entry of the largest batch so far) shrink: after
//! a million timers the room for a million stays. A wheel never used has allocated nothing.
//!
//! # Rejected
//! - *A heap*: most timers are timeouts, and most timeouts are cancelled. A heap that cancels by
//!   marking keeps 30 s of dead entries for 30 s timeouts; one that can remove was measured at twice
//!   the wheel's cost with a million pending.
//! - *Pointers into the greenlets*: saves an indirection, costs `unsafe` and pinning everywhere.
//! - *Firing inside the current tick as soon as `now` allows*: half a tick less late on average, but
//!   entries of one tick then fire in several batches, each a scan of the slot.
//! - *An exact wake-up for far entries*: needs a scan of the slot. A far timer costs an idle owner
//!   a wake-up for each level it comes down, seven at most.

/// Bits of a tick that one level looks at.
const BITS: u32 = 6;
/// Slots of a level; one bit each in the level's `u64` of [`Wheel::occupied`].
const SLOTS: usize = 1 << BITS;
const LEVELS: usize = 8;
/// The last tick that starts within `u64` nanoseconds.
const LAST_TICK: u64 = u64::MAX / Wheel::<()>::TICK_NS;

/// Ends a list; no node has this index.
const NIL: u32 = u32::MAX;

/// Number of the list of entries whose tick has come: after those of the levels.
const DUE: usize = LEVELS * SLOTS;
/// Number of the list of entries whose tick never comes.
const NEVER: usize = DUE + 1;
const LISTS: usize = NEVER + 1;
/// Words of [`Wheel::occupied`]: one for each level, one for `DUE` and `NEVER`.
const WORDS: usize = LISTS.div_ceil(SLOTS);

// Every bit of a `u64` deadline is inside a tick or on exactly one level.
const _: () = assert!(Wheel::<()>::TICK_NS.trailing_zeros() + BITS * LEVELS as u32 == u64::BITS);

/// Names an entry for [`Wheel::cancel`]; stays harmless after the entry has fired.
///
/// The generation tells apart the entries that have used the same node. It wraps after 2³² of them:
/// a key kept that long could name a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The key as one word, for code that may not know this type.
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key that [`Key::to_bits`] gave.
    pub(crate) fn from_bits(bits: u64) -> Self {
        Key {
            index: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

struct Node<T> {
    deadline: u64,
    /// Neighbours in the list `home`; in a free node `next` is the next free one.
    prev: u32,
    next: u32,
    /// Changes when the node is freed: a key with this generation names the entry now here.
    generation: u32,
    /// The list this node is on, below `LISTS`.
    home: u16,
    /// `None` exactly while the node is free.
    value: Option<T>,
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

const EMPTY: List = List {
    head: NIL,
    tail: NIL,
};

/// Pending deadlines with a value each; see the file's head for how it works.
///
/// A hierarchical timing wheel: scheme 7 of G. Varghese and T. Lauck, "Hashed and Hierarchical
/// Timing Wheels: Data Structures for the Efficient Implementation of a Timer Facility", SOSP 1987.
/// Insert and cancel take constant time; an entry moves at most once for each level.
pub(crate) struct Wheel<T> {
    /// The tick up to which everything has been fired. Never goes back.
    tick: u64,
    /// Bit `n % 64` of word `n / 64` is set exactly while list `n` has a node.
    occupied: [u64; WORDS],
    /// `LISTS` lists once the first entry has come, none before.
    lists: Vec<List>,
    nodes: Vec<Node<T>>,
    /// First free node.
    free: u32,
    len: usize,
    /// Scratch of [`Wheel::fire_due`]; what it holds between calls means nothing.
    batch: Vec<Due>,
}

/// A due entry, in the order in which it fires.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    deadline: u64,
    /// Place in the due list: lets a sort that needs no memory keep the order of insertion.
    place: u32,
    index: u32,
}

/// An occupied slot of a level: its list, and the ticks it spans.
struct Slot {
    list: usize,
    first_tick: u64,
    last_tick: u64,
}

impl<T> Wheel<T> {
    /// Length of a tick in nanoseconds (65.5 µs).
    pub(crate) const TICK_NS: u64 = 1 << 16;

    /// An empty wheel that stands at `now_ns`.
    pub(crate) fn new(now_ns: u64) -> Self {
        Wheel {
            tick: now_ns / Self::TICK_NS,
            occupied: [0; WORDS],
            lists: Vec::new(),
            nodes: Vec::new(),
            free: NIL,
            len: 0,
            batch: Vec::new(),
        }
    }

    /// Number of entries that have neither fired nor been cancelled.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The time that [`Wheel::advance`] was last told, rounded down to a tick.
    pub(crate) fn now_ns(&self) -> u64 {
        self.tick * Self::TICK_NS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry that fires in the first `advance` whose `now_ns` has reached the deadline's
    /// tick.
    ///
    /// A deadline at or before the start of the wheel's own tick fires at the next `advance`, even
    /// if time stands still. A deadline in the last tick of all (from `u64::MAX - 65_534` on) never
    /// fires.
    ///
    /// # Panics
    /// With 2³² − 1 entries pending.
    pub(crate) fn insert(&mut self, deadline_ns: u64, value: T) -> Key {
        let index = if self.free == NIL {
            self.grow()
        } else {
            self.free
        };
        let home = self.home_of(deadline_ns);
        let node = &mut self.nodes[index as usize];
        self.free = node.next;
        node.deadline = deadline_ns;
        node.value = Some(value);
        let generation = node.generation;
        self.len += 1;
        self.link(index, home);
        Key { index, generation }
    }

    /// Takes an entry out; `None` if it has fired or been cancelled before.
    pub(crate) fn cancel(&mut self, key: Key) -> Option<T> {
        let node = self.nodes.get(key.index as usize)?;
        if node.generation != key.generation {
            return None;
        }
        Some(self.remove(key.index).1)
    }

    /// Moves time to `now_ns`, passes each entry whose tick has come to `fire` with its deadline,
    /// and returns how many.
    ///
    /// Entries fire in the order of their deadlines, those of equal deadline in the order of
    /// insertion. A `now_ns` before one given earlier counts as that one.
    pub(crate) fn advance(&mut self, now_ns: u64, mut fire: impl FnMut(u64, T)) -> usize {
        let now = self.tick.max(now_ns / Self::TICK_NS);
        let mut fired = self.fire_due(&mut fire);
        while let Some(slot) = self.earliest_slot()
            && slot.first_tick <= now
        {
            // Into the slot, as far as `now` allows: this is what spares an entry the levels in
            // between (fact 3).
            self.tick = now.min(slot.last_tick);
            self.move_all(slot.list);
            fired += self.fire_due(&mut fire);
        }
        // All that is left lies in slots that start after `now`, so no entry changes its place by
        // this (fact 3).
        self.tick = now;
        fired
    }

    /// The instant at which to call [`advance`](Self::advance) next; `None` if nothing here can
    /// ever fire.
    ///
    /// With an entry already due it is the start of the wheel's own tick, which has passed. When
    /// the next entry is on the lowest level (within 64 ticks, as a rule) it is the instant at
    /// which that fires. Otherwise it is the start of the entry's slot, never later than the
    /// entry's tick: an `advance` then fires the entry or brings it down a level. So an `advance`
    /// at the instant returned fires something or makes the next answer later.
    pub(crate) fn next_wake_ns(&self) -> Option<u64> {
        if self.is_occupied(DUE) {
            return Some(self.tick * Self::TICK_NS);
        }
        Some(self.earliest_slot()?.first_tick * Self::TICK_NS)
    }

    /// The list where an entry belongs while the wheel's tick is what it is.
    #[inline]
    fn home_of(&self, deadline_ns: u64) -> usize {
        let tick = deadline_ns.div_ceil(Self::TICK_NS);
        if tick <= self.tick {
            return DUE;
        }
        if tick > LAST_TICK {
            return NEVER;
        }
        let level = (tick ^ self.tick).ilog2() / BITS;
        let digit = (tick >> (level * BITS)) as usize % SLOTS;
        level as usize * SLOTS + digit
    }

    /// The occupied slot that comes first in time (fact 1).
    fn earliest_slot(&self) -> Option<Slot> {
        let level = self.occupied[..LEVELS].iter().position(|&word| word != 0)?;
        let digit = self.occupied[level].trailing_zeros();
        let shift = level as u32 * BITS;
        // The digits above the slot's are the wheel's; above the top level's there are none.
        let above = self.tick >> (shift + BITS) << (shift + BITS);
        let first_tick = above | u64::from(digit) << shift;
        Some(Slot {
            list: level * SLOTS + digit as usize,
            first_tick,
            last_tick: first_tick | ((1 << shift) - 1),
        })
    }

    /// Empties a list and places its entries where they belong by now.
    fn move_all(&mut self, list: usize) {
        let mut index = self.lists[list].head;
        self.lists[list] = EMPTY;
        self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        while index != NIL {
            let node = &self.nodes[index as usize];
            let (next, deadline) = (node.next, node.deadline);
            let home = self.home_of(deadline);
            self.link(index, home);
            index = next;
        }
    }

    /// Fires the due list, in order.
    ///
    /// An entry leaves the list just before it is given away: a panic in `fire` leaves the others
    /// due.
    fn fire_due(&mut self, fire: &mut impl FnMut(u64, T)) -> usize {
        if !self.is_occupied(DUE) {
            return 0;
        }
        let mut batch = std::mem::take(&mut self.batch);
        batch.clear();
        let mut index = self.lists[DUE].head;
        while index != NIL {
            let node = &self.nodes[index as usize];
            batch.push(Due {
                deadline: node.deadline,
                place: batch.len() as u32,
                index,
            });
            index = node.next;
        }
        batch.sort_unstable();
        for due in &batch {
            let (deadline, value) = self.remove(due.index);
            fire(deadline, value);
        }
        let fired = batch.len();
        self.batch = batch;
        fired
    }

    fn is_occupied(&self, list: usize) -> bool {
        self.occupied[list / SLOTS] & 1 << (list % SLOTS) != 0
    }

    /// Appends a node that is on no list to `list`.
    #[inline]
    fn link(&mut self, index: u32, list: usize) {
        let List { head, tail } = self.lists[list];
        let node = &mut self.nodes[index as usize];
        node.home = list as u16;
        node.prev = tail;
        node.next = NIL;
        if tail == NIL {
            self.lists[list] = List {
                head: index,
                tail: index,
            };
            self.occupied[list / SLOTS] |= 1 << (list % SLOTS);
        } else {
            self.nodes[tail as usize].next = index;
            self.lists[list] = List { head, tail: index };
        }
    }

    /// Takes a live node off its list, frees it and returns what was in it.
    #[inline]
    fn remove(&mut self, index: u32) -> (u64, T) {
        let node = &mut self.nodes[index as usize];
        let (prev, next, list) = (node.prev, node.next, node.home as usize);
        let deadline = node.deadline;
        let value = node.value.take().expect("a node on a list has a value");
        node.generation = node.generation.wrapping_add(1);
        node.next = self.free;
        self.free = index;
        self.len -= 1;

        match prev {
            NIL => self.lists[list].head = next,
            _ => self.nodes[prev as usize].next = next,
        }
        match next {
            NIL => self.lists[list].tail = prev,
            _ => self.nodes[next as usize].prev = prev,
        }
        if prev == NIL && next == NIL {
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
        }
        (deadline, value)
    }

    /// Makes a free node where there was none, and the lists with the first; returns its index.
    #[cold]
    fn grow(&mut self) -> u32 {
        if self.lists.is_empty() {
            self.lists.resize(LISTS, EMPTY);
        }
        let index = self.nodes.len();
        assert!(
            index < NIL as usize,
            "timer wheel: no more than {NIL} entries"
        );
        let node = Node {
            deadline: 0,
            prev: NIL,
            next: NIL,
            generation: 0,
            home: 0,
            value: None,
        };
        self.nodes.push(node);
        self.free = index as u32;
        self.free
    }
}

#[cfg(test)]
mod tests;
