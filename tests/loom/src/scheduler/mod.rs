//! Twin of `scheduler`: its inbox is the real one.

pub(crate) mod bell;
#[path = "../../../../src/scheduler/inbox.rs"]
pub(crate) mod inbox;
pub(crate) mod inbox_model;
pub(crate) mod park;
pub(crate) mod settle_model;
pub(crate) mod sleeper;
pub(crate) mod task;
pub(crate) mod workers;

/// For those who only wake it.
pub(crate) use park::Parker as TaskRef;

/// As in the library; nothing unwinds in a model.
pub(crate) fn cannot_suspend() -> bool {
    false
}

pub(crate) fn yield_now() {
    loom::thread::yield_now();
}

/// There is no budget: nothing starves in a model.
pub(crate) mod hub {
    use super::TaskRef;
    use super::park;

    pub(crate) struct Hub;

    pub(crate) struct Control {
        pub(crate) task: TaskRef,
    }

    pub(crate) fn current_control() -> Control {
        Control {
            task: park::current(),
        }
    }

    impl Hub {
        pub(crate) fn spend_budget(&self) {}
    }

    pub(crate) fn existing() -> Option<&'static Hub> {
        Some(&Hub)
    }

    pub(crate) fn get() -> &'static Hub {
        &Hub
    }
}

/// Nobody observes here.
pub(crate) mod waitable {
    #[derive(Debug, Default)]
    pub(crate) struct Signal;

    impl Signal {
        pub(crate) fn notify(&self, _: usize) {}
    }
}

/// The report of a deadlock: loom finds them itself.
#[derive(Debug)]
pub(crate) struct Deadlock;

impl std::fmt::Display for Deadlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("deadlock")
    }
}
