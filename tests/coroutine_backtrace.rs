//! A backtrace taken on a greenlet's stack goes on into whoever resumed it: the hub, and the code
//! that waits on the thread's own stack.

mod support;

use std::backtrace::Backtrace;

#[inline(never)]
fn taken_here() -> String {
    Backtrace::force_capture().to_string()
}

#[inline(never)]
fn who_waits_on_the_main_stack<T>(greenlet: rustlet::Greenlet<T>) -> T {
    std::hint::black_box(greenlet.join().unwrap())
}

#[test]
fn crosses_from_a_greenlet_into_its_resumer() {
    let _watchdog = support::watchdog();
    let trace = who_waits_on_the_main_stack(rustlet::spawn(taken_here));
    let at = |name: &str| {
        trace
            .find(name)
            .unwrap_or_else(|| panic!("no {name} in\n{trace}"))
    };
    assert!(at("taken_here") < at("run_until_main"));
    assert!(at("run_until_main") < at("who_waits_on_the_main_stack"));
}

#[test]
fn crosses_after_a_suspension_into_the_new_resumer() {
    let _watchdog = support::watchdog();
    let greenlet = rustlet::spawn(|| {
        rustlet::yield_now();
        taken_here()
    });
    rustlet::yield_now(); // starts it from here, where nobody is called as the one below
    let trace = who_waits_on_the_main_stack(greenlet);
    assert!(trace.contains("who_waits_on_the_main_stack"), "{trace}");
}

#[test]
fn crosses_out_of_nested_raw_greenlets() {
    let _watchdog = support::watchdog();
    let trace = who_waits_on_the_main_stack(rustlet::spawn(|| {
        let inner = rustlet::raw::Greenlet::new(|_: String| taken_here());
        inner.switch(String::new())
    }));
    assert!(trace.contains("who_waits_on_the_main_stack"), "{trace}");
}
