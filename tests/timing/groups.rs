//! What the harness is run on: groups and pools.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

use rustlet::{Greenlet, Group, Pool, park, sleep, yield_now};

use super::{SHORT, Waited};

/// Spawning what stays, into a pool for one.
pub(crate) struct PoolSpawn(Pool, RefCell<VecDeque<Greenlet<()>>>);

impl PoolSpawn {
    fn stay() {
        park().unwrap();
        unreachable!("nobody unparks it");
    }
}

impl Waited for PoolSpawn {
    const USED_UP: bool = true;
    fn new() -> Self {
        let this = PoolSpawn(Pool::new(1), RefCell::default());
        this.wait();
        this
    }
    fn wait(&self) {
        let greenlet = self.0.spawn(PoolSpawn::stay);
        self.1.borrow_mut().push_back(greenlet);
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        let greenlet = self.0.spawn_timeout(limit, PoolSpawn::stay);
        let is_spawned = greenlet.is_ok();
        self.1.borrow_mut().extend(greenlet);
        is_spawned
    }
    fn grant(&self) {
        let oldest = self.1.borrow_mut().pop_front();
        oldest.expect("one stays").kill().unwrap();
    }
}

/// A group with one member, which ends when it is told.
struct Told(Group, Rc<Cell<bool>>);

impl Told {
    fn new(pause: fn()) -> Self {
        let (group, told) = (Group::new(), Rc::new(Cell::new(false)));
        let heard = told.clone();
        drop(group.spawn_local(move || {
            while !heard.get() {
                pause();
            }
        }));
        yield_now();
        Told(group, told)
    }

    fn end(&self) {
        self.1.set(true);
        while !self.0.is_empty() {
            yield_now();
        }
    }
}

pub(crate) struct GroupJoin(Told);

impl Waited for GroupJoin {
    const USED_UP: bool = false;
    fn new() -> Self {
        GroupJoin(Told::new(|| sleep(SHORT / 5)))
    }
    fn wait(&self) {
        self.0.0.join();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.0.join_timeout(limit)
    }
    fn grant(&self) {
        self.0.end();
    }
}

/// The wait for a member that does not give in to a kill before it is told.
pub(crate) struct GroupKill(Told);

impl Waited for GroupKill {
    const USED_UP: bool = false;
    fn new() -> Self {
        GroupKill(Told::new(|| drop(catch_unwind(|| sleep(SHORT / 5)))))
    }
    fn wait(&self) {
        self.0.0.kill();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.0.kill_timeout(limit)
    }
    fn grant(&self) {
        self.0.end();
    }
}

pub(crate) struct PoolJoin(PoolSpawn);

impl Waited for PoolJoin {
    const USED_UP: bool = false;
    fn new() -> Self {
        PoolJoin(PoolSpawn::new())
    }
    fn wait(&self) {
        self.0.0.join();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.0.join_timeout(limit)
    }
    fn grant(&self) {
        self.0.grant();
    }
}

pub(crate) struct PoolWaitAvailable(PoolSpawn);

impl Waited for PoolWaitAvailable {
    const USED_UP: bool = false;
    fn new() -> Self {
        PoolWaitAvailable(PoolSpawn::new())
    }
    fn wait(&self) {
        self.0.0.wait_available();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.0.wait_available_timeout(limit)
    }
    fn grant(&self) {
        self.0.grant();
    }
}
