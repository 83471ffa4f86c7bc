//! A condition variable between those who bring and those who take.
//!
//! Bringers are not killed, and wake one for each item, or all for several. Takers are killed, give up and come again; the
//! first of them stays, and gets what is left. A notification that was taken along by a dying taker leaves an item
//! for which nobody is awake: in the end all who are left wait, and the step does not end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::Greenlet;
use rustlet::sync::{Condvar, Mutex, MutexGuard};

use crate::crew::Crew;
use crate::witness::Victims;
use crate::workload::{Context, Failure, ensure};

/// Items of a step.
const ITEMS: usize = 4000;

#[derive(Default)]
struct Shelf {
    items: usize,
    brought: usize,
    taken: usize,
}

struct Shared {
    shelf: Mutex<Shelf>,
    some: Condvar,
    /// How many are brought in all.
    all: usize,
    victims: Victims,
    context: Context,
}

pub(super) struct Store {
    shared: Arc<Shared>,
    bringers: Vec<Greenlet<()>>,
    stays: Greenlet<usize>,
    takers: Vec<Greenlet<usize>>,
}

impl Store {
    pub(super) fn open(crew: &Crew, context: &Context, rng: &mut Rng) -> Store {
        let bringers = rng.usize(1..=4);
        let each = 1 + rng.usize(..context.scaled(ITEMS / 4));
        let shared = Arc::new(Shared {
            shelf: Mutex::default(),
            some: Condvar::new(),
            all: bringers * each,
            victims: Victims::default(),
            context: *context,
        });
        let taker = |nth: u64, mortal: bool| {
            let shared = shared.clone();
            let rng = context.rng(u64::MAX - nth);
            crew.spawn_on(nth as usize, move || shared.take(rng, mortal))
        };
        let stays = taker(0, false);
        let takers = Vec::from_iter((1..=rng.u64(1..=20)).map(|nth| taker(nth, true)));
        shared.victims.set(takers.iter().map(Greenlet::handle));
        let bringers = Vec::from_iter((0..bringers).map(|nth| {
            let theirs = shared.clone();
            let rng = context.rng(u64::MAX / 2 - nth as u64);
            crew.spawn_on(nth, move || theirs.bring(each, rng))
        }));
        Store {
            shared,
            bringers,
            stays,
            takers,
        }
    }

    pub(super) fn close(self) -> Result<(), Failure> {
        for bringer in self.bringers {
            bringer.join()?;
        }
        // Those who were killed have noted what they took on the shelf alone.
        self.stays.join()?;
        for (nth, taker) in self.takers.into_iter().enumerate() {
            self.shared.victims.ended(nth, taker.join())?;
        }
        let shelf = self.shared.lock();
        let all = self.shared.all;
        ensure!(
            (shelf.items, shelf.brought, shelf.taken) == (0, all, all),
            "a store of {all} items: {} were brought, {} taken, {} are on the shelf",
            shelf.brought,
            shelf.taken,
            shelf.items
        );
        Ok(())
    }
}

impl Shared {
    /// Nobody panics with it.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf
            .lock()
            .expect("kills and timeouts poison nothing")
    }

    fn bring(&self, items: usize, mut rng: Rng) {
        let mut left = items;
        while left > 0 {
            let some = rng.usize(1..=3).min(left);
            left -= some;
            let mut shelf = self.lock();
            shelf.items += some;
            shelf.brought += some;
            let inside = rng.bool().then_some(shelf);
            if some == 1 {
                self.some.notify_one();
            } else {
                self.some.notify_all();
            }
            drop(inside);
            self.context.count(1);
            self.context.delay(&mut rng);
            self.victims.strike(&self.context, &mut rng);
        }
    }

    fn take(&self, mut rng: Rng, mortal: bool) -> usize {
        let mut mine = 0;
        loop {
            let limit = Duration::from_micros(rng.u64(..300));
            let went_on = match rng.u8(..4) {
                0 => {
                    rustlet::timeout(limit, || self.take_one(&mut rng, None)).unwrap_or(Some(false))
                }
                1 => self.take_one(&mut rng, Some(limit)),
                _ => self.take_one(&mut rng, None),
            };
            match went_on {
                Some(took) => mine += usize::from(took),
                None => return mine,
            }
            if mortal {
                self.context.delay(&mut rng);
            }
        }
    }

    /// Whether it took one; nothing, when all are taken.
    fn take_one(&self, rng: &mut Rng, limit: Option<Duration>) -> Option<bool> {
        let is_empty = |shelf: &mut Shelf| shelf.items == 0 && shelf.taken < self.all;
        let shelf = self.lock();
        let since = Instant::now();
        let mut shelf = match limit {
            Some(limit) => {
                let waited = self.some.wait_timeout_while(shelf, limit, is_empty);
                let (shelf, timed_out) = waited.expect("nobody panics");
                if timed_out.timed_out() {
                    return Some(false);
                }
                shelf
            }
            None => self
                .some
                .wait_while(shelf, is_empty)
                .expect("nobody panics"),
        };
        self.context.time(since.elapsed());
        if shelf.items == 0 {
            return None;
        }
        shelf.items -= 1;
        shelf.taken += 1;
        self.context.count(1);
        if shelf.taken == self.all {
            drop(shelf);
            self.some.notify_all();
            return Some(true);
        }
        if rng.u8(..8) == 0 {
            rustlet::yield_now(); // with the lock, so that those who were notified wait for it
        }
        Some(true)
    }
}
