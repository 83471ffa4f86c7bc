//! What the harness is run on: the ends of greenlets, and waiting for one of many.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

use rustlet::sync::Event;
use rustlet::{Greenlet, iwait, park, sleep, spawn_local, yield_now};

use super::{SHORT, Waited};

/// A greenlet that ends when it is told.
struct Target {
    told: Rc<Cell<bool>>,
    greenlet: Greenlet<()>,
}

impl Target {
    fn new(pause: fn()) -> Self {
        let told = Rc::new(Cell::new(false));
        let heard = told.clone();
        let greenlet = spawn_local(move || {
            while !heard.get() {
                pause();
            }
        });
        yield_now();
        Target { told, greenlet }
    }

    fn end(&self) {
        self.told.set(true);
        self.greenlet.handle().unpark();
        self.greenlet.wait().unwrap();
    }
}

pub(crate) struct GreenletWait(Target);

impl Waited for GreenletWait {
    const USED_UP: bool = false;
    fn new() -> Self {
        GreenletWait(Target::new(|| park().unwrap()))
    }
    fn wait(&self) {
        self.0.greenlet.wait().unwrap();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.greenlet.wait_timeout(limit)
    }
    fn grant(&self) {
        self.0.end();
    }
}

/// The wait for the end of one that does not give in to a kill before it is told.
pub(crate) struct GreenletKill(Target);

impl Waited for GreenletKill {
    const USED_UP: bool = false;
    fn new() -> Self {
        GreenletKill(Target::new(|| drop(catch_unwind(|| sleep(SHORT / 5)))))
    }
    fn wait(&self) {
        self.0.greenlet.kill().unwrap();
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        self.0.greenlet.kill_timeout(limit)
    }
    fn grant(&self) {
        self.0.end();
    }
}

/// One of three events.
pub(crate) struct OneOfEvents([Event; 3]);

impl Waited for OneOfEvents {
    const USED_UP: bool = false;
    fn new() -> Self {
        OneOfEvents([const { Event::new() }; 3])
    }
    fn wait(&self) {
        iwait(&self.0).next().expect("there is no limit");
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        rustlet::wait(&self.0, Some(limit), Some(1)).len() == 1
    }
    fn grant(&self) {
        self.0[1].set();
    }
}

/// All of three greenlets, of which one has not ended.
pub(crate) struct AllOfGreenlets([Target; 3]);

impl Waited for AllOfGreenlets {
    const USED_UP: bool = false;
    fn new() -> Self {
        let targets = [(); 3].map(|()| Target::new(|| park().unwrap()));
        targets[0].end();
        targets[2].end();
        AllOfGreenlets(targets)
    }
    fn wait(&self) {
        let greenlets = self.0.iter().map(|target| &target.greenlet);
        assert_eq!(iwait(greenlets).map(|_| 1).sum::<u8>(), 3);
    }
    fn wait_timeout(&self, limit: Duration) -> bool {
        let greenlets = self.0.iter().map(|target| &target.greenlet);
        rustlet::wait(greenlets, Some(limit), None).len() == 3
    }
    fn grant(&self) {
        self.0[1].end();
    }
}
