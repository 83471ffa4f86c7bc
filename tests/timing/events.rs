//! What the harness is run on: events and ends.

use std::rc::Rc;
use std::time::Duration;

use rustlet::sync::{AsyncResult, Barrier, Event, WaitGroup};
use rustlet::{spawn_local, yield_now};

use super::Waited;

pub(crate) struct EventWait(Event);

impl Waited for EventWait {
    const USED_UP: bool = false;
    fn new() -> Self {
        EventWait(Event::new())
    }
    fn wait(&self) {
        self.0.wait();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.wait_timeout(limit)
    }
    fn grant(&self) {
        self.0.set();
    }
}

pub(crate) struct AsyncResultGet(AsyncResult<u8>);

impl Waited for AsyncResultGet {
    const USED_UP: bool = false;
    fn new() -> Self {
        AsyncResultGet(AsyncResult::new())
    }
    fn wait(&self) {
        assert_eq!(self.0.get(), Ok(5));
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        let value = self.0.get_timeout(limit);
        value.is_some_and(|value| value == Ok(5))
    }
    fn grant(&self) {
        self.0.set(5);
    }
}

pub(crate) struct AsyncResultWait(AsyncResult<u8>);

impl Waited for AsyncResultWait {
    const USED_UP: bool = false;
    fn new() -> Self {
        AsyncResultWait(AsyncResult::new())
    }
    fn wait(&self) {
        self.0.wait();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.wait_timeout(limit)
    }
    fn grant(&self) {
        self.0.set(5);
    }
}

pub(crate) struct WaitGroupWait(WaitGroup);

impl Waited for WaitGroupWait {
    const USED_UP: bool = false;
    fn new() -> Self {
        let group = WaitGroup::new();
        group.add(1);
        WaitGroupWait(group)
    }
    fn wait(&self) {
        self.0.wait();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.wait_timeout(limit)
    }
    fn grant(&self) {
        self.0.done();
    }
}

/// Of two parties. For one waiter at a time, as two would let each other go.
pub(crate) struct BarrierWait(Rc<Barrier>);

impl Waited for BarrierWait {
    const USED_UP: bool = true;
    fn new() -> Self {
        BarrierWait(Rc::new(Barrier::new(2)))
    }
    fn wait(&self) {
        self.0.wait();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.wait_timeout(limit).is_some()
    }
    fn grant(&self) {
        let barrier = self.0.clone();
        drop(spawn_local(move || barrier.wait()));
        yield_now();
    }
}
