//! Time, tokens, turns, and waits inside of other stacks.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustlet::{Handle, raw};

use super::super::HOUR;
use super::{Point, Scene};
use crate::workload::Failure;

pub(super) const ALL: &[Point] = &[
    Point::cheap("sleep", || Scene::endless(|| rustlet::sleep(HOUR))),
    Point::cheap("sleep_until", || {
        Scene::endless(|| rustlet::sleep_until(Instant::now() + HOUR))
    }),
    Point::cheap("park", park),
    Point::cheap("park_timeout", || {
        Scene::endless(|| rustlet::park_timeout(HOUR))
    }),
    Point::cheap("yield_now", yields),
    Point::cheap("a timeout", || {
        let hour = || rustlet::timeout(HOUR, || rustlet::sleep(HOUR));
        Scene::endless(move || hour().expect("an hour is not over"))
    }),
    Point::cheap("a future", || {
        Scene::endless(|| rustlet::block_on(std::future::pending()))
    }),
    Point::cheap("inside of a raw greenlet", || {
        Scene::endless(|| raw::Greenlet::new(|()| rustlet::sleep(HOUR)).switch(()))
    }),
    Point::cheap("inside of a generator", || {
        let never = |y: &raw::Yielder<u8>| {
            y.yield_(1);
            rustlet::sleep(HOUR);
        };
        Scene::endless(move || assert_eq!(raw::generator(never).count(), 1))
    }),
    Point::cheap("inside of two raw greenlets", || {
        let inner = || {
            raw::Greenlet::new(|n: u64| {
                rustlet::sleep(HOUR);
                n
            })
        };
        Scene::endless(move || {
            let outer = raw::Greenlet::new(move |n: u8| inner().switch(n.into()) as u8);
            assert_eq!(outer.switch(7), 7);
        })
    }),
];

fn park() -> Result<Scene, Failure> {
    let released = Rc::new(AtomicBool::new(false));
    let flag = released.clone();
    let mut scene = Scene::endless(move || {
        // Not so long as all of a thread's greenlets are parked: then `park` is a deadlock on the thread's stack alone.
        while !released.load(Ordering::Relaxed) {
            rustlet::park().expect("a greenlet can park");
        }
    })?;
    scene.release = Some(Box::new(move |victim: &Handle| {
        flag.store(true, Ordering::Relaxed);
        victim.unpark();
        1
    }));
    Ok(scene)
}

fn yields() -> Result<Scene, Failure> {
    Scene::given(
        AtomicBool::new(false),
        |flag| {
            while !flag.load(Ordering::Relaxed) {
                rustlet::yield_now();
            }
            0
        },
        |flag| {
            flag.store(true, Ordering::Relaxed);
            1
        },
        |_, _, _| true,
    )
}
