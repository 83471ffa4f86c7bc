//! Generators. After greenlet's `test_generator.py` and `test_generator_nested.py` (MIT), and what
//! Rust adds: panics, drops, contexts, two ways.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;

use rustlet::raw::{self, Generator, GeneratorState, Yielder, generator, generator_with};

#[test]
fn a_loop_run_three_times() {
    let counted = |n: i32| {
        generator(move |y| {
            for i in 0..n {
                y.yield_(i);
                y.yield_(i);
            }
        })
    };
    for _ in 0..3 {
        let values: Vec<i32> = counted(5).collect();
        assert_eq!(values, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]);
    }
}

#[test]
fn layered() {
    let squares = || {
        let numbers = generator(|y| (1..=4).for_each(|n| y.yield_(n)));
        generator(move |y| {
            for n in numbers {
                y.yield_(n);
                y.yield_(n * n);
            }
        })
    };
    assert_eq!(squares().collect::<Vec<i32>>(), [1, 1, 2, 4, 3, 9, 4, 16]);
}

fn permutations(items: Vec<u32>) -> Generator<Vec<u32>> {
    generator(move |y| {
        if items.is_empty() {
            return y.yield_(Vec::new());
        }
        for i in 0..items.len() {
            let mut rest = items.clone();
            let first = rest.remove(i);
            for mut tail in permutations(rest) {
                tail.insert(0, first);
                y.yield_(tail);
            }
        }
    })
}

#[test]
fn recursive_permutations() {
    let all: Vec<_> = permutations((0..4).collect()).collect();
    assert_eq!(all.len(), 24);
    assert!(all.is_sorted());
    // Two live ones side by side stay apart.
    let zipped = permutations((0..3).collect()).zip(permutations((3..6).collect()));
    let mut pairs = 0;
    for (one, two) in zipped {
        assert!(one.iter().zip(&two).all(|(a, b)| a + 3 == *b));
        pairs += 1;
    }
    assert_eq!(pairs, 6);
}

#[test]
fn three_styles_of_the_same() {
    fn inner(y: &Yielder<i32>, n: i32) {
        y.yield_(n + 1);
        y.yield_(n);
    }
    let plain = || (0..5).flat_map(|n| [n + 1, n]);
    let one_level = || {
        generator(|y: &Yielder<i32>| {
            for n in 0..5 {
                y.yield_(n + 1);
                y.yield_(n);
            }
        })
    };
    let nested = || generator(|y| (0..5).for_each(|n| inner(y, n)));
    for _ in 0..3 {
        assert!(plain().eq([1, 0, 2, 1, 3, 2, 4, 3, 5, 4]));
        assert!(one_level().eq(plain()));
        assert!(nested().eq(plain()));
    }
}

#[test]
fn three_deep() {
    let a = || generator(|y| (0..3_u8).for_each(|n| y.yield_(n)));
    let b = move || generator(move |y| a().for_each(|n| y.yield_(n + 10)));
    let mut c = generator(move |y| {
        for n in b() {
            for m in b() {
                y.yield_((n, m));
            }
        }
    });
    assert_eq!(c.next(), Some((10, 10)));
    assert_eq!(c.last(), Some((12, 12)));
}

#[test]
fn generators_of_several_types_in_one_another() {
    let words = generator(|y| {
        for n in generator(|y: &Yielder<u32>| (1..4).for_each(|n| y.yield_(n))) {
            y.yield_(n.to_string());
        }
    });
    assert_eq!(words.collect::<String>(), "123");
}

/// Rings a bell when dropped.
struct Rings(Rc<Cell<u32>>);
impl Drop for Rings {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn dropping_unwinds_the_body() {
    let rung = Rc::new(Cell::new(0));
    let rings = Rings(Rc::clone(&rung));
    let mut numbers = generator(move |y| {
        let _rings = rings;
        for n in 0_u32.. {
            y.yield_(n);
        }
    });
    assert!(numbers.by_ref().take(3).eq(0..3));
    assert_eq!(rung.get(), 0);
    drop(numbers);
    assert_eq!(rung.get(), 1);
}

#[test]
fn dropping_a_recursive_one_unwinds_all() {
    fn deep(depth: u32, rung: Rc<Cell<u32>>) -> Generator<u32> {
        generator(move |y| {
            let _rings = Rings(Rc::clone(&rung));
            if depth > 0 {
                deep(depth - 1, rung).for_each(|n| y.yield_(n));
            } else {
                for n in 0.. {
                    y.yield_(n);
                }
            }
        })
    }
    let rung = Rc::new(Cell::new(0));
    let mut numbers = deep(9, Rc::clone(&rung));
    assert_eq!(numbers.nth(100), Some(100));
    drop(numbers);
    assert_eq!(rung.get(), 10);
}

#[test]
fn a_panic_comes_out_of_next() {
    let mut numbers = generator(|y| {
        y.yield_(1);
        panic_any("in the body");
    });
    assert_eq!(numbers.next(), Some(1));
    let payload = catch_unwind(AssertUnwindSafe(|| numbers.next())).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"in the body"));
    assert_eq!(numbers.next(), None);
    assert_eq!(numbers.next(), None);
}

#[test]
fn a_generator_may_be_handed_to_another_context() {
    let mut numbers = generator(|y| (0..6).for_each(|n| y.yield_(n)));
    assert_eq!(numbers.next(), Some(0));
    let (mut numbers, second) = rustlet::spawn_local(move || {
        let second = numbers.next();
        (numbers, second)
    })
    .join()
    .unwrap();
    assert_eq!(second, Some(1));
    assert_eq!(numbers.next(), Some(2));
}

#[test]
fn a_body_that_blocks_lets_other_scheduled_greenlets_run() {
    let ticks = Rc::new(Cell::new(0));
    let background = rustlet::spawn_local({
        let ticks = Rc::clone(&ticks);
        move || {
            for _ in 0..3 {
                ticks.set(ticks.get() + 1);
                rustlet::yield_now();
            }
        }
    });
    let consumer = rustlet::spawn_local(|| {
        generator(|y| {
            for n in 0..3 {
                rustlet::yield_now();
                y.yield_(n);
            }
        })
        .sum::<i32>()
    });
    assert_eq!(consumer.join().unwrap(), 3);
    background.join().unwrap();
    assert_eq!(ticks.get(), 3);
}

#[test]
fn two_way() {
    let mut echo = generator_with(|y: &Yielder<String, i32>, mut n: i32| {
        while n != 0 {
            n = y.yield_(format!("<{n}>"));
        }
        "end"
    });
    assert_eq!(echo.send(1), GeneratorState::Yielded("<1>".into()));
    assert_eq!(echo.send(2), GeneratorState::Yielded("<2>".into()));
    assert!(!echo.is_finished());
    assert_eq!(echo.send(0), GeneratorState::Complete("end"));
    assert!(echo.is_finished());
    let after = catch_unwind(AssertUnwindSafe(|| echo.send(3))).unwrap_err();
    assert!(
        after
            .downcast_ref::<&str>()
            .unwrap()
            .contains("after its end")
    );
}

#[test]
#[allow(unsafe_code)] // Safe code cannot get a yielder out of its body.
fn yielding_from_another_coroutine_is_refused() {
    // The types keep a yielder in its body; a pointer does not know that.
    let mut outer = generator(|y: &Yielder<i32>| {
        let smuggled: &'static Yielder<i32> =
            // SAFETY: the inner generator is done with it before this body is.
            unsafe { &*std::ptr::from_ref(y) };
        let mut inner = generator(move |_: &Yielder<i32>| smuggled.yield_(1));
        let payload = catch_unwind(AssertUnwindSafe(|| inner.next())).unwrap_err();
        let text = payload.downcast_ref::<String>().unwrap();
        assert!(text.contains("yield outside"), "{text}");
        y.yield_(2);
    });
    assert_eq!(outer.next(), Some(2));
    assert!(raw::main::<i32>().is_current());
}
