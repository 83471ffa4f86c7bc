//! What happened: the log that running a program gives, and that its model predicts.

use std::fmt;

use super::program::Program;

/// The thread's own code, which spawns the first greenlets and, in the end, kills those that wait for ever.
pub(crate) const MAIN: usize = usize::MAX;

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The greenlet, or [`MAIN`].
    pub(crate) who: usize,
    /// Which operation of it has ended; 0 for what is none.
    pub(crate) line: usize,
    pub(crate) what: What,
}

/// What became of an operation, or of a greenlet, or of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    // ---------------------------------------------------------------- of an operation
    Done,
    /// With this number: an item, or how often a lock was taken.
    Value(u64),
    /// As [`What::Value`], of a lock that is poisoned.
    Poisoned(u64),
    /// It could not be done at once.
    NotNow,
    TimedOut,
    /// The queue is shut down.
    Closed,
    /// There was nothing to do it with: no guard, no such greenlet yet, or not any more.
    Nothing,
    /// A select: which arm, and what became of that.
    Chose(usize, Chosen),
    /// A block, or a greenlet that was joined, was unwound by this.
    Unwound(Cause),

    // ---------------------------------------------------------------- of a greenlet
    Began,
    /// It will never run: it was killed or thrown at before.
    NeverRan,
    Returned,

    // ---------------------------------------------------------------- by the thread's own code
    /// This greenlet waits, and nothing will ever wake it.
    Waits(usize),
    /// So it is killed.
    Kills(usize),
    /// What is left of an object in the end: its kind, its number, what there is of it.
    Left(&'static str, usize, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    Done,
    Value(u64),
    Closed,
}

/// Why something was unwound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Killed,
    /// By the limit of a block around it; for the block itself, by its own.
    Limit,
    Thrown(u8),
    Panicked(u8),
    /// By something that no program does: the library's own panic.
    Foreign,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Done => f.write_str("done"),
            What::Value(value) => write!(f, "{value}"),
            What::Poisoned(value) => write!(f, "{value}, poisoned"),
            What::NotNow => f.write_str("not now"),
            What::TimedOut => f.write_str("timed out"),
            What::Closed => f.write_str("closed"),
            What::Nothing => f.write_str("nothing to do it with"),
            What::Chose(arm, chosen) => {
                write!(f, "arm {arm}: ")?;
                match chosen {
                    Chosen::Done => f.write_str("done"),
                    Chosen::Value(value) => write!(f, "{value}"),
                    Chosen::Closed => f.write_str("closed"),
                }
            }
            What::Unwound(cause) => write!(f, "{cause}"),
            What::Began => f.write_str("begins"),
            What::NeverRan => f.write_str("never runs"),
            What::Returned => f.write_str("returns"),
            What::Waits(greenlet) => write!(f, "g{greenlet} waits for ever"),
            What::Kills(greenlet) => write!(f, "kills g{greenlet}"),
            What::Left(kind, number, value) => write!(f, "left of {kind} {number}: {value}"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Killed => f.write_str("unwound by a kill"),
            Cause::Limit => f.write_str("unwound by a limit"),
            Cause::Thrown(what) => write!(f, "unwound by throw {what}"),
            Cause::Panicked(what) => write!(f, "unwound by panic {what}"),
            Cause::Foreign => f.write_str("unwound by a panic of the library"),
        }
    }
}

impl Event {
    /// The event in the words of its program.
    pub(crate) fn describe(&self, program: &Program) -> String {
        let what = self.what;
        match (self.who, self.line) {
            (MAIN, _) => format!("the thread: {what}"),
            (who, 0) => format!("g{who} {what}"),
            (who, line) => match program.line(who, line) {
                Some(op) => format!("g{who} line {line}, {op}: {what}"),
                None => format!("g{who} line {line}: {what}"),
            },
        }
    }
}
