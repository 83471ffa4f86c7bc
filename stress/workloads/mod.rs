//! The workloads: one file each, which opens with its plan and ends with its invariant.

use crate::workload::Workload;

mod faults;
mod ring;

/// In the order in which `all` takes turns.
pub(crate) const ALL: &[&dyn Workload] = &[&ring::Ring];

/// By its name: one of [`ALL`], or one that fails on purpose.
pub(crate) fn named(name: &str) -> Option<&'static dyn Workload> {
    let faults = faults::ALL.iter().map(|fault| fault as &dyn Workload);
    ALL.iter()
        .copied()
        .chain(faults)
        .find(|one| one.name() == name)
}
