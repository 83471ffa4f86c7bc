//! The twenty behaviours that a porter from gevent notices first, each in a test of its name, and the
//! close seconds (`s…`).
//!
//! Where rustlet chose otherwise, the test pins that choice; PORTING.md has the reason, and a table of
//! these tests, which `gevent_table.rs` compares with these files.
//!
//! These are the shortest statements of each; the full tests are in the files by subject.

#[path = "behaviours/cheat_sheet.rs"]
mod cheat_sheet;
#[path = "behaviours/ending.rs"]
mod ending;
#[path = "behaviours/running.rs"]
mod running;
#[path = "behaviours/serving.rs"]
mod serving;
#[path = "behaviours/sharing.rs"]
mod sharing;
mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(5);

/// What happened, in order, told by several greenlets of one thread.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, what: impl ToString) {
        self.0.borrow_mut().push(what.to_string());
    }

    /// All of it so far, with spaces between.
    fn text(&self) -> String {
        self.0.borrow().join(" ")
    }
}
