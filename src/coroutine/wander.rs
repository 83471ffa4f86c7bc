//! For tests: one coroutine that is resumed on twenty threads, all alive, and asks on each which thread it is on.
//!
//! Greenlets stay on their thread, so that no address of a thread-local which a compiler keeps across a switch is ever wrong. The
//! library does not rest on that alone: each of its thread-locals is read behind a function that is not inlined
//! (arch-notes/README.md). Here that rule is held to what it is for. A wanderer breaks the first rule of
//! [`super`] on purpose, and calls the functions that read thread-locals, right before it suspends and right after:
//!
//! | thread-local of | its functions | the test is in |
//! |---|---|---|
//! | `sys/signal.rs` | `ensure_alternate_stack` | here |
//! | `stack/pool.rs` | `thread_pool` | here |
//! | `coroutine/running.rs` | `chain`, `current` | here |
//! | `coroutine/raw/trace.rs` | `mode`, `set_mode`, `replace` | its file |
//! | `coroutine/raw/node.rs` | `next_id` | its file |
//! | `scheduler/hub/mod.rs` | `get`, `existing` | its file |
//! | `sync/select/wait.rs` | `random` | its file |
//! | `io/offload/pool.rs` | `on_pool_thread`, `become_pool_thread` | its file |
//!
//! `tests/tidy.rs` wants each file with a `thread_local!` in this table. Not in it: destructors, which only a thread's end
//! calls; and functions of the hub that are not inlined themselves and read its pointer with `get_inlined`.
//!
//! A debug build shows nothing: there the address is computed each time. Nor does x86_64, where most thread-locals are read relative
//! to a register. So this counts in a release build for aarch64, where `an_inlined_read_is_wrong` shows that it would notice.

use core::cell::RefCell;
use core::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::{Body, Coroutine, Kind, State, chain, suspend};
use crate::stack::{StackSize, thread_pool};

const THREADS: usize = 20;
/// How often it comes to each: the second time, every thread has been left before.
const ROUNDS: usize = 2;

/// A coroutine that calls `ask` twice each time that it is resumed.
struct Wanderer<A> {
    ask: A,
    answers: RefCell<Vec<usize>>,
}

impl<A: Fn() -> usize + 'static> Kind for Wanderer<A> {
    fn enter(body: &Body<Self>) {
        let wanderer = &body.data;
        for _ in 0..THREADS * ROUNDS {
            let on_arrival = (wanderer.ask)();
            let on_leaving = (wanderer.ask)();
            wanderer
                .answers
                .borrow_mut()
                .extend([on_arrival, on_leaving]);
            // SAFETY: `chain` is called on the thread that runs this now, and is not inlined; the head is that of the coroutine that
            // runs this, resumed on this thread.
            unsafe {
                body.head().set_innermost(chain());
                suspend(body.head());
            }
        }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("a test's wanderer")
    }

    fn context(&self) -> Option<u64> {
        None
    }
}

/// A coroutine on its way to another thread.
struct Passed<A>(Coroutine<Wanderer<A>>);

// SAFETY: one thread at a time has it, and the channels through which it goes order what they do. What it holds of a
// thread is its stack, which lies in memory that any thread may touch, is given back where it was taken, and belongs to a
// thread that outlives it. Its code keeps nothing of a thread across a suspension; whether the compiler does is what is tested.
unsafe impl<A> Send for Passed<A> {}

/// The answers of `ask` that differ from `known`, in a coroutine that is resumed on one thread after the other. `known` is called first
/// on each thread, on its own stack, with its number.
fn wrong_answers<A>(known: impl Fn(usize) -> usize + Sync, ask: A) -> usize
where
    A: Fn() -> usize + 'static,
{
    let pool = thread_pool();
    pool.promise(StackSize::DEFAULT).expect("a stack");
    let slot = pool.take(StackSize::DEFAULT).expect("a stack");
    let answers = RefCell::default();
    let wanderer = Passed(Coroutine::create(slot, Wanderer { ask, answers }));

    let (wanderer, expected) = thread::scope(|scope| {
        let known = &known;
        let threads = Vec::from_iter((0..THREADS).map(|number| {
            let (there, arrivals) = channel::<Passed<A>>();
            let (departures, back) = channel();
            scope.spawn(move || host(number, known, &arrivals, &departures));
            (there, back)
        }));
        let (mut wanderer, mut expected) = (wanderer, Vec::new());
        for _ in 0..ROUNDS {
            for (there, back) in &threads {
                there.send(wanderer).expect("the thread is there");
                let (returned, answer) = back.recv().expect("the thread does not panic");
                wanderer = returned;
                expected.extend([answer; 2]);
            }
        }
        // Only now do they end: a thread that began after another's end would have its thread-locals in the same place.
        (wanderer, expected)
    });

    // SAFETY: it is suspended for the last time; see `Passed`.
    let state = unsafe { wanderer.0.resume(chain()) };
    assert_eq!(state, State::Finished);
    // SAFETY: it has finished; the body is not used after `finish`.
    let (slot, answers) = unsafe {
        let answers = wanderer.0.body().as_ref().data.answers.take();
        (wanderer.0.finish(), answers)
    };
    pool.give_back(slot);
    assert_eq!(answers.len(), 2 * THREADS * ROUNDS);
    answers
        .iter()
        .zip(&expected)
        .filter(|(a, b)| a != b)
        .count()
}

/// One thread: resumes what comes, until nothing can come any more.
fn host<A: Fn() -> usize + 'static>(
    number: usize,
    known: &impl Fn(usize) -> usize,
    arrivals: &Receiver<Passed<A>>,
    departures: &Sender<(Passed<A>, usize)>,
) {
    for wanderer in arrivals {
        let answer = known(number);
        // SAFETY: it is created or suspended, the chain is this thread's, and see `Passed` for the thread.
        let state = unsafe { wanderer.0.resume(chain()) };
        assert_eq!(state, State::Suspended);
        if departures.send((wanderer, answer)).is_err() {
            return;
        }
    }
}

/// Panics unless `ask` answers in a wandering coroutine what `known` said on the thread's own stack just before.
#[track_caller]
pub(crate) fn sees_the_present_thread<A>(known: impl Fn(usize) -> usize + Sync, ask: A)
where
    A: Fn() -> usize + 'static,
{
    let wrong = wrong_answers(known, ask);
    assert_eq!(
        wrong,
        0,
        "wrong answers of {}: a thread-local's address was kept across a switch; is its function `#[inline(never)]`?",
        2 * THREADS * ROUNDS
    );
}

mod tests {
    use super::{sees_the_present_thread, wrong_answers};
    use crate::coroutine::{chain, current};
    use crate::stack::thread_pool;
    use crate::sys::signal;
    use core::cell::Cell;

    thread_local! {
        static PLAIN: Cell<usize> = const { Cell::new(0) };
    }

    fn set_plain(number: usize) -> usize {
        PLAIN.set(number + 1);
        number + 1
    }

    #[inline(never)]
    fn plain() -> usize {
        PLAIN.get()
    }

    #[test]
    fn a_read_that_is_not_inlined_is_right() {
        sees_the_present_thread(set_plain, plain);
    }

    /// What the rule is for. If this fails, compilers have learnt that threads change, and the rule may be reconsidered.
    #[test]
    fn an_inlined_read_is_wrong() {
        let wrong = wrong_answers(set_plain, || PLAIN.get());
        println!("an inlined read was wrong {wrong} times");
        if cfg!(all(target_arch = "aarch64", not(debug_assertions))) {
            assert!(
                wrong > 0,
                "this build would not notice a missing `#[inline(never)]`"
            );
        }
    }

    #[test]
    fn chain_is_of_the_present_thread() {
        sees_the_present_thread(|_| chain().addr(), || chain().addr());
    }

    #[test]
    fn current_is_of_the_present_thread() {
        // On the thread's own stack nothing runs, in the coroutine it does.
        sees_the_present_thread(
            |_| usize::from(current().is_null()),
            || usize::from(!current().is_null()),
        );
    }

    #[test]
    fn thread_pool_is_of_the_present_thread() {
        let address = || std::rc::Rc::as_ptr(&thread_pool()).addr();
        sees_the_present_thread(move |_| address(), address);
    }

    #[test]
    fn the_alternate_stack_is_given_to_the_present_thread() {
        let given = || {
            signal::ensure_alternate_stack();
            usize::from(signal::has_large_alternate_stack())
        };
        sees_the_present_thread(|_| 1, given);
    }
}
