//! The workloads: one file each, which opens with its plan and ends with its invariant.

use crate::workload::Workload;

mod churn;
mod depth;
mod faults;
mod fork;
mod greenlet;
mod locks;
mod memory;
mod net;
mod queues;
mod ring;
mod signals;
mod steal;
mod switch;
mod timers;
mod trace;
mod unwind;

pub(crate) use trace::replay;

/// In the order in which `all` takes turns.
pub(crate) const ALL: &[&dyn Workload] = &[
    &switch::Switch,
    &ring::Ring,
    &churn::Churn,
    &depth::Depth,
    &unwind::Unwind,
    &greenlet::Greenlets,
    &locks::Locks,
    &queues::Queues,
    &trace::Traces,
    &timers::Timers,
    &net::Net,
    &steal::Steal,
    &signals::SignalStorm,
    &fork::Fork,
    &memory::Memory,
];

/// By its name: one of [`ALL`], or one that fails on purpose.
pub(crate) fn named(name: &str) -> Option<&'static dyn Workload> {
    let faults = faults::ALL.iter().map(|fault| fault as &dyn Workload);
    ALL.iter()
        .copied()
        .chain(faults)
        .find(|one| one.name() == name)
}
