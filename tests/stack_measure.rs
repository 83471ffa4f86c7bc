//! `Builder::measure_stack` tells how much of its stack a greenlet used.

mod support;

use rustlet::{Builder, Greenlet, yield_now};

/// Uses at least `bytes` of stack.
#[inline(never)]
fn use_stack(bytes: usize) {
    let block = [1_u8; 1024];
    std::hint::black_box(&block);
    if bytes > block.len() {
        use_stack(bytes - block.len());
    }
    std::hint::black_box(&block);
}

fn finish<T>(greenlet: &Greenlet<T>) -> Option<usize> {
    while !greenlet.is_finished() {
        assert_eq!(greenlet.stack_high_water(), None, "not while it runs");
        yield_now();
    }
    greenlet.stack_high_water()
}

fn measured(bytes: usize) -> usize {
    let greenlet = Builder::new()
        .stack_size(1 << 20)
        .measure_stack(true)
        .spawn(move || {
            yield_now();
            use_stack(bytes);
        })
        .unwrap();
    finish(&greenlet).expect("it was measured")
}

#[test]
fn deeper_code_shows() {
    let _watchdog = support::watchdog();
    let shallow = measured(0);
    assert!(shallow < 32 * 1024, "{shallow}");
    let mut last = shallow;
    for kib in [50, 100, 200, 400] {
        let high = measured(kib * 1024);
        assert!(high >= kib * 1024 && high > last, "{kib} KiB: {high}");
        // A debug build's frames are some times the block in them.
        assert!(high < 3 * kib * 1024 + shallow, "{kib} KiB: {high}");
        last = high;
    }
    // The slot was used before, deeply; that does not count.
    let again = measured(0);
    assert!(again < 32 * 1024, "{again}");
}

#[test]
fn it_is_asked_for() {
    let _watchdog = support::watchdog();
    let greenlet = Builder::new().spawn(|| ()).unwrap();
    assert_eq!(finish(&greenlet), None);
}

#[test]
fn panicked_and_killed_greenlets_are_measured_too() {
    let _watchdog = support::watchdog();
    let panics = Builder::new()
        .measure_stack(true)
        .spawn(|| {
            use_stack(20 * 1024);
            panic!("on purpose");
        })
        .unwrap();
    assert!(finish(&panics).unwrap() > 20 * 1024);
    let parked = Builder::new()
        .measure_stack(true)
        .spawn(|| {
            use_stack(20 * 1024);
            rustlet::park().unwrap();
        })
        .unwrap();
    yield_now();
    parked.kill().unwrap();
    assert!(finish(&parked).unwrap() > 20 * 1024);
}
