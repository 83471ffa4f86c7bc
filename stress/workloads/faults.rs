//! Workloads that fail, to try the tool itself (`tests/stress_tool.rs`). Neither `all` nor `--list` has them.
//!
//! Plan: step 2 does what the name says, the steps before it are clean.
//!
//! Invariant: the tool says which step failed, how, and with what command to see it again.

use std::sync::atomic::Ordering;

use crate::chaos::ChaosPanic;
use crate::workload::{Context, Failure, Workload, ensure};

/// A name and what happens in step 2.
pub(crate) struct Fault(&'static str, fn(&Context) -> Result<(), Failure>);

const STEP: u64 = 2;

pub(crate) static ALL: [Fault; 7] = [
    Fault("fault-invariant", |context| {
        ensure!(
            context.greenlets == 0,
            "{} greenlets and not 0",
            context.greenlets
        );
        Ok(())
    }),
    Fault("fault-panic", |_| panic!("the step's own panic")),
    Fault("fault-uncaught", |_| {
        let greenlet = rustlet::spawn(|| panic!("a greenlet's panic"));
        // Chaos's own are no fault.
        let victim = rustlet::spawn(|| std::panic::resume_unwind(Box::new(ChaosPanic)));
        let _ = (greenlet.join(), victim.join());
        Ok(())
    }),
    Fault("fault-leak", |_| {
        std::mem::forget(rustlet::spawn(|| rustlet::park().is_ok()));
        Ok(())
    }),
    Fault("fault-abort", |_| std::process::abort()),
    Fault("fault-overflow", |_| {
        fn deep(n: u64) -> u64 {
            std::hint::black_box([n; 64])[0] + if n == u64::MAX { 0 } else { deep(n + 1) }
        }
        rustlet::spawn(|| deep(0)).join()?;
        Ok(())
    }),
    Fault("fault-hang", |context| {
        context.phase("waiting for nobody");
        std::thread::park();
        Ok(())
    }),
];

impl Workload for Fault {
    fn name(&self) -> &'static str {
        self.0
    }

    fn about(&self) -> &'static str {
        "fails on purpose"
    }

    fn unit(&self) -> &'static str {
        "faults"
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        context.count(1);
        match context.board.step.load(Ordering::Relaxed) {
            STEP => (self.1)(context),
            _ => Ok(()),
        }
    }
}
