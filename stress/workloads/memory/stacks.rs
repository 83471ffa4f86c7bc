//! Greenlets that want stacks until there are no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustlet::sync::Event;
use rustlet::{Builder, Greenlet, JoinError, Runtime, sleep, yield_now};

use crate::workload::{Context, Failure, ensure};

/// Stacks of the sizes from 16 KiB to 512 MiB.
const SIZES: std::ops::Range<u32> = 14..30;
/// How long workers may take to end.
const LIMIT: Duration = Duration::from_secs(30);

/// Whose stacks are used: a thread's, or those of workers. Both are new.
pub(super) enum Ground {
    Thread,
    Workers(Runtime, Duration),
}

impl Ground {
    pub(super) fn new(context: &Context) -> Result<Ground, Failure> {
        if context.workers == 1 {
            return Ok(Ground::Thread);
        }
        let runtime = Runtime::builder()
            .workers(context.workers)
            .name("memory")
            .build()?;
        // Each has what a thread needs at its first stack.
        for nth in 0..context.workers {
            runtime.handle().spawn_on(nth, || ()).join()?;
        }
        Ok(Ground::Workers(runtime, LIMIT * context.slowdown))
    }

    /// Has so many greenlets with stacks of this size at once; the texts of those that were refused one.
    pub(super) fn fill(
        &self,
        context: &Context,
        size: usize,
        wanted: usize,
        rng: &mut Rng,
    ) -> Result<Vec<String>, Failure> {
        let (context, rng) = (*context, rng.fork());
        match self {
            Ground::Thread => on_a_thread(move || {
                fill(&context, vec![size; wanted], rng, |builder, f| {
                    builder.spawn(f)
                })
            }),
            Ground::Workers(runtime, _) => {
                let handle = runtime.handle();
                fill(&context, vec![size; wanted], rng, |builder, f| {
                    builder.spawn_in(&handle, f)
                })
            }
        }
    }

    pub(super) fn end(self) -> Result<(), Failure> {
        match self {
            Ground::Thread => Ok(()),
            Ground::Workers(runtime, limit) => Ok(runtime.shutdown(limit)?),
        }
    }
}

/// Runs `f` on a thread of its own, which has had a stack before.
pub(super) fn on_a_thread<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let thread = std::thread::spawn(move || {
        rustlet::spawn(|| ()).join()?;
        f()
    });
    match thread.join() {
        Ok(ended) => ended,
        Err(payload) => std::panic::resume_unwind(payload),
    }
}

type Body = Box<dyn FnOnce() -> usize + Send>;

/// Greenlets with stacks of these sizes, all at once. What was refused says so when it is spawned or joined.
fn fill(
    context: &Context,
    sizes: Vec<usize>,
    mut rng: Rng,
    spawn: impl Fn(Builder, Body) -> std::io::Result<Greenlet<usize>>,
) -> Result<Vec<String>, Failure> {
    let (released, begun) = (Arc::new(Event::new()), Arc::new(AtomicUsize::new(0)));
    let mut greenlets = Vec::with_capacity(sizes.len());
    let mut refused = Vec::with_capacity(sizes.len());
    for (nth, size) in sizes.iter().enumerate() {
        let (released, begun, context, mut rng) =
            (released.clone(), begun.clone(), *context, rng.fork());
        let body = move || {
            begun.fetch_add(1, Ordering::SeqCst);
            released.wait();
            context.strike(&mut rng);
            nth
        };
        let asked = Instant::now();
        match spawn(Builder::new().stack_size(*size), Box::new(body)) {
            Ok(greenlet) => greenlets.push((nth, greenlet)),
            Err(error) => refused.push(error.to_string()),
        }
        context.time(asked.elapsed());
        context.count(1);
    }
    // All that get a stack have one at the same time.
    let ended = |greenlets: &[(usize, Greenlet<usize>)]| {
        greenlets
            .iter()
            .filter(|(_, greenlet)| greenlet.is_finished())
            .count()
    };
    while begun.load(Ordering::SeqCst) + ended(&greenlets) < greenlets.len() {
        sleep(Duration::from_micros(200));
    }
    let (has, wants) = (begun.load(Ordering::SeqCst), greenlets.len());
    for (_, greenlet) in &greenlets {
        if context.kills(&mut rng) {
            greenlet.kill_nowait();
            yield_now();
        }
    }
    released.set();
    let mut ran = 0;
    for (nth, greenlet) in greenlets {
        match outcome(context, greenlet.join())? {
            Outcome::Ran(got) => {
                ensure!(got == nth, "greenlet {nth} gave {got}");
                ran += 1;
            }
            Outcome::Struck => ran += 1,
            Outcome::NoStack(text) => refused.push(text),
        }
    }
    ensure!(
        ran == has,
        "{has} of {wants} greenlets began, and {ran} ended"
    );
    Ok(refused)
}

enum Outcome {
    Ran(usize),
    Struck,
    NoStack(String),
}

fn outcome(context: &Context, joined: Result<usize, JoinError>) -> Result<Outcome, Failure> {
    let chaos = context.chaos;
    match joined {
        Ok(value) => Ok(Outcome::Ran(value)),
        Err(error) if error.is_killed() && chaos.kill > 0.0 => Ok(Outcome::Struck),
        Err(error) if error.is_panic() && chaos.panic > 0.0 => Ok(Outcome::Struck),
        Err(error) if error.to_string().contains("got no stack") => {
            Ok(Outcome::NoStack(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// One stack of every size, while something is short that `take` takes away but for `left`, and again when it is there.
pub(super) fn every_size<T>(
    context: &Context,
    left: usize,
    take: impl FnOnce(usize) -> Result<T, Failure> + Send + 'static,
) -> Result<(), Failure> {
    let context = *context;
    on_a_thread(move || {
        let sizes = Vec::from_iter(SIZES.map(|log2| 1 << log2));
        let taken = take(left)?;
        let outcome = fill(&context, sizes.clone(), context.rng(1), Builder::spawn);
        drop(taken);
        for text in outcome? {
            let part = "vm.max_map_count";
            ensure!(
                text.contains(part),
                "a spawn was refused without a word of {part}: {text}"
            );
        }
        let refused = fill(&context, sizes, context.rng(2), Builder::spawn)?;
        ensure!(
            refused.is_empty(),
            "there are mappings again, and yet: {}",
            refused[0]
        );
        Ok(())
    })
}

/// Small stacks until the guards have used up their mappings; and as many again.
pub(super) fn guards(context: &Context) -> Result<(), Failure> {
    let context = *context;
    on_a_thread(move || {
        let mut had = None;
        for round in 0..2 {
            let mut greenlets = Vec::new();
            let error = loop {
                let nth = greenlets.len();
                let spawned = Builder::new().stack_size(16 << 10).spawn(move || {
                    yield_now();
                    nth
                });
                match spawned {
                    Ok(greenlet) => greenlets.push(greenlet),
                    Err(error) => break error.to_string(),
                }
            };
            for part in ["vm.max_map_count", "sysctl -w"] {
                ensure!(
                    error.contains(part),
                    "a spawn was refused without a word of {part}: {error}"
                );
            }
            let all = greenlets.len();
            let before = *had.get_or_insert(all);
            ensure!(
                all >= before,
                "{before} guards were had, and {all} in round {round}"
            );
            for (nth, greenlet) in greenlets.into_iter().enumerate() {
                let got = greenlet.join()?;
                ensure!(got == nth, "greenlet {nth} gave {got}");
            }
            context.count(all as u64);
        }
        Ok(())
    })
}
