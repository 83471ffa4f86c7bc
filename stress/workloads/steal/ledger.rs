//! Who was spawned, who ran, who was dropped: an entry for each closure, and the check of all in the end.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustlet::worker_index;

use crate::workload::{Context, Failure, ensure};

/// How long a closure may live after everything was joined or ended.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Where a closure has to run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Place {
    /// On a worker of a runtime with so many.
    Anywhere(usize),
    /// On this worker.
    Worker(usize),
    /// On a thread that is no worker.
    NoWorker,
}

#[derive(Debug)]
struct Entry {
    what: &'static str,
    place: Place,
    ran: AtomicU8,
    dropped: AtomicU8,
    /// It was killed, refused or cancelled: it need not have run.
    excused: AtomicBool,
}

/// All closures of a step.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Mutex<Vec<Arc<Entry>>>,
    dropped: AtomicUsize,
}

/// Goes along in a closure or a future, and notes what becomes of it.
#[derive(Debug)]
pub(super) struct Ticket {
    entry: Arc<Entry>,
    ledger: Arc<Ledger>,
}

/// Says of a closure that it need not run.
#[derive(Clone, Debug)]
pub(super) struct Excuse(Arc<Entry>);

impl Ledger {
    pub(super) fn ticket(self: &Arc<Ledger>, what: &'static str, place: Place) -> Ticket {
        let entry = Arc::new(Entry {
            what,
            place,
            ran: AtomicU8::new(0),
            dropped: AtomicU8::new(0),
            excused: AtomicBool::new(false),
        });
        self.entries.lock().unwrap().push(entry.clone());
        let ledger = self.clone();
        Ticket { entry, ledger }
    }

    /// Waits until every closure has been dropped, and checks what became of each. `cut` says that the runtime was ended
    /// before its work was: then what has not run is as good as killed.
    pub(super) fn settle(&self, context: &Context, cut: bool) -> Result<usize, Failure> {
        let patience = Instant::now() + PATIENCE * context.slowdown;
        let all = loop {
            // A closure that is dropped may have spawned before.
            let dropped = self.dropped.load(Ordering::SeqCst);
            let all = self.entries.lock().unwrap().len();
            if dropped >= all || Instant::now() > patience {
                break all;
            }
            rustlet::sleep(Duration::from_micros(100));
        };
        for (nth, entry) in self.entries.lock().unwrap().iter().enumerate() {
            let what = entry.what;
            let ran = entry.ran.load(Ordering::SeqCst);
            let dropped = entry.dropped.load(Ordering::SeqCst);
            ensure!(
                dropped == 1,
                "{what} ({nth} of {all}) was spawned, ran {ran} times, and was dropped {dropped} times"
            );
            let excused = cut || entry.excused.load(Ordering::SeqCst);
            ensure!(
                ran == 1 || (ran == 0 && excused),
                "{what} ({nth} of {all}) ran {ran} times; it was not killed, and the runtime {}",
                if cut { "was cut short" } else { "drained" }
            );
        }
        Ok(all)
    }
}

impl Ticket {
    /// The closure runs.
    pub(super) fn run(&self) {
        let Entry { what, place, .. } = *self.entry;
        let before = self.entry.ran.fetch_add(1, Ordering::SeqCst);
        assert_eq!(before, 0, "{what} runs for the second time");
        let here = worker_index();
        let right = match place {
            Place::Anywhere(workers) => here.is_some_and(|here| here < workers),
            Place::Worker(nth) => here == Some(nth),
            Place::NoWorker => here.is_none(),
        };
        assert!(
            right,
            "{what} runs on worker {here:?}, and has to on {place:?}"
        );
    }

    pub(super) fn excuse(&self) -> Excuse {
        Excuse(self.entry.clone())
    }
}

impl Excuse {
    pub(super) fn give(&self) {
        self.0.excused.store(true, Ordering::SeqCst);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.entry.dropped.fetch_add(1, Ordering::SeqCst);
        self.ledger.dropped.fetch_add(1, Ordering::SeqCst);
    }
}
