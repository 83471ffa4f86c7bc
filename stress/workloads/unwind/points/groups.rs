//! Waits for other greenlets: joins, scopes, groups, pools.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rustlet::sync::Event;
use rustlet::{Group, Pool, TaskGroup};

use super::{Keeper, Point, Scene};
use crate::workload::{Failure, ensure};

pub(super) const ALL: &[Point] = &[
    Point::cheap("a join", || {
        kept(|keeper| keeper.greenlet.wait().expect("a greenlet can wait"))
    }),
    Point::cheap("a join by handle", || {
        kept(|keeper| {
            keeper
                .greenlet
                .handle()
                .wait()
                .expect("a greenlet can wait")
        })
    }),
    Point::cheap("wait_timeout", || {
        kept(|keeper| assert!(keeper.greenlet.wait_timeout(super::super::HOUR)))
    }),
    Point::cheap("iwait", || {
        kept(|keeper| assert_eq!(rustlet::iwait([&*keeper.until]).count(), 1))
    }),
    Point::cheap("rustlet::select! of a join", || {
        kept(|keeper| rustlet::select! { join(keeper.greenlet.handle()) => () })
    }),
    Point::cheap("joinall", || {
        // Takes its greenlets, so the second wait of an insisting victim is an ordinary one.
        Scene::given(
            (Event::new(), Family::default(), RefCell::new(None)),
            |(until, family, handle)| {
                if handle.borrow().is_none() {
                    let until = Arc::new(Event::new());
                    let (told, kin) = (until.clone(), family.child());
                    let child = rustlet::spawn_local(move || {
                        let _kin = kin;
                        told.wait();
                    });
                    *handle.borrow_mut() = Some((until, child.handle()));
                    rustlet::joinall([child]);
                } else {
                    until.wait();
                }
                0
            },
            |(until, _, handle)| {
                until.set();
                handle.borrow().iter().for_each(|(until, _)| until.set());
                handle.borrow().iter().len() as u64
            },
            |(_, family, handle), _, _| {
                if let Some((until, child)) = handle.take() {
                    until.set();
                    child.wait().expect("a greenlet can wait");
                }
                family.is_gone()
            },
        )
    }),
    Point::cheap("scope", || {
        Scene::given(
            (Event::new(), Family::default()),
            |(until, family)| {
                rustlet::scope(|scope| {
                    for _ in 0..3 {
                        let kin = family.child();
                        scope.spawn_local(move || {
                            let _kin = kin;
                            until.wait();
                        });
                    }
                });
                0
            },
            set,
            // A scope that is left has no greenlets, however it is left.
            |(_, family), _, _| family.is_gone(),
        )
    }),
    Point::cheap("TaskGroup", || {
        Scene::given(
            (Event::new(), Family::default()),
            |(until, family)| {
                let ended = TaskGroup::run(|group| {
                    for _ in 0..3 {
                        let kin = family.child();
                        group.spawn_local(move || {
                            let _kin = kin;
                            until.wait();
                            Ok::<(), ()>(())
                        });
                    }
                    Ok(())
                });
                assert_eq!(ended, Ok(()));
                0
            },
            set,
            |(_, family), _, _| family.is_gone(),
        )
    }),
    Point::cheap("Group::join", || {
        let group = Group::new();
        let (until, family) = (Arc::new(Event::new()), Family::default());
        let (told, kin) = (until.clone(), family.child());
        group.spawn_local(move || {
            let _kin = kin;
            told.wait();
        });
        Scene::given(
            (until, family, group),
            |(_, _, group)| {
                group.join();
                0
            },
            |(until, _, _)| {
                until.set();
                1
            },
            |(until, family, group), _, _| {
                until.set();
                group.join();
                group.is_empty() && family.is_gone()
            },
        )
    }),
    Point::cheap("Pool::spawn into a full pool", || {
        let pool = Pool::new(1);
        let until = Arc::new(Event::new());
        let told = until.clone();
        pool.spawn_local(move || told.wait());
        Scene::given(
            (until, pool),
            |(_, pool)| {
                let job = pool.spawn_local(|| ());
                // A job that has a place counts as got, whether or not it ends under our eyes.
                drop(job);
                0
            },
            |(until, _)| {
                until.set();
                1
            },
            |(until, pool), _, _| {
                until.set();
                pool.join();
                pool.free_count() == 1 && pool.is_empty()
            },
        )
    }),
];

/// A wait for a keeper.
fn kept(wait: fn(&Keeper)) -> Result<Scene, Failure> {
    let family = Family::default();
    let kin = family.child();
    let keeper = Rc::new(Keeper::new(move |until| {
        let _kin = kin;
        until.wait();
    }));
    let (waited, opener) = (keeper.clone(), keeper.until.clone());
    Ok(Scene {
        wait: Rc::new(move || {
            wait(&waited);
            0
        }),
        release: Some(Box::new(move |_| {
            opener.set();
            1
        })),
        intact: Box::new(move |_, _| {
            keeper.until.set();
            keeper.greenlet.wait()?;
            ensure!(
                keeper.greenlet.is_successful(),
                "what was joined was hit itself"
            );
            ensure!(family.is_gone(), "what was joined left something behind");
            Ok(())
        }),
    })
}

fn set((until, _): &(Event, Family)) -> u64 {
    until.set();
    1
}

/// Counts greenlets by what their closures own.
#[derive(Default)]
struct Family(Rc<()>);

impl Family {
    fn child(&self) -> Rc<()> {
        self.0.clone()
    }

    fn is_gone(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}
