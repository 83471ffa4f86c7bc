//! Twin of `timer`: a deadline that comes when the model says so.

use crate::scheduler::{Deadlock, park};
use crate::sys::clock::Nanos;

/// The running thread's deadline: [`park::Parker::time_out`] makes it come.
#[derive(Debug)]
pub(crate) struct Deadline;

impl Deadline {
    pub(crate) fn new(_: Option<Nanos>) -> Self {
        Deadline
    }

    pub(crate) fn has_come(&self) -> bool {
        park::current().has_timed_out()
    }
}

pub(crate) fn no_deadlock(report: Deadlock) -> ! {
    unreachable!("loom finds them itself: {report}")
}
