//! Stacks after churn: slots are used again, memory goes back, and neither mappings nor residence
//! grow with the number of greenlets that ever lived.

mod support;

use std::time::Duration;

use rustlet::{Builder, sleep, spawn, stack, yield_now};

fn in_child(name: &str, test: impl FnOnce()) {
    match support::is_child() {
        true => test(),
        false => support::child(name).run().assert_passed(),
    }
}

/// `count` greenlets at once, each of which touches `bytes` of its stack.
fn crowd(count: usize, bytes: usize) {
    let greenlets = Vec::from_iter((0..count).map(|_| {
        spawn(move || {
            touch(bytes);
            yield_now();
        })
    }));
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
}

#[inline(never)]
fn touch(bytes: usize) {
    let page = [1_u8; 4096];
    std::hint::black_box(&page);
    if bytes > page.len() {
        touch(bytes - page.len());
    }
    std::hint::black_box(&page);
}

#[test]
fn memory_is_given_back_after_churn() {
    in_child("memory_is_given_back_after_churn", || {
        let count = 5_000 / support::slowdown() as usize;
        crowd(count, 16 * 1024);
        stack::trim();
        let (maps, rss) = (support::vma_count(), support::rss_bytes());
        for _ in 0..5 {
            crowd(count, 16 * 1024);
            let during = support::rss_bytes();
            stack::trim();
            let after = support::rss_bytes();
            if support::slowdown() == 1 {
                assert!(
                    during > rss + (32 << 20),
                    "the stacks were in memory: {rss} {during}"
                );
            }
            assert!(after < rss + (8 << 20), "{rss} bytes before, {after} after");
        }
        assert_eq!(stack::stats_with_resident().resident_bytes, 0);
        let now = support::vma_count();
        // Forced mprotect guards keep their mappings; the number must not grow either way.
        assert!(now <= maps + 8, "{maps} mappings before, {now} after");
        let stats = stack::stats();
        assert_eq!((stats.live, stats.promised, stats.hot), (0, 0, 0));
        assert_eq!(stats.pooled, count);
    });
}

#[test]
fn the_hot_limit_bounds_what_is_kept() {
    in_child("the_hot_limit_bounds_what_is_kept", || {
        stack::set_hot_limit(100);
        crowd(2_000, 4096);
        let stats = stack::stats_with_resident();
        assert!(stats.hot <= 100, "{stats:?}");
        assert!(stats.pooled >= 2_000, "{stats:?}");
        // A few pages each at most, of the hot ones alone.
        assert!(stats.resident_bytes <= 100 * 64 * 1024, "{stats:?}");
    });
}

#[test]
fn slots_are_used_again_first_of_all() {
    let _watchdog = support::watchdog();
    let place = || {
        spawn(|| std::ptr::from_ref(std::hint::black_box(&0_u8)).addr())
            .join()
            .unwrap()
    };
    let first = place();
    for _ in 0..1000 {
        assert_eq!(place(), first);
    }
    assert_eq!(stack::stats().pooled, 1);
}

#[test]
fn each_size_has_its_own_stacks() {
    let _watchdog = support::watchdog();
    for kib in [16, 32, 64, 128, 512, 1024, 8192] {
        let deep = (kib * 1024 - 32 * 1024).max(0) as usize;
        let greenlet = Builder::new()
            .stack_size(kib as usize * 1024)
            .spawn(move || {
                if deep > 0 {
                    touch(deep / 2);
                }
                kib
            })
            .unwrap();
        assert_eq!(greenlet.join().unwrap(), kib);
    }
    let error = Builder::new()
        .stack_size((1 << 30) + 1)
        .spawn(|| ())
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let error = Builder::new()
        .stack_size(usize::MAX)
        .spawn(|| ())
        .unwrap_err();
    assert!(error.to_string().contains("1 GiB"), "{error}");
}

#[test]
fn killed_panicked_and_unstarted_greenlets_give_their_stacks_back() {
    let _watchdog = support::watchdog();
    std::panic::set_hook(Box::new(|_| ()));
    for _ in 0..200 {
        let parked = spawn(|| sleep(Duration::from_secs(3600)));
        let panics = spawn(|| panic!("on purpose"));
        yield_now();
        parked.kill().unwrap();
        panics.join().unwrap_err();
        spawn(|| ()).kill().unwrap();
        let later = rustlet::spawn_later(Duration::from_secs(3600), || ());
        later.kill().unwrap();
    }
    let _ = std::panic::take_hook();
    let stats = stack::stats();
    assert_eq!((stats.live, stats.promised), (0, 0));
    assert!(stats.pooled <= 3, "{stats:?}");
}
