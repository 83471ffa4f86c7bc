//! A task that belongs to no hub until a worker starts it: who wakes or kills it meanwhile is heard.

use loom::thread;
use std::sync::Arc;

use super::inbox_model::{Deed, shared};
use super::task::TaskRef;
use crate::models::{Row, check, check_at_most};

pub(crate) const MODELS: &[Row] = &[
    (
        "settle wake",
        "a waker finds either no hub, and its token is there at the start, or the hub",
        || check(|| settling(false, 1)),
    ),
    ("settle wake of two", "the same with two of them", || {
        check_at_most(2, || settling(false, 2))
    }),
    (
        "settle kill",
        "and so does a killer, beside a waker",
        || check_at_most(3, || settling(true, 1)),
    ),
];

/// The hub settles and starts a task, which waits for what the `wakers` do, and to be killed. As in `Hub::adopt` and `Hub::start`.
fn settling(killed: bool, wakers: usize) {
    let shared = shared();
    let task = TaskRef::homeless();
    let deeds: Arc<[Deed; 2]> = Arc::default();
    let mut others: Vec<_> = (0..wakers)
        .map(|number| {
            let (task, deeds) = (task.clone(), deeds.clone());
            thread::spawn(move || {
                deeds[number].does();
                task.send();
            })
        })
        .collect();
    if killed {
        let task = task.clone();
        others.push(thread::spawn(move || task.kill()));
    }
    task.settle(shared);
    let (mut dying, mut awake) = task.begins();
    // A token may be left over: then the wait is entered once more.
    loop {
        if awake && killed {
            dying |= task.is_killed();
        }
        let all = deeds[..wakers].iter().all(Deed::is_done);
        if awake && all && dying == killed {
            break;
        }
        awake = false;
        let mut wake = |_| awake = true;
        if !shared.is_empty() {
            shared.take(&mut wake);
        } else if shared.prepare_sleep() {
            shared.wait_for_bell(None); // sleeps
            shared.awake();
            shared.take(&mut wake);
        }
    }
    for other in others {
        other.join().expect("it wakes");
    }
    shared.take(drop);
}
