//! The ways in which a greenlet switches away and comes back, each around carried registers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::{Handle, raw};

use super::registers::{self, Carrier};
use super::walk::Walk;
use super::{OWN_STACK, compiled};
use crate::workload::Failure;

#[derive(Clone, Copy)]
pub(super) enum Way {
    Yield,
    /// Wakes another, parks for a moment or until somebody wakes it.
    Park,
    Sleep,
    /// Into a raw greenlet and back, several times, and to its end.
    Raw,
    /// Into a raw greenlet that is dropped while it is away: unwound through its carried frame.
    Dropped,
    /// A yield by a raw greenlet: it and the greenlet that it runs on are away together.
    Nested,
    Generator,
    /// A child on the same thread, and a join.
    Child,
}

impl Way {
    pub(super) fn choose(rng: &mut Rng) -> Way {
        match rng.u8(..16) {
            0..5 => Way::Yield,
            5..7 => Way::Park,
            7 => Way::Sleep,
            8..11 => Way::Raw,
            11 => Way::Dropped,
            12 => Way::Nested,
            13..15 => Way::Generator,
            _ => Way::Child,
        }
    }

    /// Switches; how often.
    pub(super) fn go(self, walk: &mut Walk) -> u64 {
        let times = walk.rng.u64(1..=6);
        let pause = Duration::from_micros(walk.rng.u64(..100));
        let other = walk.rng.usize(..walk.others.len());
        let rounding = (walk.rng.u8(..4) == 0).then(|| walk.rng.u8(..16));
        let probe = &walk.probe;
        match self {
            Way::Yield => probe.across(rounding, rustlet::yield_now),
            Way::Park => {
                walk.others[other]
                    .get()
                    .into_iter()
                    .for_each(Handle::unpark);
                probe.across(rounding, || rustlet::park_timeout(pause));
            }
            Way::Sleep => probe.across(rounding, || rustlet::sleep(pause)),
            Way::Raw => {
                let raw = probe.raw(times, rounding, |n| raw::switch_to_parent(n));
                let begun = Instant::now();
                for n in 0..=times {
                    probe.across(None, || {
                        assert_eq!(raw.switch(n), n, "a raw greenlet's answer")
                    });
                }
                walk.context.time(begun.elapsed() / (times + 1) as u32);
                assert!(raw.dead(), "a raw greenlet is at its end");
                return 2 * (times + 1);
            }
            Way::Dropped => {
                let raw = probe.raw(times, rounding, |n| raw::switch_to_parent(n));
                probe.across(None, || {
                    assert_eq!(raw.switch(7), 7, "a raw greenlet's answer")
                });
                probe.across(None, || drop(raw));
                return 4;
            }
            Way::Nested => {
                let yields = |n| {
                    rustlet::yield_now();
                    n
                };
                let raw = probe.raw(times, rounding, yields);
                probe.across(None, || {
                    assert_eq!(raw.switch(7), 7, "a raw greenlet's answer")
                });
                return times + 2;
            }
            Way::Generator => {
                let inside = probe.clone();
                let mut numbers = raw::generator(move |y| {
                    (0..times).for_each(|n| inside.across(rounding, || y.yield_(n)));
                });
                for n in 0..times {
                    probe.across(None, || assert_eq!(numbers.next(), Some(n), "a generator"));
                }
                probe.across(None, || {
                    assert_eq!(numbers.next(), None, "a generator's end")
                });
                return 2 * (times + 1);
            }
            Way::Child => {
                // A scope, so that a kill in the join leaves no child behind.
                rustlet::scope(|scope| {
                    let child = scope.spawn_local(|| probe.across(None, rustlet::yield_now));
                    probe.across(rounding, || child.join().expect("a child of a walk"));
                });
                return 3;
            }
        }
        1
    }
}

/// One greenlet's identity, and what went wrong in it or in what runs on its behalf.
#[derive(Clone)]
pub(super) struct Probe {
    pub(super) me: u32,
    serial: Rc<Cell<u32>>,
    failed: Rc<RefCell<Option<Failure>>>,
}

impl Probe {
    pub(super) fn new(me: u32) -> Probe {
        Probe {
            me: me % OWN_STACK,
            serial: Rc::default(),
            failed: Rc::default(),
        }
    }

    /// The first failure, if there was one.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Calls `f`, which switches, with known values in all registers.
    #[inline(always)]
    fn across(&self, rounding: Option<u8>, f: impl FnOnce()) {
        let serial = self.serial.get().wrapping_add(1);
        self.serial.set(serial);
        let me = Carrier {
            greenlet: self.me,
            serial,
        };
        let seed = u64::from(self.me) << 32 | u64::from(serial);
        let mut compiled = Ok(());
        let carried = registers::carry(me, rounding, || {
            compiled = compiled::alive_across(self.me, seed, f);
        });
        if let Err(failure) = carried.and(compiled) {
            self.failed.borrow_mut().get_or_insert(failure);
        }
    }

    /// A raw greenlet that goes away `times` times, and hands on what it is given.
    fn raw(
        &self,
        times: u64,
        rounding: Option<u8>,
        away: impl Fn(u64) -> u64 + 'static,
    ) -> raw::Greenlet<u64> {
        let inside = self.clone();
        raw::Greenlet::new(move |mut value| {
            for _ in 0..times {
                inside.across(rounding, || value = away(value));
            }
            value
        })
    }
}
