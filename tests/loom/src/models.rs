//! The models: small programs whose every execution must keep a promise.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::io::offload_model;
use crate::scheduler::workers::{idle_model, injector_model};
use crate::scheduler::{inbox_model, settle_model};
use crate::sync::{channel_model, permits_model, waiter_model};
use crate::sys::spinning_model;

/// A protocol, what it must keep, and the program.
pub(crate) type Row = (&'static str, &'static str, fn());

pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    [
        spinning_model::MODELS,
        inbox_model::MODELS,
        settle_model::MODELS,
        idle_model::MODELS,
        injector_model::MODELS,
        waiter_model::MODELS,
        permits_model::MODELS,
        channel_model::MODELS,
        offload_model::MODELS,
    ]
    .into_iter()
    .flatten()
}

/// Of the model that ran last.
static EXECUTIONS: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn executions() -> usize {
    EXECUTIONS.load(Ordering::Relaxed)
}

/// Preemptions in one execution, unless `LOOM_MAX_PREEMPTIONS` says otherwise. Nearly every bug of this kind
/// needs no more than two.
const PREEMPTIONS: usize = 4;

/// Runs `model` in all interleavings.
pub(crate) fn check(model: fn()) {
    check_at_most(usize::MAX, model);
}

/// The same, with no more preemptions than `most`, whatever else is asked for.
pub(crate) fn check_at_most(most: usize, model: fn()) {
    EXECUTIONS.store(0, Ordering::Relaxed);
    let mut builder = loom::model::Builder::new();
    let wanted = builder.preemption_bound.unwrap_or(PREEMPTIONS);
    builder.preemption_bound = Some(wanted.min(most));
    builder.max_branches = 10_000;
    builder.check(move || {
        EXECUTIONS.fetch_add(1, Ordering::Relaxed);
        model();
    });
}
