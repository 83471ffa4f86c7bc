//! A storm of signals while greenlets switch, wait, unwind and talk.
//!
//! Plan: greenlets compute things of which the result is known, in a form that a signal at the wrong moment would spoil ([`labours`]):
//! values that live across switches, deep calls, floats, unwinding, sleeps, echoes over a socket. Meanwhile signals come between
//! any two instructions ([`storm`]):
//!
//! | signal | sent by | handler |
//! |---|---|---|
//! | SIGUSR1 | a timer of the kernel's; greenlets, to their own thread; with workers also threads, to any worker | `SA_ONSTACK`: on the alternate stack, as it checks |
//! | SIGUSR2 | the same | without: on whatever stack it finds, greenlets' too |
//! | real-time ones | greenlets and threads | rustlet's: `Signals` |
//!
//! Neither handler restarts system calls, so each of the library's may say EINTR. Both scribble on the stack and in
//! registers. The kernel queues real-time signals, so a known number of them is sent, and each of several listeners, anywhere,
//! must hear of exactly so many. Under an emulator without such timers the other senders do. Chaos delays, panics and kills
//! those that labour; listeners and the number of signals are left alone, as they are what is counted.
//!
//! Rejected: `setitimer`, whose signals go to whatever thread the kernel likes, mostly the one that supervises.
//!
//! Invariant: no result is wrong, no sleep early, no echo bent, no call fails for a signal; each listener hears of each
//! real-time signal once; a handler that asks for the alternate stack has it.

mod labours;
mod storm;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustlet::signal::{SignalKind, Signals, restore};

use crate::crew::Crew;
use crate::workload::{Context, Failure, Workload, ensure};
use labours::Labour;
use storm::{Handlers, Senders, Storm, Timer, own_tid};

pub(crate) struct SignalStorm;

/// Labours of a step, all greenlets together.
const LABOURS: usize = 6000;
/// Greenlets that labour, at most: each may have two descriptors.
const LABOURERS: usize = 1000;
/// Real-time signals of each kind, at most.
const EACH: usize = 2000;

impl Workload for SignalStorm {
    fn name(&self) -> &'static str {
        "signals"
    }

    fn about(&self) -> &'static str {
        "a storm of signals while greenlets work: nothing is spoilt, listeners hear of each"
    }

    fn unit(&self) -> &'static str {
        "labours"
    }

    fn timed(&self) -> Option<&'static str> {
        Some("echo")
    }

    fn step(&self, context: &Context) -> Result<(), Failure> {
        let mut rng = context.rng(0);
        let most = context.scaled(LABOURERS).min(context.greenlets).max(1);
        let labourers = 1 + (most as f64).powf(rng.f64()) as usize;
        let each = (context.scaled(LABOURS) / labourers).max(1);
        let kinds = rng.usize(1..=3);
        let counted = rng.usize(1..=context.scaled(EACH)) as u64;

        // Dropped in the reverse order: nothing is sent any more when the handlers go.
        let handlers = Handlers::install()?;
        let crew = Crew::of(context)?;
        let threads = match &crew {
            Crew::Here => vec![own_tid()],
            Crew::Workers(runtime, _) => {
                let tids = (0..runtime.workers()).map(|nth| crew.spawn_on(nth, own_tid).join());
                tids.collect::<Result<Vec<_>, _>>()?
            }
        };
        let storm = Arc::new(Storm::new(*context, kinds, counted));
        let mut listeners = Vec::new();
        for (signal, _) in &storm.counted {
            for _ in 0..rng.usize(1..=3) {
                let signals = Signals::new(SignalKind::from_raw(*signal))?;
                listeners.push(crew.spawn_on(rng.usize(..64), move || listen(&signals, counted)));
            }
        }
        let timers = Vec::from_iter((0..rng.usize(..=2)).filter_map(|_| {
            let every = Duration::from_micros(rng.u64(100..2000)) * context.slowdown;
            Timer::start(threads[rng.usize(..threads.len())], every, &mut rng)
        }));
        let outside = match &crew {
            Crew::Here => 0,
            Crew::Workers(..) => rng.usize(1..=2),
        };
        context.phase(&format!(
            "{labourers} greenlets, {} timers, {outside} threads that send, {kinds} kinds of {counted}",
            timers.len()
        ));
        let senders = Senders::start(&storm, outside, &threads, &mut rng);

        let all = Vec::from_iter((0..labourers).map(|nth| {
            let labour = Labour::new(storm.clone(), rng.u64(..), nth, each);
            crew.spawn_on(rng.usize(..64), move || labour.work())
        }));
        for greenlet in &all {
            if context.kills(&mut rng) {
                greenlet.kill_nowait();
            }
        }
        for greenlet in all {
            let chaos = context.chaos;
            match greenlet.join() {
                Ok(worked) => worked?,
                Err(error) if error.is_killed() && chaos.kill > 0.0 => {}
                Err(error) if error.is_panic() && chaos.panic > 0.0 => {}
                Err(error) => return Err(error.into()),
            }
        }
        drop(senders);
        drop(timers);
        storm.finish();
        for listener in listeners {
            listener.join()??;
        }
        // What chaos has cut off from its joiner.
        while rustlet::stats().live > 0 {
            rustlet::sleep(Duration::from_micros(100));
        }
        crew.end()?;
        let ran = handlers.check(storm.sent.load(Ordering::Relaxed))?;
        context.count(ran);
        for (signal, _) in &storm.counted {
            let restored = restore(SignalKind::from_raw(*signal))?;
            ensure!(
                restored,
                "signal {signal}: the handler is not rustlet's any more"
            );
        }
        Ok(())
    }
}

/// Hears of all that are sent of a kind, and of no more.
fn listen(signals: &Signals, all: u64) -> Result<(), Failure> {
    let mut heard = 0;
    while heard < all {
        heard += signals.recv()?;
        let kind = signals.kind();
        ensure!(
            heard <= all,
            "{kind:?}: {heard} signals were heard of {all}"
        );
    }
    let more = signals.try_recv();
    ensure!(
        more == 0,
        "{:?}: {more} signals more than the {all} that were sent",
        signals.kind()
    );
    Ok(())
}
