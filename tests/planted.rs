//! Errors that a checker has to find. Empty in builds that are not for one.
//!
//! A checker that has gone blind passes everything, so ci/asan.sh, ci/tsan.sh and ci/valgrind.sh first run these tests one by one, and want of
//! each that it ends with the report named at its head. They are ignored, so that a run of all tests is not ended by them.
//! Each error is what a greenlet makes possible and a checker could miss: on a stack that it knows nothing of, in memory that the pool uses
//! again, across a switch. The last one is no error: what is reported there is the checker's mistake.
#![cfg(any(rustlet_asan, rustlet_tsan, rustlet_valgrind))]
#![allow(unsafe_code)] // The errors.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use rustlet::{Runtime, spawn, yield_now};

fn read<T: Copy>(place: *const T) -> T {
    // SAFETY: none: this is the error, for a checker to find.
    unsafe { black_box(place).read_volatile() }
}

fn write<T>(place: *mut T, value: T) {
    // SAFETY: none, as above.
    unsafe { black_box(place).write_volatile(value) };
}

/// An address in the stack slot of a greenlet that has finished.
fn in_a_freed_stack() -> *const u64 {
    let here: usize;
    // SAFETY: copies a register. A local's address would not do: AddressSanitizer keeps locals elsewhere.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) here, options(nomem, nostack)) };
    here as *const u64
}

/// The address of a local of a function that has returned.
#[inline(never)]
fn a_local_that_is_gone() -> *const u64 {
    // Large: memcheck allows the 128 bytes below the stack pointer, and a caller's next call writes there.
    let local = black_box([7_u64; 64]);
    black_box(local.as_ptr())
}

// ---------------------------------------------------------------------------- memory

/// AddressSanitizer: heap-use-after-free. memcheck: Invalid read of size 8.
#[test]
#[ignore = "an error, for ci/asan.sh and ci/valgrind.sh"]
fn heap_memory_that_was_freed() {
    spawn(|| {
        let place = Box::into_raw(Box::new(7_u64));
        yield_now();
        // SAFETY: from `into_raw`.
        drop(unsafe { Box::from_raw(place) });
        yield_now();
        read(place)
    })
    .join()
    .unwrap();
}

/// AddressSanitizer: stack-buffer-overflow.
#[test]
#[ignore = "an error, for ci/asan.sh"]
fn past_the_end_of_a_local() {
    spawn(|| {
        let buffer = black_box([0_u8; 16]);
        yield_now();
        read(buffer.as_ptr().wrapping_add(black_box(16)))
    })
    .join()
    .unwrap();
}

/// AddressSanitizer: use-after-poison. memcheck: Invalid read of size 8.
#[test]
#[ignore = "an error, for ci/asan.sh and ci/valgrind.sh"]
fn the_stack_of_a_finished_greenlet() {
    let place = spawn(|| in_a_freed_stack() as usize).join().unwrap() as *const u64;
    read(place);
}

/// The same of a raw greenlet.
#[test]
#[ignore = "an error, for ci/asan.sh and ci/valgrind.sh"]
fn the_stack_of_a_finished_raw_greenlet() {
    let greenlet = rustlet::raw::Greenlet::new(|_: usize| in_a_freed_stack() as usize);
    read(greenlet.switch(0) as *const u64);
}

/// AddressSanitizer: stack-use-after-return. The slot belongs to another greenlet by now, so that its memory is valid.
#[test]
#[ignore = "an error, for ci/asan.sh"]
fn a_local_on_a_stack_that_was_used_again() {
    let place = spawn(|| a_local_that_is_gone() as usize).join().unwrap() as *const u64;
    let other = spawn(|| {
        let local = black_box([9_u64; 64]);
        yield_now();
        local[black_box(3)]
    });
    yield_now();
    read(place);
    other.join().unwrap();
}

/// AddressSanitizer: stack-use-after-return. memcheck: Invalid read of size 8.
#[test]
#[ignore = "an error, for ci/asan.sh and ci/valgrind.sh"]
fn a_local_of_a_function_that_has_returned() {
    spawn(|| read(a_local_that_is_gone())).join().unwrap();
}

/// memcheck: Conditional jump or move depends on uninitialised value(s).
#[test]
#[ignore = "an error, for ci/valgrind.sh"]
fn memory_that_was_never_written() {
    spawn(|| {
        let place = Box::into_raw(Box::<u64>::new_uninit());
        yield_now();
        if read(place.cast::<u64>()) == 7 {
            yield_now();
        }
        // SAFETY: from `into_raw`.
        drop(unsafe { Box::from_raw(place) });
    })
    .join()
    .unwrap();
}

// ---------------------------------------------------------------------------- threads

struct Shared(UnsafeCell<u64>);

// SAFETY: none: this is the error, for a checker to find.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

fn runtime() -> Runtime {
    Runtime::builder().workers(2).build().expect("a runtime")
}

/// Runs `first` and then `second`, in greenlets of two workers. Nothing orders them that a checker could see: they wait for each other by relaxed
/// accesses, and the workers, which meet in atomics of theirs, do nothing else meanwhile.
fn on_two_workers(first: impl FnOnce() + Send + 'static, second: impl FnOnce() + Send + 'static) {
    fn wait_for(stage: &AtomicUsize, reached: usize) {
        while stage.load(Ordering::Relaxed) < reached {
            std::thread::yield_now();
        }
    }
    let runtime = runtime();
    let stage = Arc::new(AtomicUsize::new(0));
    let also = stage.clone();
    let one = runtime.handle().spawn_on(0, move || {
        yield_now();
        wait_for(&stage, 1);
        first();
        stage.store(2, Ordering::Relaxed);
        wait_for(&stage, 3);
    });
    let two = runtime.handle().spawn_on(1, move || {
        yield_now();
        also.store(1, Ordering::Relaxed);
        wait_for(&also, 2);
        second();
        also.store(3, Ordering::Relaxed);
    });
    one.join().unwrap();
    two.join().unwrap();
}

/// ThreadSanitizer: data race.
#[test]
#[ignore = "an error, for ci/tsan.sh"]
fn a_race_between_greenlets_of_two_workers() {
    let shared = Arc::new(Shared(UnsafeCell::new(0)));
    let also = shared.clone();
    on_two_workers(
        move || write(shared.0.get(), 1),
        move || write(also.0.get(), 2),
    );
}

/// ThreadSanitizer: data race.
#[test]
#[ignore = "an error, for ci/tsan.sh"]
fn a_pointer_handed_over_without_order() {
    let place = Arc::new(AtomicPtr::new(std::ptr::null_mut()));
    let also = place.clone();
    on_two_workers(
        move || {
            let item = Box::into_raw(Box::new(0_u64));
            write(item, 7);
            place.store(item, Ordering::Relaxed); // Release is what it takes
        },
        move || {
            let item = also.load(Ordering::Acquire);
            read(item);
        },
    );
}

/// No report: greenlets of one thread need no order between them, whichever stack they and their resumers are on.
#[test]
#[ignore = "no error, for ci/tsan.sh"]
fn greenlets_of_one_thread_do_not_race() {
    let shared = Arc::new(Shared(UnsafeCell::new(0)));
    let count = Arc::new(AtomicUsize::new(0));
    let greenlets: Vec<_> = (0..10)
        .map(|_| {
            let (shared, count) = (shared.clone(), count.clone());
            spawn(move || {
                let inner = shared.clone();
                let mut raw = Some(rustlet::raw::Greenlet::new(move |_: usize| {
                    for _ in 0..10 {
                        write(inner.0.get(), read(inner.0.get()) + 1);
                        yield_now(); // The one that resumed this is suspended too.
                    }
                    0
                }));
                if let Some(raw) = raw.take() {
                    raw.switch(0);
                }
                count.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    for greenlet in greenlets {
        greenlet.join().unwrap();
    }
    assert_eq!(read(shared.0.get()), 100);
    assert_eq!(count.load(Ordering::Relaxed), 10);
}
