//! What a hub counts, for anybody to read: numbers with one writer, the hub's thread ([`Count`]).

pub(crate) use crate::util::count::Count;

/// A hub's numbers. Times are in ticks of the cycle counter.
#[derive(Debug, Default)]
#[repr(align(128))] // Readers do not disturb what lies beside.
pub(crate) struct Counters {
    /// Greenlets resumed, first runs included, and returns to the thread's own code.
    pub(crate) switches: Count,
    /// Greenlets spawned by code of this hub.
    pub(crate) spawned: Count,
    /// Of these, the ones that poll futures and live as long as the hub.
    pub(crate) runners: Count,
    /// Greenlets that ended here.
    pub(crate) finished: Count,
    /// Greenlets taken from another worker.
    pub(crate) stolen: Count,
    /// Greenlets that are here: started and not ended, or local and not started.
    pub(crate) live: Count,
    /// Those of them that can run, as of the last look at the clock.
    pub(crate) runnable: Count,
    /// Times that the kernel was asked for events.
    pub(crate) polls: Count,
    /// Events of descriptors that it gave.
    pub(crate) events: Count,
    /// Timers that came due.
    pub(crate) timers: Count,
    /// Wake-ups and greenlets that came from other threads.
    pub(crate) arrived: Count,
    /// Turns, and runs of what was fresh: stands still while a greenlet does not give the thread back.
    pub(crate) turns: Count,
    /// Time asleep.
    pub(crate) idle: Count,
    /// Since when it sleeps; 0 while it does not.
    pub(crate) asleep_since: Count,
    /// The longest time between two looks at the clock while it ran greenlets: no run without a switch was longer.
    pub(crate) longest: Count,
    /// When it last looked at the clock in the course of running greenlets, or woke up.
    pub(crate) looked: Count,
    /// When the hub was made.
    pub(crate) born: Count,
}
