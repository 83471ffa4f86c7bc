//! The report of a deadlock: who waits for what, when nothing can ever wake them.

use core::fmt;
use std::sync::Arc;

use super::waits::{Target, Waiting};
use crate::sys::ticks;

/// Greenlets listed by name in a report; the rest are counted.
const LISTED: usize = 20;

/// Nothing can ever wake the caller: every greenlet of its thread waits, and no timer, descriptor or other
/// thread can end any of these waits. gevent calls this `LoopExit`.
///
/// Its text lists the blocked greenlets and what each waits for.
///
/// ```
/// let stuck = rustlet::Builder::new()
///     .name("stuck")
///     .spawn(|| rustlet::sleep(std::time::Duration::MAX))
///     .unwrap();
/// let error = stuck.join().unwrap_err();
/// assert!(error.is_deadlock());
/// assert!(error.to_string().contains("greenlet 'stuck'"));
/// ```
#[derive(Clone)]
pub struct Deadlock {
    /// Behind a pointer: a wait that succeeds should not have to copy room for this. Shared: a join of many greenlets
    /// gives each the same.
    report: Arc<Report>,
}

struct Report {
    caller: Waiting,
    blocked: Vec<Waiting>,
    more: usize,
    /// When it was made, in ticks.
    made: u64,
}

impl Deadlock {
    pub(super) fn new(caller: Waiting) -> Self {
        tracing::error!(target: "rustlet", caller_waits_for = %caller.what, "deadlock");
        Deadlock {
            report: Arc::new(Report {
                caller,
                blocked: Vec::new(),
                more: 0,
                made: ticks::now(),
            }),
        }
    }

    pub(super) fn add(&mut self, waiting: impl FnOnce() -> Waiting) {
        let report = Arc::get_mut(&mut self.report).expect("it is being made");
        if report.blocked.len() == LISTED {
            report.more += 1;
        } else {
            report.blocked.push(waiting());
        }
    }

    /// How many greenlets of this thread are blocked.
    pub fn blocked(&self) -> usize {
        self.report.blocked.len() + self.report.more
    }
}

impl Report {
    /// Who holds what `waiting` waits for, as far as this report knows.
    fn write_holder(&self, f: &mut fmt::Formatter<'_>, waiting: &Waiting) -> fmt::Result {
        let Some(target @ Target::Holder(_)) = waiting.target else {
            return Ok(()); // a join says itself whose end
        };
        let mut known = self.blocked.iter().chain([&self.caller]);
        f.write_str(if waiting.certain {
            ", held by "
        } else {
            ", last used by "
        })?;
        match known.find(|other| Target::Holder(other.key) == target) {
            Some(other) => write!(f, "{}", Name(other.who.id, other.who.name.as_deref())),
            None => f.write_str("code that is not blocked here"),
        }
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &*self.report;
        write!(f, "deadlock: this code waits for {}", report.caller.what)?;
        report.write_holder(f, &report.caller)?;
        write!(
            f,
            ", and nothing can ever wake it; {} greenlets are blocked",
            self.blocked()
        )?;
        for (index, blocked) in report.blocked.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(f, "{} waits for {}", blocked.who, blocked.what)?;
            report.write_holder(f, blocked)?;
            let waited = ticks::to_duration(report.made.saturating_sub(blocked.since));
            write!(f, ", for {waited:.1?}")?;
        }
        if report.more > 0 {
            write!(f, "; and {} more", report.more)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Deadlock {}

/// How a greenlet is called in messages.
pub(super) struct Name<'a>(pub(super) u64, pub(super) Option<&'a str>);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (0, _) => f.write_str("the thread's own code"),
            (id, Some(name)) => write!(f, "greenlet '{name}' (#{id})"),
            (id, None) => write!(f, "greenlet #{id}"),
        }
    }
}
