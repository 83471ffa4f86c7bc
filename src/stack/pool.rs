//! The stacks of one OS thread.
//!
//! Hands out slots of every class, keeps the hot ones within their limit, and on the thread's end
//! returns what is free. See the [module](super) for the picture and the invariant, and
//! [`class`](super::class) for the counting.

use std::array;
use std::cell::{Cell, OnceCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::census::Census;
use super::class::{Class, MAX_TRIM, MIN_TRIM};
use super::size::{CLASSES, StackSize};
use super::slot::Slot;
use super::stats::StackStats;
use crate::sys::guard::{self, Guards};

/// How many free slots of a class keep their memory, unless set otherwise. Of stacks that touch
/// one or two pages that is 16 to 32 MiB; a stack that once grew deep keeps all its pages while it
/// is hot.
pub(crate) const DEFAULT_HOT_LIMIT: usize = 4096;

/// The stacks of one OS thread.
///
/// Dropping it unmaps every region of which no slot is leased. A region that has one stays mapped
/// for the life of the process, because values on that stack may still be pointed to.
#[derive(Debug)]
pub(crate) struct Pool {
    classes: [Class; CLASSES],
    hot_limit: Cell<usize>,
    /// Set before the first slot exists.
    guards: OnceCell<&'static Guards>,
    census: Arc<Census>,
}

/// This OS thread's pool, made on first use.
///
/// While the thread's locals are being destroyed this is a new pool each time, whose slots are to
/// be given back to it and not to another call's.
#[inline(never)]
pub(crate) fn thread_pool() -> Rc<Pool> {
    thread_local! {
        static POOL: Rc<Pool> = Rc::new(Pool::new());
    }
    POOL.try_with(Rc::clone)
        .unwrap_or_else(|_| Rc::new(Pool::new()))
}

impl Pool {
    /// An empty pool, with the guards of the process.
    pub(crate) fn new() -> Self {
        let census = Arc::default();
        Self {
            classes: array::from_fn(|index| Class::new(StackSize::of_index(index), &census)),
            census,
            hot_limit: Cell::new(DEFAULT_HOT_LIMIT),
            guards: OnceCell::new(),
        }
    }

    /// An empty pool with the given guards.
    #[cfg(test)]
    pub(crate) fn with_guards(guards: &'static Guards) -> Self {
        let pool = Self::new();
        pool.guards.set(guards).expect("a new pool has no guards");
        pool
    }

    fn guards(&self) -> io::Result<&'static Guards> {
        if let Some(guards) = self.guards.get() {
            return Ok(guards);
        }
        let guards = guard::of_process()?;
        Ok(self.guards.get_or_init(|| guards))
    }

    #[inline]
    fn class(&self, size: StackSize) -> &Class {
        &self.classes[size.index()]
    }

    /// Secures one stack, to be [taken](Self::take) or [withdrawn](Self::withdraw) later.
    ///
    /// Address space, the system's promise of memory and the kernel mappings of its guard are
    /// obtained here; no page is touched and no guard installed yet.
    ///
    /// # Errors
    /// One of those is used up: the text says which, and what to do. Or `RUSTLET_GUARDS` demands
    /// what cannot be.
    #[inline]
    pub(crate) fn promise(&self, size: StackSize) -> io::Result<()> {
        if self.class(size).promise() {
            Ok(())
        } else {
            self.promise_new(size)
        }
    }

    #[cold]
    #[inline(never)]
    fn promise_new(&self, size: StackSize) -> io::Result<()> {
        let class = self.class(size);
        class.grow(self.guards()?)?;
        let promised = class.promise();
        debug_assert!(promised, "a class that has grown has a slot");
        Ok(())
    }

    /// Gives up a promise.
    #[inline]
    pub(crate) fn withdraw(&self, size: StackSize) {
        self.class(size).withdraw();
    }

    /// Redeems a promise: a hot slot, else a trimmed one, else one that was never used.
    ///
    /// # Errors
    /// Guards cannot be installed (no memory for page tables). The promise stands: take again, or
    /// withdraw.
    #[inline]
    pub(crate) fn take(&self, size: StackSize) -> io::Result<Slot> {
        match self.class(size).take_hot() {
            Some(slot) => Ok(slot),
            None => self.take_cold(size),
        }
    }

    #[cold]
    #[inline(never)]
    fn take_cold(&self, size: StackSize) -> io::Result<Slot> {
        self.class(size).take_cold(self.guards()?)
    }

    /// Takes back a slot that came from this pool, on which nothing is left that anyone will use.
    ///
    /// It becomes the next one to be taken. If that makes more than the hot limit, the memory of
    /// those unused the longest is given back: of half of them, but no more than some 500 in one go.
    #[inline]
    pub(crate) fn give_back(&self, slot: Slot) {
        let class = self.class(slot.size());
        let hot = class.give_back(slot);
        // One comparison on the hot path; the limit cannot overflow it.
        if hot >= self.hot_limit.get().saturating_add(MIN_TRIM) {
            class.trim(
                (self.hot_limit.get() / 2).min(MAX_TRIM) + MIN_TRIM,
                self.guards.get().copied(),
            );
        }
    }

    /// How many free slots of each class keep their memory; by default 4096.
    ///
    /// There may be up to 64 more, because memory is given back for many at once.
    pub(crate) fn set_hot_limit(&self, slots: usize) {
        self.hot_limit.set(slots);
        for class in &self.classes {
            if class.hot() > slots {
                class.trim(class.hot() - slots, self.guards.get().copied());
            }
        }
    }

    /// Gives back the memory of all free slots.
    pub(crate) fn trim(&self) {
        for class in &self.classes {
            class.trim(class.hot(), self.guards.get().copied());
        }
    }

    /// What other threads may know of this pool, also when it is gone.
    pub(crate) fn census(&self) -> &Arc<Census> {
        &self.census
    }

    /// The numbers of now, without `resident_bytes`.
    pub(crate) fn stats(&self) -> StackStats {
        self.count(false)
    }

    /// The numbers of now, with `resident_bytes`: walks the page tables of all stacks.
    pub(crate) fn stats_with_resident(&self) -> StackStats {
        self.count(true)
    }

    fn count(&self, with_resident: bool) -> StackStats {
        let mut stats = StackStats {
            guards: self
                .guards
                .get()
                .map(|guards| guards.kind())
                .unwrap_or_default(),
            ..StackStats::default()
        };
        for class in &self.classes {
            class.count(&mut stats, with_resident);
        }
        stats
    }

    /// The kind of guard that slots of this pool have.
    #[cfg(test)]
    pub(super) fn guards_kind(&self) -> crate::sys::guard::GuardKind {
        self.guards().expect("guards were given").kind()
    }

    /// Address ranges of all regions.
    #[cfg(test)]
    pub(super) fn ranges(&self) -> Vec<core::ops::Range<usize>> {
        self.classes.iter().flat_map(Class::ranges).collect()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Without guards there never was a slot.
        if let Some(guards) = self.guards.get() {
            for class in &mut self.classes {
                class.unmap_free(guards);
            }
        }
        self.census.close();
    }
}
