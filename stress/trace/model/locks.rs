//! Mutexes, semaphores and read-write locks of the model.

use std::collections::VecDeque;

use super::Model;
use super::greenlet::Held;
use super::wait::DONE;

/// A mutex or a read-write lock, with its value.
#[derive(Debug, Default)]
pub(super) struct Lock<P> {
    pub(super) permits: P,
    pub(super) value: u64,
    pub(super) poisoned: bool,
}

impl<P> Lock<P> {
    pub(super) fn new(permits: P) -> Self {
        Lock {
            permits,
            value: 0,
            poisoned: false,
        }
    }
}

/// "Waiters are served in the order in which they came. A permit that is given back goes to nobody in particular: the
/// first waiter is woken to take it, and code that runs meanwhile may be faster. A waiter that was woken in vain
/// is handed the next permit."
#[derive(Debug)]
pub(super) struct Permits {
    pub(super) free: usize,
    queue: VecDeque<usize>,
    /// The first was woken for a free permit and has not looked yet.
    told: bool,
    /// The first was woken in vain.
    reserved: bool,
}

/// Whom to wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Call {
    Nobody,
    /// To look for itself.
    Wake(usize),
    /// It has the permit.
    Grant(usize),
}

impl Permits {
    pub(super) fn new(free: usize) -> Self {
        Permits {
            free,
            queue: VecDeque::new(),
            told: false,
            reserved: false,
        }
    }

    pub(super) fn try_acquire(&mut self) -> bool {
        let able = self.free > 0;
        self.free -= usize::from(able);
        able
    }

    pub(super) fn queue(&mut self, me: usize) {
        self.queue.push_back(me);
    }

    pub(super) fn release(&mut self) -> Call {
        if std::mem::take(&mut self.reserved)
            && let Some(first) = self.queue.pop_front()
        {
            return Call::Grant(first);
        }
        self.free += 1;
        self.tell()
    }

    fn tell(&mut self) -> Call {
        match self.queue.front() {
            Some(&first) if self.free > 0 && !self.told => {
                self.told = true;
                Call::Wake(first)
            }
            _ => Call::Nobody,
        }
    }

    /// A waiter was woken and is still in the queue: whether it has a permit now.
    fn look_again(&mut self, me: usize) -> (bool, Call) {
        if self.queue.front() != Some(&me) {
            return (false, Call::Nobody);
        }
        let was_told = std::mem::take(&mut self.told);
        if !self.try_acquire() {
            self.reserved |= was_told;
            return (false, Call::Nobody);
        }
        self.queue.pop_front();
        self.reserved = false;
        (true, self.tell())
    }

    /// A waiter that was granted nothing leaves.
    fn give_up(&mut self, me: usize) -> Call {
        let was_first = self.queue.front() == Some(&me);
        self.queue.retain(|&waiter| waiter != me);
        if !was_first {
            return Call::Nobody;
        }
        self.told = false;
        self.reserved = false;
        self.tell()
    }
}

/// "All stand in one queue, and are let in from its front as soon as the lock allows it: a writer alone, or the readers up to the
/// next writer together. Handed over, not barged."
#[derive(Debug, Default)]
pub(super) struct RwPermits {
    readers: usize,
    writing: bool,
    /// Who waits, and whether to write.
    queue: VecDeque<(usize, bool)>,
}

impl RwPermits {
    pub(super) fn is_held(&self) -> bool {
        self.writing || self.readers > 0
    }

    fn admits(&self, write: bool) -> bool {
        !self.writing && (!write || self.readers == 0)
    }

    fn enter(&mut self, write: bool) {
        match write {
            true => self.writing = true,
            false => self.readers += 1,
        }
    }

    pub(super) fn try_acquire(&mut self, write: bool) -> bool {
        let able = self.queue.is_empty() && self.admits(write);
        if able {
            self.enter(write);
        }
        able
    }

    pub(super) fn queue(&mut self, me: usize, write: bool) {
        self.queue.push_back((me, write));
    }

    /// Lets in those at the front who may; who they are.
    fn serve(&mut self) -> Vec<usize> {
        let mut served = Vec::new();
        while let Some(&(waiter, write)) = self.queue.front() {
            if !self.admits(write) {
                break;
            }
            self.enter(write);
            self.queue.pop_front();
            served.push(waiter);
        }
        served
    }
}

impl Model<'_> {
    pub(super) fn call(&mut self, call: Call) {
        match call {
            Call::Nobody => {}
            Call::Wake(waiter) => self.unpark(waiter),
            Call::Grant(waiter) => self.grant(waiter, DONE),
        }
    }

    /// The permits of a mutex or a semaphore.
    pub(super) fn permits(&mut self, is_mutex: bool, number: usize) -> &mut Permits {
        match is_mutex {
            true => &mut self.mutexes[number].permits,
            false => &mut self.semaphores[number],
        }
    }

    /// `add_permits`.
    pub(super) fn add_permits(&mut self, number: usize, count: usize) {
        if count == 0 {
            return;
        }
        let first = self.semaphores[number].release();
        self.semaphores[number].free += count - 1;
        self.call(first);
        let next = self.semaphores[number].tell();
        self.call(next);
    }

    pub(super) fn look_at_permits(
        &mut self,
        me: usize,
        is_mutex: bool,
        number: usize,
    ) -> Option<u8> {
        if let Some(granted) = self.greenlets[me].granted.take() {
            return Some(granted);
        }
        let (got, call) = self.permits(is_mutex, number).look_again(me);
        self.call(call);
        got.then_some(DONE)
    }

    pub(super) fn give_up_permits(
        &mut self,
        me: usize,
        is_mutex: bool,
        number: usize,
    ) -> Option<u8> {
        if let Some(granted) = self.greenlets[me].granted.take() {
            return Some(granted);
        }
        let call = self.permits(is_mutex, number).give_up(me);
        self.call(call);
        None
    }

    pub(super) fn give_up_rwlock(&mut self, me: usize, number: usize) -> Option<u8> {
        let granted = self.greenlets[me].granted.take();
        let permits = &mut self.rwlocks[number].permits;
        permits.queue.retain(|&(waiter, _)| waiter != me);
        let served = permits.serve();
        served
            .into_iter()
            .for_each(|waiter| self.grant(waiter, DONE));
        granted
    }

    /// Drops a guard or a permit.
    pub(super) fn give_back(&mut self, held: Held, poisons: bool) {
        match held {
            Held::Mutex(number) => {
                self.mutexes[number].poisoned |= poisons;
                let call = self.mutexes[number].permits.release();
                self.call(call);
            }
            Held::Permit(number) => {
                let call = self.semaphores[number].release();
                self.call(call);
            }
            Held::Read(number) | Held::Write(number) => {
                let write = held == Held::Write(number);
                let lock = &mut self.rwlocks[number];
                lock.poisoned |= poisons && write;
                match write {
                    true => lock.permits.writing = false,
                    false => lock.permits.readers -= 1,
                }
                let served = lock.permits.serve();
                served
                    .into_iter()
                    .for_each(|waiter| self.grant(waiter, DONE));
            }
        }
    }
}
