//! A list of members in the order in which they came, any of which leaves in constant time.
//!
//! A slab whose entries are linked by index. A pure data structure: no OS, no scheduler, nothing unsafe. A key names its entry
//! alone, by a generation: a greenlet that another worker has started may have left before its spawner enters it.

use core::mem;

/// Names an entry until it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The key as a number, which other entries will have after this one.
    pub(super) fn index(self) -> usize {
        self.index as usize
    }
}

const NONE: u32 = u32::MAX;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Roster<V> {
    entries: Vec<Entry<V>>,
    /// The first of the free entries, which are linked by `next`.
    free: u32,
    first: u32,
    last: u32,
    len: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: Option<V>,
    /// Of the key that it has now, or will have next.
    generation: u32,
    previous: u32,
    next: u32,
}

impl<V> Roster<V> {
    pub(super) const fn new() -> Self {
        Roster {
            entries: Vec::new(),
            free: NONE,
            first: NONE,
            last: NONE,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a member.
    pub(super) fn push(&mut self, value: V) -> Key {
        let mut entry = Entry {
            value: Some(value),
            generation: 0,
            previous: self.last,
            next: NONE,
        };
        let mut generation = 0;
        let index = match self.entries.get_mut(self.free as usize) {
            Some(vacant) => {
                let index = mem::replace(&mut self.free, vacant.next);
                generation = vacant.generation;
                entry.generation = generation;
                *vacant = entry;
                index
            }
            None => {
                let index = u32::try_from(self.entries.len()).expect("fewer than 2^32 members");
                assert_ne!(index, NONE, "fewer than 2^32 members");
                self.entries.push(entry);
                index
            }
        };
        match self.entries.get_mut(self.last as usize) {
            Some(last) => last.next = index,
            None => self.first = index,
        }
        self.last = index;
        self.len += 1;
        Key { index, generation }
    }

    /// The member, to be changed in place.
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut V> {
        self.entry(key)?.value.as_mut()
    }

    fn entry(&mut self, key: Key) -> Option<&mut Entry<V>> {
        let entry = self.entries.get_mut(key.index())?;
        (entry.generation == key.generation).then_some(entry)
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, key: Key) -> Option<V> {
        let free = self.free;
        let entry = self.entry(key)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        let (previous, next) = (entry.previous, entry.next);
        entry.next = free;
        self.free = key.index;
        match self.entries.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.first = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(next) => next.previous = previous,
            None => self.last = previous,
        }
        self.len -= 1;
        Some(value)
    }

    /// The member with the key of this number.
    pub(super) fn get_index(&self, index: usize) -> Option<&V> {
        self.entries.get(index)?.value.as_ref()
    }

    /// As [`Roster::remove`], by [`Key::index`].
    pub(super) fn remove_index(&mut self, index: usize) -> Option<V> {
        let generation = self.entries.get(index)?.generation;
        let index = u32::try_from(index).ok()?;
        self.remove(Key { index, generation })
    }

    /// All members, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &V)> {
        self.walk(self.first, |entry| entry.next)
    }

    /// All members, the one that came last first.
    pub(super) fn latest_first(&self) -> impl Iterator<Item = (Key, &V)> {
        self.walk(self.last, |entry| entry.previous)
    }

    fn walk(
        &self,
        mut here: u32,
        step: impl Fn(&Entry<V>) -> u32,
    ) -> impl Iterator<Item = (Key, &V)> {
        core::iter::from_fn(move || {
            let entry = self.entries.get(here as usize)?;
            let key = Key {
                index: mem::replace(&mut here, step(entry)),
                generation: entry.generation,
            };
            Some((key, entry.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a vector: pushes, and removals of any member.
        #[test]
        fn is_a_list_in_order_of_arrival(acts in prop::collection::vec(any::<(bool, prop::sample::Index)>(), 0..200)) {
            let (mut roster, mut model, mut gone) = (Roster::new(), Vec::new(), Vec::new());
            for (number, (push, which)) in acts.into_iter().enumerate() {
                if push || model.is_empty() {
                    model.push((roster.push(number), number));
                } else {
                    let (key, value) = model.remove(which.index(model.len()));
                    prop_assert_eq!(roster.remove(key), Some(value));
                    prop_assert_eq!(roster.remove(key), None);
                    gone.push(key);
                }
                prop_assert!(roster.iter().map(|(key, &value)| (key, value)).eq(model.iter().copied()));
                prop_assert!(roster.latest_first().map(|(key, &value)| (key, value)).eq(model.iter().rev().copied()));
                // Keys of those that have left name nobody, though their places may be taken again.
                prop_assert!(gone.iter().all(|&key| roster.get_mut(key).is_none() && roster.remove(key).is_none()));
                prop_assert_eq!((roster.len(), roster.is_empty()), (model.len(), model.is_empty()));
                prop_assert!(roster.entries.len() <= number + 1);
            }
        }
    }
}
