//! The report of a deadlock: who waits for what, when nothing can ever wake them.

use core::fmt;

use super::park::WaitReason;
use super::task::TaskRef;

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
pub struct Deadlock {
    /// Boxed: a wait that succeeds should not have to copy room for this.
    report: Box<Report>,
}

struct Report {
    caller_waits_for: String,
    blocked: Vec<Blocked>,
    more: usize,
}

struct Blocked {
    id: u64,
    name: Option<Box<str>>,
    waits_for: String,
}

impl Deadlock {
    pub(super) fn new(caller_waits_for: &WaitReason) -> Self {
        tracing::error!(target: "rustlet", caller_waits_for = %caller_waits_for, "deadlock");
        Deadlock {
            report: Box::new(Report {
                caller_waits_for: caller_waits_for.to_string(),
                blocked: Vec::new(),
                more: 0,
            }),
        }
    }

    pub(super) fn add(&mut self, task: &TaskRef, reason: &WaitReason) {
        let report = &mut *self.report;
        if report.blocked.len() == LISTED {
            report.more += 1;
            return;
        }
        report.blocked.push(Blocked {
            id: task.id,
            name: task.name().map(Into::into),
            waits_for: reason.to_string(),
        });
    }

    /// How many greenlets of this thread are blocked.
    pub fn blocked(&self) -> usize {
        self.report.blocked.len() + self.report.more
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "deadlock: this code waits for {}, and nothing can ever wake it; {} greenlets are blocked",
            self.report.caller_waits_for,
            self.blocked()
        )?;
        for (index, blocked) in self.report.blocked.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            write!(
                f,
                "{} waits for {}",
                Name(blocked.id, blocked.name.as_deref()),
                blocked.waits_for
            )?;
        }
        if self.report.more > 0 {
            write!(f, "; and {} more", self.report.more)?;
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
