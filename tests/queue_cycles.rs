//! Greenlets that wait for each other at queues are a probable deadlock, for whoever looks; one that has only itself to
//! blame is none.

mod support;

use std::sync::Arc;

use rustlet::inspect::{Cycle, deadlocks};
use rustlet::queue::Queue;
use rustlet::{Builder, Greenlet, spawn, yield_now};

fn named<T: Send + 'static>(name: &str, f: impl FnOnce() -> T + Send + 'static) -> Greenlet<T> {
    Builder::new().name(name).spawn(f).unwrap()
}

fn names(cycle: &Cycle) -> Vec<&str> {
    let members = cycle.members().iter();
    let mut names: Vec<_> = members.filter_map(|member| member.name()).collect();
    names.sort_unstable();
    names
}

/// The cycles in which one of `ids` takes part: other tests of this process have cycles too.
fn deadlocks_of(ids: &[u64]) -> Vec<Cycle> {
    let mut all = deadlocks();
    all.retain(|cycle| {
        cycle
            .members()
            .iter()
            .any(|member| ids.contains(&member.id()))
    });
    all
}

#[test]
fn each_waits_for_what_the_other_put_last() {
    let _watchdog = support::watchdog();
    let (to_a, to_b) = (Arc::new(Queue::new()), Arc::new(Queue::new()));
    let b = named("b", {
        let (to_a, to_b) = (to_a.clone(), to_b.clone());
        move || {
            while to_b.get().is_ok() {
                to_a.put(()).unwrap();
            }
        }
    });
    let a = named("a", {
        let (to_a, to_b) = (to_a.clone(), to_b.clone());
        move || {
            to_b.put(()).unwrap();
            to_a.get().unwrap();
            to_a.get() // and b waits for an answer to this
        }
    });
    (0..5).for_each(|_| yield_now());
    let ids = [a.id(), b.id()];
    let found = deadlocks_of(&ids);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(names(&found[0]), ["a", "b"]);
    assert!(!found[0].is_certain());
    assert_eq!(found[0].members()[0].waits_for(), "an item of a queue");
    to_a.shutdown();
    to_b.shutdown();
    assert!(a.join().unwrap().is_err());
    b.join().unwrap();
    assert!(deadlocks_of(&ids).is_empty());
}

#[test]
fn nobody_waits_for_itself() {
    let _watchdog = support::watchdog();
    let queue = Arc::new(Queue::new());
    let first = spawn({
        let queue = queue.clone();
        move || queue.get()
    });
    yield_now();
    // It serves the other, and would be the last who put when it waits itself.
    let second = spawn({
        let queue = queue.clone();
        move || {
            queue.put(1).unwrap();
            queue.get()
        }
    });
    yield_now();
    assert_eq!(first.join().unwrap(), Ok(1));
    assert!(!second.is_finished());
    assert!(deadlocks_of(&[second.id()]).is_empty());
    queue.put(2).unwrap();
    assert_eq!(second.join().unwrap(), Ok(2));
}
