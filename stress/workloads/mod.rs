//! The workloads: one file each, which opens with its plan and ends with its invariant.

use crate::workload::Workload;

mod ring;

/// In the order in which `all` takes turns.
pub(crate) const ALL: &[&dyn Workload] = &[&ring::Ring];
